"""Points as columns of codes that are equal where two points agree, as a model compares them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainyard.core.space import CLOSED, Point, Space


class Encoding:
    """One row of codes per decision; a sorted choice is a set and gets a row per candidate instead: how often it is in.

    Two closed decisions agree. Decisions without alternatives are left out.
    """

    def __init__(self, space: Space) -> None:
        self._count = len(space.decisions)
        self._columns = [
            number for number, decision in enumerate(space.decisions) if decision.options > 1 and not decision.is_sorted
        ]
        self._sets = [(space.decisions[n].siblings, space.decisions[n].options) for n in space.sorted_choices]

    def __call__(self, points: Sequence[Point]) -> NDArray[np.int32]:
        """The codes, rows × points."""
        every = np.array(points, dtype=np.int32).reshape(len(points), self._count).T
        rows = [every[self._columns]]
        for siblings, options in self._sets:
            picked = every[list(siblings)]
            counts = np.array([(picked == option).sum(axis=0) for option in range(options)], dtype=np.int32)
            rows.append(np.where(picked[0] == CLOSED, CLOSED, counts).astype(np.int32))
        return np.ascontiguousarray(np.concatenate(rows))
