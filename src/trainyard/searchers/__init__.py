"""The keepers of the Searcher promise, imported only when someone asks."""

from collections.abc import Mapping

BUILT_IN: Mapping[str, str] = {
    "reinforce": "trainyard.searchers.reinforce",
    "grid_search": "trainyard.searchers.grid_search",
    "random_search": "trainyard.searchers.random_search",
    "evolution": "trainyard.searchers.evolution",
    "model_based": "trainyard.searchers.model_based",
}
