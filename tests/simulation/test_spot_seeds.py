"""Hundreds of histories in which SPOT jobs give way, every law kept in all; and planted defects, all of them found."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from trainyard.control import admission, preemption, reconcile
from trainyard.testing import builders, laws
from trainyard.testing.spot_simulation import SpotSimulation

# TRAINYARD_SPOT_SEEDS=20000 widens it, TRAINYARD_FIRST_SEED moves it; a failure names its seed, which repeats it.
SEEDS = int(os.environ.get("TRAINYARD_SPOT_SEEDS", "500"))
FIRST = int(os.environ.get("TRAINYARD_FIRST_SEED", "0"))
BATCH = 125
WITHIN = 300


@pytest.fixture(autouse=True)
def quiet():
    """The storms of a simulation are no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("start", range(FIRST, FIRST + SEEDS, BATCH))
def test_every_law_of_preemption_holds_in_every_history(start: int) -> None:
    """SPOT only, for one who waits, none too many, soon, and no attempt beside another, whatever crashes or lags."""
    for seed in range(start, min(start + BATCH, FIRST + SEEDS)):
        SpotSimulation(seed).run()


def anybody_gives_way(patch: pytest.MonkeyPatch) -> None:
    """Take the place of jobs that are not SPOT."""
    patch.setattr(preemption.Preemption, "holds", preemption.Preemption._admit)
    original = builders.PlainSpec.policy
    patch.setattr(builders.PlainSpec, "policy", lambda self: replace(original(self), preemptible=True))


def all_give_way(patch: pytest.MonkeyPatch) -> None:
    """End every SPOT job where one would do."""
    original = preemption.chosen_for

    def chosen_for(wanted, candidates, *more):
        return list(candidates) if original(wanted, candidates, *more) else []

    patch.setattr(preemption, "chosen_for", chosen_for)


def nobody_gives_way(patch: pytest.MonkeyPatch) -> None:
    """Forget to tell those whose place is needed."""
    patch.setattr(admission.Admission, "taker", lambda self, job_id: "")


def the_old_room_is_kept(patch: pytest.MonkeyPatch) -> None:
    """Go back to the queue with the room still held."""
    patch.setattr(reconcile.Reconciler, "_has_left", lambda self, job: False)


PLANTED = (anybody_gives_way, all_give_way, nobody_gives_way, the_old_room_is_kept)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None]) -> None:
    """The simulator tells a broken preemption from a sound one."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        for seed in range(WITHIN):
            try:
                SpotSimulation(seed).run()
            except laws.Violation:
                return
    pytest.fail(f"{plant.__name__} went unnoticed in {WITHIN} seeds")
