"""Random search: every open decision drawn evenly, no point twice, whatever the rewards."""

from __future__ import annotations

from trainyard.core.points import drawn
from trainyard.core.space import Point, Space
from trainyard.searcher import Searcher
from trainyard.searchers.notebook import Notebook


def open_searcher(space: Space, seed: int) -> Searcher:
    """A random search of the space."""
    return RandomSearch(space, seed)


class RandomSearch:
    """The measure of all others."""

    def __init__(self, space: Space, seed: int) -> None:
        self._notebook = Notebook(space, seed)

    def propose(self) -> Point | None:
        """A point never asked before; None when there is none."""
        notebook = self._notebook
        random = notebook.chance()
        return notebook.unseen(lambda: drawn(notebook.space, random), random)

    def asked(self, point: Point) -> None:
        """See Searcher."""
        self._notebook.asked(point)

    def told(self, number: int, reward: float | None) -> None:
        """See Searcher; teaches nothing."""
        self._notebook.told(number, reward)
