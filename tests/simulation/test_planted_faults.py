"""The simulator is itself tried: each defect that we plant is found, within few seeds."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from histories import Plant, find

from trainyard.control import acts, admission, loop, reconcile, watcher
from trainyard.core.jobs import Intent, Launch, Stop
from trainyard.kinds.running import decide, memo, sight
from trainyard.testing import builders, fake_executor, laws
from trainyard.testing.simulation import Simulation


def act_before_commit(patch: pytest.MonkeyPatch) -> None:
    """Launch first, write it down afterwards."""
    original = laws.WatchedStore.commit

    async def commit(self, job, decision, along=()):
        for action in decision.actions:
            if isinstance(action, Launch):
                await CONTROLLERS[-1]._acts.perform(replace(job, status=decision.status), action)
        return await original(self, job, decision, along)

    remember_controllers(patch)
    patch.setattr(laws.WatchedStore, "commit", commit)


def unguarded_commit(patch: pytest.MonkeyPatch) -> None:
    """Write over whatever is there."""
    original = laws.WatchedStore.commit

    async def commit(self, job, decision, along=()):
        await asyncio.sleep(0.05)
        stored = self.find(job.id)
        return await original(self, replace(job, revision=stored.revision) if stored else job, decision, along)

    patch.setattr(laws.WatchedStore, "commit", commit)


def final_before_all_gone(patch: pytest.MonkeyPatch) -> None:
    """Call it over while a replica still runs."""
    patch.setattr(sight.Sight, "all_gone", property(lambda self: any(seen.gone for seen in self.replicas)))


def forgetting_the_incarnation(patch: pytest.MonkeyPatch) -> None:
    """Restart a worker without writing down which start it is."""
    patch.setattr(memo.Memo, "restarted", lambda self, replica: self)


def counting_old_incarnations(patch: pytest.MonkeyPatch) -> None:
    """Take what an older incarnation did for the present one's doing."""
    original = sight._see

    def see(name, incarnation, reading):
        seen = reading.of(name)
        return original(name, seen.incarnation if name in reading.replicas else incarnation, reading)

    patch.setattr(sight, "_see", see)


def trusting_absence_early(patch: pytest.MonkeyPatch) -> None:
    """Believe that what is not seen is not there."""
    original = watcher.Watcher.reading

    def reading(self, run_id):
        seen = original(self, run_id)
        return replace(seen, absence_counts=True) if seen else None

    patch.setattr(watcher.Watcher, "reading", reading)


def launching_what_nobody_decided(patch: pytest.MonkeyPatch) -> None:
    """Count each launch as a new incarnation."""
    original = builders.PlainKind.run_group
    calls = iter(range(10**9))

    def run_group(self, job):
        group = original(self, job)
        odd = next(calls) % 2
        return replace(group, replicas=tuple(replace(one, incarnation=one.incarnation + odd) for one in group.replicas))

    patch.setattr(builders.PlainKind, "run_group", run_group)


def a_lost_hint_stays_lost(patch: pytest.MonkeyPatch) -> None:
    """No scan finds what no hint announced."""

    async def scan(self):
        await asyncio.sleep(10**9)

    patch.setattr(loop.Controller, "_scan", scan)


def room_given_back_early(patch: pytest.MonkeyPatch) -> None:
    """Hand out the room of what is only being stopped."""
    original = acts.Acts.perform

    async def perform(self, job, action):
        await original(self, job, action)
        if isinstance(action, Stop):
            CONTROLLERS[-1]._admission.drop(job.id)
            CONTROLLERS[-1]._reconciler.make_room(0)

    remember_controllers(patch)
    patch.setattr(acts.Acts, "perform", perform)


def room_forgotten_in_a_restart(patch: pytest.MonkeyPatch) -> None:
    """Start with all the room there is, whatever runs."""
    patch.setattr(admission.Admission, "hold", lambda self, job, demand: None)


def durations_by_the_calendar(patch: pytest.MonkeyPatch) -> None:
    """Measure the timeout by a clock that people set."""
    patch.setattr(memo.Timer, "elapsed_us", lambda self, now_us, steady_us: max(0, now_us - self.calendar_us))


def the_rest_is_left_running(patch: pytest.MonkeyPatch) -> None:
    """Decide the end without stopping what runs on."""
    original = decide._stopping
    patch.setattr(decide, "_stopping", lambda *scene: replace(original(*scene), actions=()))


def nothing_swept_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    """Forget the groups whose release a crash has swallowed."""

    async def sweep(self, live):
        return None

    patch.setattr(fake_executor.FakeExecutor, "sweep", sweep)


def a_cancel_that_only_stops_once(patch: pytest.MonkeyPatch) -> None:
    """Ask for the stop at the commit only, and never again when the executor refused it."""
    original = reconcile.Reconciler._act

    async def act(self, job, decision):
        said = decision.status.memo != getattr(self, "_last_memo", {}).get(job.id)
        self._last_memo = {**getattr(self, "_last_memo", {}), job.id: decision.status.memo}
        kept = tuple(one for one in decision.actions if said or not isinstance(one, Stop))
        await original(self, job, replace(decision, actions=kept))

    patch.setattr(reconcile.Reconciler, "_act", act)


def a_cancel_put_off(patch: pytest.MonkeyPatch) -> None:
    """Heed a cancel, but in its own time: everything still ends well, and well before the simulation's deadline."""
    original = decide.decide

    def late(job, policy, reading, room, now_us):
        is_young = job.intent_time_us is not None and 0 <= now_us - job.intent_time_us < 15e6
        return original(replace(job, intent=Intent.RUN) if is_young else job, policy, reading, room, now_us)

    patch.setattr(builders, "decide", late)


def ends_recorded_again(patch: pytest.MonkeyPatch) -> None:
    """Record the same end again and again."""
    patch.setattr(memo.Memo, "with_record", lambda self, replica, incarnation: self)


def succeeding_by_a_worker(patch: pytest.MonkeyPatch) -> None:
    """Take any replica's 0 for the primary's."""
    patch.setattr(
        sight.Sight,
        "primary",
        property(lambda self: next((seen for seen in self.replicas if seen.ended_well), self.replicas[0])),
    )


CONTROLLERS: list[loop.Controller] = []


def remember_controllers(patch: pytest.MonkeyPatch) -> None:
    """Some defects reach into the controller that runs at the time."""
    original = loop.Controller.__init__

    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        CONTROLLERS[:] = [self]

    patch.setattr(loop.Controller, "__init__", init)


PLANTED = (
    act_before_commit,
    unguarded_commit,
    final_before_all_gone,
    forgetting_the_incarnation,
    counting_old_incarnations,
    trusting_absence_early,
    launching_what_nobody_decided,
    a_lost_hint_stays_lost,
    room_given_back_early,
    room_forgotten_in_a_restart,
    durations_by_the_calendar,
    the_rest_is_left_running,
    nothing_swept_after_a_crash,
    a_cancel_that_only_stops_once,
    a_cancel_put_off,
    succeeding_by_a_worker,
    ends_recorded_again,
)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Plant) -> None:
    """The simulator tells a broken controller from a sound one."""
    find(Simulation, plant)
