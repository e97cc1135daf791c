"""Histories of a simulator: every law is kept in those of sound code, and broken in one of the first of planted faults.

TRAINYARD_FIRST_SEED moves them, a variable of each test widens them (to 20000, say); a failure names its seed, which
repeats it exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from trainyard.testing import laws

WITHIN = 300
Plant = Callable[[pytest.MonkeyPatch], None]


class Histories(NamedTuple):
    """So many seeds, in batches of so many for a test."""

    seeds: int
    batch: int
    first: int

    @classmethod
    def of(cls, variable: str, seeds: int, batch: int) -> Histories:
        """As the environment has it."""
        return cls(int(os.environ.get(variable, seeds)), batch, int(os.environ.get("TRAINYARD_FIRST_SEED", "0")))

    @property
    def starts(self) -> range:
        """The first seed of each batch."""
        return range(self.first, self.first + self.seeds, self.batch)

    def run(self, simulation: Callable[[int], Any], start: int) -> None:
        """A batch; raises Violation in a history that breaks a law."""
        for seed in range(start, min(start + self.batch, self.first + self.seeds)):
            simulation(seed).run()


def find(simulation: Callable[[int], Any], plant: Plant) -> None:
    """Fails where the simulator does not tell what is broken like this from what is sound."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        for seed in range(WITHIN):
            try:
                simulation(seed).run()
            except laws.Violation:
                return
    pytest.fail(f"{plant.__name__} went unnoticed in {WITHIN} seeds")
