"""Thousands of histories, each fixed by its seed, and every law kept in all of them."""

from __future__ import annotations

import pytest
from histories import Histories

from trainyard.testing.simulation import Simulation

HISTORIES = Histories.of("TRAINYARD_SEEDS", seeds=2000, batch=250)


@pytest.mark.parametrize("start", HISTORIES.starts)
def test_every_law_holds_in_every_history(start: int) -> None:
    """Whatever crashes, refuses, lags, lies or jumps: one attempt at a time, no orphan, each end with evidence."""
    HISTORIES.run(Simulation, start)


def test_a_seed_repeats_its_history_exactly() -> None:
    """The seed is the whole bug report: two runs of it do the same at the same microsecond."""

    def story(seed: int) -> list[str]:
        simulation = Simulation(seed)
        simulation.run()
        return [str(process) for process in simulation.world.processes.values()]

    for seed in range(20):
        assert story(seed) == story(seed)
