"""Lets PyGlove code scale out over Trainyard: `pg.sample(space, search(), backend="trainyard", name="mine")`.

Every process that samples under the same name is a worker of one search; the search itself, its trials and what it has
learned live in the service, as a NasJob whose trials are claimed (docs/nas.md). Works with PyGlove 0.1.0 and newer.
"""

from __future__ import annotations

try:
    import pyglove as _  # noqa: F401 - whether it is there
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "trainyard.pyglove_backend is for programs that use PyGlove, and pyglove is not installed here: "
        "run `pip install 'trainyard[pyglove]'`."
    ) from missing

from trainyard.pyglove_backend.backend import search

__all__ = ["search"]
