"""Thousands of histories, each fixed by its seed, and every law kept in all of them."""

from __future__ import annotations

import logging
import os

import pytest

from trainyard.testing.simulation import Simulation

# TRAINYARD_SEEDS=20000 widens it, TRAINYARD_FIRST_SEED moves it; a failure names its seed, which repeats it exactly.
SEEDS = int(os.environ.get("TRAINYARD_SEEDS", "2000"))
FIRST = int(os.environ.get("TRAINYARD_FIRST_SEED", "0"))
BATCH = 250


@pytest.fixture(autouse=True)
def quiet():
    """The storms of a simulation are no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("start", range(FIRST, FIRST + SEEDS, BATCH))
def test_every_law_holds_in_every_history(start: int) -> None:
    """Whatever crashes, refuses, lags, lies or jumps: one attempt at a time, no orphan, each end with evidence."""
    for seed in range(start, min(start + BATCH, FIRST + SEEDS)):
        Simulation(seed).run()


def test_a_seed_repeats_its_history_exactly() -> None:
    """The seed is the whole bug report: two runs of it do the same at the same microsecond."""

    def story(seed: int) -> list[str]:
        simulation = Simulation(seed)
        simulation.run()
        return [str(process) for process in simulation.world.processes.values()]

    for seed in range(20):
        assert story(seed) == story(seed)
