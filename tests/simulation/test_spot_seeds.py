"""Hundreds of histories in which SPOT jobs give way, every law kept in all; and planted defects, all of them found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import Histories, Plant, find

from trainyard.control import admission, preemption, reconcile
from trainyard.testing import builders
from trainyard.testing.spot_simulation import SpotSimulation

HISTORIES = Histories.of("TRAINYARD_SPOT_SEEDS", seeds=500, batch=125)


@pytest.mark.parametrize("start", HISTORIES.starts)
def test_every_law_of_preemption_holds_in_every_history(start: int) -> None:
    """SPOT only, for one who waits, none too many, soon, and no attempt beside another, whatever crashes or lags."""
    HISTORIES.run(SpotSimulation, start)


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
def test_a_planted_fault_is_found(plant: Plant) -> None:
    """The simulator tells a broken preemption from a sound one."""
    find(SpotSimulation, plant)
