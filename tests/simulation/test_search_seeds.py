"""Thousands of histories of searches, each fixed by its seed, and every law kept in all of them."""

from __future__ import annotations

import logging
import os

import pytest

from trainyard.testing.search_simulation import SearchSimulation

# TRAINYARD_SEARCH_SEEDS=20000 widens it, TRAINYARD_FIRST_SEED moves it; a failure names its seed, which repeats it.
SEEDS = int(os.environ.get("TRAINYARD_SEARCH_SEEDS", "500"))
FIRST = int(os.environ.get("TRAINYARD_FIRST_SEED", "0"))
BATCH = 125


@pytest.fixture(autouse=True)
def quiet():
    """The storms of a simulation are no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("start", range(FIRST, FIRST + SEEDS, BATCH))
def test_every_law_of_searches_holds_in_every_history(start: int) -> None:
    """Places, numbers, measurements and what follows from them, whatever crashes, refuses, lags, lies or jumps."""
    for seed in range(start, min(start + BATCH, FIRST + SEEDS)):
        SearchSimulation(seed).run()
