"""Search problems whose true values are known: B1 (cells), B2 (a long chain), seeded, computed, never downloaded.

`true(point)` is exact, an observation adds Gaussian noise of NOISE; `best` is the exact optimum.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cached_property
from random import Random
from typing import Protocol

import numpy as np

from trainyard.core.space import Choice, Point, Space, Template, space_of

NOISE = 0.3


class Problem(Protocol):
    """What a search is measured on."""

    space: Space
    best: float

    def true(self, point: Point) -> float:
        """The value without noise."""

    def observed(self, point: Point, chance: Random) -> float | None:
        """What a trial would report; None where it is infeasible."""


def flat_space(options: Sequence[int]) -> Space:
    """Independent decisions d0, d1, … with so many options each."""
    choices = tuple(
        Choice(f"d{n}", (Template(),) * count, tuple(str(value) for value in range(count)))
        for n, count in enumerate(options)
    )
    return space_of(Template(choices))


class Cells:
    """B1, like NAS-Bench-201: 6 edges, 5 operations each, 15,625 points; pairs and every point have their own quirk."""

    EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

    def __init__(self, seed: int) -> None:
        chance = np.random.RandomState(seed)
        self.space = flat_space([5] * 6)
        self._quality = np.array([0, 0.25, 0.75, 1.0, 0.35]) + chance.normal(0, 0.05, 5)
        self._quality[0] = 0
        self._weight = 1 + chance.normal(0, 0.15, 6)
        self._pair = chance.normal(0, 0.35, (6, 5, 6, 5))
        self._quirk = chance.normal(0, 0.35, 5**6)

    def true(self, point: Point) -> float:
        """Best path, total quality, pairs, quirk; 10 when input and output are not connected."""
        longest = {0: 0.0}
        for node in (1, 2, 3):
            ways = [
                longest[a] + self._quality[point[i]]
                for i, (a, b) in enumerate(self.EDGES)
                if b == node and point[i] and a in longest
            ]
            if ways:
                longest[node] = max(ways)
        if 3 not in longest:
            return 10.0
        total = sum(self._weight[i] * self._quality[point[i]] for i in range(6))
        value = 80 + 6 * math.tanh(longest[3] / 1.5) + 4 * math.tanh(total / 3)
        value += sum(self._pair[i, point[i], j, point[j]] for i in range(6) for j in range(i + 1, 6))
        return float(value + self._quirk[int("".join(map(str, point)), 5)])

    @cached_property
    def best(self) -> float:
        """By trying every point."""
        return max(self.true(point) for point in itertools.product(range(5), repeat=6))

    def observed(self, point: Point, chance: Random) -> float | None:
        """The true value with noise."""
        return self.true(point) + chance.gauss(0, NOISE)


class Chain:
    """B2, mnasnet's 42 decisions: every option and every pair of neighbours has its effect.

    With `infeasible`, a point with at least 18 decisions at their last option fails.
    """

    OPTIONS = (2, 2, 3, 2, 2, 3, *(3, 2, 3, 2, 2, 3) * 5, 2, 2, 3, 2, 2, 3)
    MOST_LAST = 18

    def __init__(self, seed: int, *, infeasible: bool = False) -> None:
        chance = np.random.RandomState(seed)
        self.space = flat_space(self.OPTIONS)
        self.infeasible = infeasible
        self._main = [chance.normal(0, 0.6, count) for count in self.OPTIONS]
        self._pair = [chance.normal(0, 0.6, pair) for pair in itertools.pairwise(self.OPTIONS)]

    def true(self, point: Point) -> float:
        """75 and half the sum of all effects."""
        total = sum(effects[value] for effects, value in zip(self._main, point, strict=True))
        total += sum(effects[a, b] for effects, (a, b) in zip(self._pair, itertools.pairwise(point), strict=True))
        return float(75 + 0.5 * total)

    @cached_property
    def best(self) -> float:
        """By dynamic programming along the chain."""
        ahead = self._main[0]
        for pair, main in zip(self._pair, self._main[1:], strict=True):
            ahead = (ahead[:, None] + pair).max(0) + main
        return float(75 + 0.5 * ahead.max())

    def fails(self, point: Point) -> bool:
        """Whether a trial of this point is infeasible."""
        lasts = sum(value == count - 1 for value, count in zip(point, self.OPTIONS, strict=True))
        return self.infeasible and lasts >= self.MOST_LAST

    def observed(self, point: Point, chance: Random) -> float | None:
        """The true value with noise; None for a point that fails."""
        noise = chance.gauss(0, NOISE)
        return None if self.fails(point) else self.true(point) + noise
