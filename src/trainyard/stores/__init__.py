"""The keepers of the Store promise, imported only when someone asks."""

from collections.abc import Mapping

BUILT_IN: Mapping[str, str] = {
    "memory": "trainyard.stores.memory",
    "sqlite": "trainyard.stores.sqlite.store",
}
