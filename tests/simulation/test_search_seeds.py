"""Thousands of histories of searches, each fixed by its seed, and every law kept in all of them."""

from __future__ import annotations

import pytest
from histories import Histories

from trainyard.testing.search_simulation import SearchSimulation

HISTORIES = Histories.of("TRAINYARD_SEARCH_SEEDS", seeds=500, batch=125)


@pytest.mark.parametrize("start", HISTORIES.starts)
def test_every_law_of_searches_holds_in_every_history(start: int) -> None:
    """Places, numbers, measurements and what follows from them, whatever crashes, refuses, lags, lies or jumps."""
    HISTORIES.run(SearchSimulation, start)
