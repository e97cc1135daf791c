"""What every searcher has to remember is kept in one way: what was asked, what is open, how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random

from trainyard.core.points import drawn, every_point, first_point, next_point
from trainyard.core.space import Point, Space
from trainyard.searcher import LARGEST_REWARD

DRAWS = 50


class Notebook:
    """The trials of one search, by number from 1; and an own source of chance for each proposal."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed
        self.points: list[Point] = []
        self.seen: Counter[Point] = Counter()
        self.open: Counter[Point] = Counter()
        self.worst: float | None = None
        self._first_unseen: Point | None = first_point(space)

    def asked(self, point: Point) -> int:
        """Remember a trial as open; its number."""
        self.points.append(point)
        self.seen[point] += 1
        self.open[point] += 1
        return len(self.points)

    def told(self, number: int, reward: float | None) -> float | None:
        """Remember a trial as ended; its reward within bounds."""
        point = self.points[number - 1]
        self.open[point] -= 1
        if not self.open[point]:
            del self.open[point]
        if reward is None:
            return None
        reward = max(-LARGEST_REWARD, min(LARGEST_REWARD, reward))
        self.worst = reward if self.worst is None else min(self.worst, reward)
        return reward

    def chance(self) -> Random:
        """The chance of the next proposal: of the seed and its number only, so that a replay need not draw."""
        return Random((self.seed << 32) + len(self.points))  # noqa: S311 - a search needs no secrets

    def unseen(self, draw: Callable[[], Point], random: Random) -> Point | None:
        """The first draw that was never asked; after many that were, any other; None when every point was asked."""
        found = self._drawn_outside(self.seen, draw, random)
        if found is not None:
            return found
        while self._first_unseen is not None and self._first_unseen in self.seen:
            self._first_unseen = next_point(self.space, self._first_unseen)
        return self._first_unseen

    def not_open(self, draw: Callable[[], Point], random: Random) -> Point:
        """The first draw that is not being tried; after many that are, any other; a draw when all are being tried."""
        found = self._drawn_outside(self.open, draw, random)
        if found is not None:
            return found
        some = islice(every_point(self.space), len(self.open) + 1)
        return next((point for point in some if point not in self.open), None) or draw()

    def _drawn_outside(self, taken: Counter[Point], draw: Callable[[], Point], random: Random) -> Point | None:
        for source in (draw, lambda: drawn(self.space, random)):
            for _ in range(DRAWS):
                if (point := source()) not in taken:
                    return point
            if self.space.size <= len(taken):
                break
        return None
