"""Model-based search: the strongest where trials are few and dear; the only searcher that needs a package, numpy."""

from __future__ import annotations

from trainyard.core.errors import FailedPrecondition
from trainyard.core.space import Space
from trainyard.searcher import Searcher


def open_searcher(space: Space, seed: int) -> Searcher:
    """A search by expected improvement. Raises FailedPrecondition where numpy is not installed."""
    try:
        from trainyard.searchers.expected_improvement import ModelBased  # noqa: PLC0415 - the service runs without numpy
    except ModuleNotFoundError as missing:
        raise FailedPrecondition(
            f"The model-based searcher needs {missing.name}, which is not installed beside the service: "
            "run `pip install 'trainyard[search]'`, or choose another searcher."
        ) from None
    return ModelBased(space, seed)
