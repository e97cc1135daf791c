"""The controller as a whole, in virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from trainyard.control.loop import Controller
from trainyard.control.pace import Pace
from trainyard.core.errors import ResourceExhausted, Unavailable
from trainyard.core.ids import TimeOrderedIds
from trainyard.core.jobs import Intent, Step
from trainyard.core.names import OperationName
from trainyard.core.runs import Capacity, Cause, Exit
from trainyard.core.states import JobState
from trainyard.store import StoredOperation
from trainyard.stores.memory import MemoryStore
from trainyard.testing.builders import PlainKind, PlainSpec, plain_job
from trainyard.testing.fake_executor import Behaviour, FakeExecutor, Weather
from trainyard.testing.searches import METRIC, PlainSearch, PlainSearchKind, PlainTrialKind, search_job
from trainyard.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually

KINDS = {PlainKind.collection: PlainKind()}
REPORT = json.dumps({METRIC: "3"})


class World:
    """A store, an executor and a clock, and a controller that can be started and killed."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop)
        self.store = MemoryStore()
        self.executor = FakeExecutor(self.clock)
        self.kinds = dict(KINDS)

    def start(self) -> None:
        self.controller = Controller(self.store, self.kinds, self.executor, self.clock)
        self.controller.share_ids(TimeOrderedIds(self.clock, self.store.largest_id))
        self.task = asyncio.get_running_loop().create_task(self.controller.run())

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def create(self, job_id: int, spec: PlainSpec | None = None, **fields: Any):
        job = plain_job(job_id, spec, create_time_us=self.clock.now_us(), **fields)
        await self.store.insert(job)
        return job

    def state(self, job_id: int) -> JobState:
        return self.store.find(job_id).status.state


def in_a_world(body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        world = World(loop)
        await body(world)
        await world.kill()

    run_virtually(main(), loop)


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Warnings are looked at where a test is about them."""
    caplog.set_level(logging.CRITICAL)


def test_a_job_runs_to_its_end() -> None:
    """Created, admitted at once, up after its start, over when it ends, with nothing left behind."""

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        await world.create(1)
        await asyncio.sleep(0.05)
        assert world.state(1) is JobState.PENDING
        await asyncio.sleep(0.1)
        assert world.state(1) is JobState.RUNNING
        await asyncio.sleep(1)
        assert world.state(1) is JobState.SUCCEEDED
        assert world.executor.unreleased() == set()
        assert world.controller.problems() == ()

    in_a_world(body)


def test_a_restarted_controller_takes_up_what_ran() -> None:
    """Law 7: the run goes on meanwhile, is not started again, and ends well under the next server."""

    async def body(world: World) -> None:
        world.executor.behave = lambda *_: Behaviour(run=10.0)
        world.start()
        await world.create(1)
        await asyncio.sleep(2)
        await world.kill()
        world.store = MemoryStore.restore(world.store.snapshot())
        await asyncio.sleep(20)
        world.start()
        await asyncio.sleep(2)
        assert world.state(1) is JobState.SUCCEEDED
        assert len(world.executor.processes) == 1

    in_a_world(body)


def test_a_run_is_read_once_and_then_kept_in_hand() -> None:
    """From the launch to the end nobody else writes the job, so its steps need not read it again."""

    async def body(world: World) -> None:
        finds = []
        original = world.store.find
        world.store.find = lambda job_id: finds.append(job_id) or original(job_id)
        world.start()
        await world.create(1)
        await asyncio.sleep(0.5)
        finds.clear()
        await asyncio.sleep(2)
        assert original(1).status.state is JobState.SUCCEEDED
        assert finds == []

    in_a_world(body)


def test_a_cancel_while_a_step_commits_is_not_overlooked() -> None:
    """What the step keeps of the job is older than the cancel whose hint came meanwhile."""

    async def body(world: World) -> None:
        world.executor.behave = lambda *_: Behaviour(run=1000.0)
        original = world.store.commit

        async def commit(job, decision, along):
            committed = await original(job, decision, along)
            if decision.status.state is JobState.RUNNING and job.intent is Intent.RUN:
                await world.store.ask_cancel(job.name, "", world.clock.now_us())
                await asyncio.sleep(0)  # the hint is heard before the step goes on
            return committed

        world.store.commit = commit
        world.start()
        await world.create(1)
        await asyncio.sleep(3)
        assert world.state(1) in (JobState.CANCELLING, JobState.CANCELLED)

    in_a_world(body)


def test_room_is_for_the_next_as_soon_as_it_is_given_back() -> None:
    """No poll and no scan in between: the third job starts when the first ends."""

    async def body(world: World) -> None:
        world.executor.total = Capacity(replicas=2)
        world.start()
        for number in (1, 2, 3):
            await world.create(number)
        await asyncio.sleep(1.05)
        assert world.state(3) is JobState.QUEUED
        assert world.store.queue_place(world.store.find(3).name).position == 1
        await asyncio.sleep(0.1)
        assert world.state(3) is JobState.PENDING
        await asyncio.sleep(0.3)
        assert world.store.queue_place(world.store.find(3).name) is None

    in_a_world(body)


def test_a_lost_hint_only_delays() -> None:
    """Law 3: the scan finds what nobody announced."""

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        world.store._listeners.clear()
        await world.create(1)
        await asyncio.sleep(2)
        assert world.state(1) is JobState.QUEUED
        await asyncio.sleep(10)
        assert world.state(1) is JobState.SUCCEEDED

    in_a_world(body)


def test_a_full_store_is_a_problem_that_passes() -> None:
    """The loop goes on, says so, and the job goes on when there is room on the disk again."""

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        working = world.store.commit

        async def full(job, decision, along):
            raise ResourceExhausted("The disk that holds the store is full.")

        world.store.commit = full
        await world.create(1)
        await asyncio.sleep(3)
        assert world.controller.problems() == ("The disk that holds the store is full.",)
        world.store.commit = working
        await asyncio.sleep(8)
        assert world.state(1) is JobState.SUCCEEDED
        assert world.controller.problems() == ()

    in_a_world(body)


def test_an_executor_that_hangs_is_given_up_on_and_asked_again() -> None:
    """Neither a hanging launch nor a hanging look stops the others for ever."""

    class Hanging(Weather):
        hangs = True

        async def before(self, verb: str) -> None:
            if self.hangs and verb == "launch":
                await asyncio.sleep(10**6)

    async def body(world: World) -> None:
        world.executor.weather = weather = Hanging()
        world.start()
        await world.create(1)
        await asyncio.sleep(31)
        assert world.controller.problems() == ("The executor did not answer within 30 s.",)
        weather.hangs = False
        await asyncio.sleep(60)
        assert world.state(1) is JobState.SUCCEEDED
        assert world.controller.problems() == ()

    in_a_world(body)


def test_a_defect_in_one_job_stops_no_other() -> None:
    """It is named, tried again, and the rest goes on; so with a job of a kind that is not served."""

    class Broken(PlainKind):
        def decide(self, job, reading, room, now_us):
            if job.id == 1:
                raise ZeroDivisionError("a defect")
            return super().decide(job, reading, room, now_us)

    async def body(world: World) -> None:
        world.kinds = {PlainKind.collection: Broken()}
        stranger = plain_job(3)
        await world.store.insert(replace(stranger, name=replace(stranger.name, collection="pipelineJobs")))
        world.start()
        await world.create(1)
        await world.create(2)
        await asyncio.sleep(3)
        assert world.state(2) is JobState.SUCCEEDED
        told = " ".join(world.controller.problems())
        assert "Job 1 could not be brought on" in told
        assert "Job 3 could" in told
        world.kinds[PlainKind.collection] = PlainKind()
        await world.kill()
        world.start()
        await asyncio.sleep(3)
        assert world.state(1) is JobState.SUCCEEDED

    in_a_world(body)


def test_a_store_that_cannot_be_read_at_the_start_is_asked_again() -> None:
    """Nothing is admitted before all that holds room is known."""

    async def body(world: World) -> None:
        await world.create(1)
        working, world.store.runs = world.store.runs, _unavailable
        world.start()
        await asyncio.sleep(1)
        await world.create(2)
        await asyncio.sleep(1)
        assert (world.state(1), world.state(2)) == (JobState.QUEUED, JobState.QUEUED)
        assert world.controller.problems() == ("The store cannot be read.",)
        world.store.runs = working
        await asyncio.sleep(8)
        assert (world.state(1), world.state(2)) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
        assert world.controller.problems() == ()

    in_a_world(body)


def _unavailable():
    raise Unavailable("The store cannot be read.")


def test_what_a_deleted_job_left_is_removed() -> None:
    """At the hint of the deletion; where it fails, later."""

    class Full(Weather):
        fails = 1

        async def before(self, verb: str) -> None:
            if verb == "forget" and self.fails:
                self.fails -= 1
                raise OSError("a directory is busy")

    async def body(world: World) -> None:
        world.executor.weather = Full()
        world.start()
        job = await world.create(1)
        await asyncio.sleep(2)
        operation = OperationName(job.name.scope, job.name, 9)
        await world.store.delete(job.name, StoredOperation(operation, "v1", "DeleteOperationMetadata", 0, 0))
        await asyncio.sleep(0.01)
        assert world.controller.problems() == ("Files of deleted jobs cannot be removed now: a directory is busy",)
        await asyncio.sleep(6)
        assert world.executor.forgotten == {1}
        assert world.store.removals() == ()
        assert world.controller.problems() == ()

    in_a_world(body)


def test_defects_in_the_controllers_own_parts_are_named_and_outlived() -> None:
    """Neither a store that breaks its promise at the start nor an executor that does so in forgetting ends the loop."""

    def broken():
        raise ValueError("a defect")

    class Defective(Weather):
        async def before(self, verb: str) -> None:
            if verb == "forget":
                raise ValueError("a defect")

    async def body(world: World) -> None:
        working, world.store.runs = world.store.runs, broken
        world.start()
        await asyncio.sleep(1)
        assert "failed and is tried again: ValueError" in world.controller.problems()[0]
        world.store.runs = working
        world.executor.weather = Defective()
        job = await world.create(1)
        await asyncio.sleep(5)
        operation = OperationName(job.name.scope, job.name, 9)
        await world.store.delete(job.name, StoredOperation(operation, "v1", "DeleteOperationMetadata", 0, 0))
        await world.create(2)
        await asyncio.sleep(5)
        assert world.controller.problems() == ("Files of deleted jobs cannot be removed now: ValueError('a defect')",)
        assert world.state(2) is JobState.SUCCEEDED

    in_a_world(body)


def test_what_nobody_owns_is_swept_before_the_first_act() -> None:
    """A crash between the last commit and the release leaves nothing held."""

    async def body(world: World) -> None:
        world.executor.total = Capacity(replicas=1)
        group = KINDS[PlainKind.collection].run_group(
            replace(plain_job(77), status=replace(plain_job(77).status, run_id="77-1"))
        )
        await world.executor.launch(group)
        await asyncio.sleep(5)
        assert world.executor.unreleased() == {"77-1"}
        world.start()
        await asyncio.sleep(0.01)
        assert world.executor.unreleased() == set()

    in_a_world(body)


def test_a_cancel_that_overtakes_the_commit_is_honoured() -> None:
    """The guard drops the step that did not know of it; the next one does."""

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        working = world.store.commit

        async def overtaken(job, decision, along):
            world.store.commit = working
            await world.store.ask_cancel(job.name, "ann", world.clock.now_us())
            return await working(job, decision, along)

        world.store.commit = overtaken
        await world.create(1)
        await asyncio.sleep(0.5)
        assert world.store.find(1).intent is Intent.CANCEL
        assert world.state(1) is JobState.CANCELLED
        assert world.executor.processes == {}

    in_a_world(body)


def test_an_hours_jump_of_the_calendar_changes_nothing() -> None:
    """Neither a running job nor a timer on its way minds."""

    async def body(world: World) -> None:
        world.executor.behave = lambda *_: Behaviour(run=100.0)
        world.start()
        await world.create(1, PlainSpec(timeout_seconds=60.0))
        await asyncio.sleep(2)
        for hours in (1, -2, 1):
            world.clock.jump(hours * 3600.0)
            await asyncio.sleep(10)
            assert world.state(1) is JobState.RUNNING
        await asyncio.sleep(29)
        assert world.state(1) is JobState.CANCELLED

    in_a_world(body)


def test_a_thousand_jobs_cost_little() -> None:
    """One observe for all of them: the looks do not grow with the jobs."""
    looks = []

    class Counting(Weather):
        async def before(self, verb: str) -> None:
            looks.append(verb)

    async def body(world: World) -> None:
        world.executor.total = Capacity(replicas=300)
        world.executor.behave = lambda *_: Behaviour(run=30.0)
        world.executor.weather = Counting()
        world.start()
        for number in range(300):
            await world.create(number + 1)
        await asyncio.sleep(5)
        looks.clear()
        await asyncio.sleep(10)
        assert looks.count("observe") <= 11
        assert set(looks) == {"observe"}

    in_a_world(body)


def test_pace_has_sane_defaults() -> None:
    """Two seconds after a restart all must be consistent, so looks come at least once a second."""
    assert Pace().poll <= 1.0
    assert Pace().retry_first < 1.0


def test_a_new_job_comes_with_its_hint() -> None:
    """Neither its first step nor the one that tells why it waits reads what was handed over."""

    async def body(world: World) -> None:
        finds = []
        original = world.store.find
        world.store.find = lambda job_id: finds.append(job_id) or original(job_id)
        world.executor.total = Capacity(replicas=1)
        world.executor.behave = lambda *_: Behaviour(run=1000.0)
        world.start()
        await asyncio.sleep(1)
        await world.create(1)
        await world.create(2)
        await asyncio.sleep(3)
        assert original(1).status.state is JobState.RUNNING
        assert original(2).status.waits_for
        assert finds == []

    in_a_world(body)


def test_a_late_hint_does_not_bring_an_old_job_back() -> None:
    """A hint that comes when the job runs already hands over nothing that would count."""

    async def body(world: World) -> None:
        world.executor.behave = lambda *_: Behaviour(run=5.0)
        world.start()
        made = await world.create(1)
        await asyncio.sleep(1)
        assert world.state(1) is JobState.RUNNING
        world.store._hint(made.id, made)
        await asyncio.sleep(1)
        assert world.state(1) is JobState.RUNNING
        assert world.executor.unreleased() != set()
        await asyncio.sleep(5)
        assert world.state(1) is JobState.SUCCEEDED
        world.store._hint(made.id, made)
        await asyncio.sleep(3)
        assert world.state(1) is JobState.SUCCEEDED
        assert len(world.executor.processes) == 1

    in_a_world(body)


def test_a_trials_end_and_the_next_ones_admission_are_one_commit() -> None:
    """From one trial to the next nothing is written but once: the end, the measurement, the next point, its launch."""

    async def body(world: World) -> None:
        world.kinds |= {kind.collection: kind for kind in (PlainSearchKind(), PlainTrialKind())}
        world.executor.behave = lambda *_: Behaviour(start=0.0, run=0.0, exit=Exit(Cause.EXITED, 0, report=REPORT))
        commits: list[int] = []
        original = world.store.commit

        async def commit(job, decision, along):
            commits.append(1 + len(along))
            return await original(job, decision, along)

        world.store.commit = commit
        world.start()
        await world.store.insert(search_job(1, PlainSearch(trials=5, at_once=1), "p", world.clock.now_us()))
        await asyncio.sleep(2)
        assert world.state(1) is JobState.SUCCEEDED
        assert commits == [2, 3, 3, 3, 3, 2]
        assert [trial.measurement.metrics for trial in world.store.trial_history(1)] == [{METRIC: 3.0}] * 5

    in_a_world(body)


def test_a_trials_end_is_kept_where_nothing_new_can_be_taken() -> None:
    """On a disk that is nearly full what runs can end, and its room is others'; the next trial comes once it can."""

    async def body(world: World) -> None:
        world.kinds |= {kind.collection: kind for kind in (PlainSearchKind(), PlainTrialKind())}
        world.executor.behave = lambda *_: Behaviour(run=1.0, exit=Exit(Cause.EXITED, 0, report=REPORT))
        world.executor.total = Capacity(replicas=2)
        original = world.store.commit

        async def commit(job, decision, along):
            if any(step.decision.births for step in (Step(job, decision), *along)):
                raise Unavailable("The disk is nearly full.")
            return await original(job, decision, along)

        world.start()
        await world.store.insert(search_job(1, PlainSearch(trials=2, at_once=1), "p", world.clock.now_us()))
        await asyncio.sleep(0.5)
        world.store.commit = commit
        await asyncio.sleep(3)
        (first,) = world.store.runs_after(1, 1, 9)
        assert (first.state, len(world.executor.unreleased())) == (JobState.SUCCEEDED, 0)
        assert world.controller.problems() == ("The disk is nearly full.",)
        await world.create(2, PlainSpec(workers=1))
        await asyncio.sleep(3)
        assert world.state(2) is JobState.SUCCEEDED
        world.store.commit = original
        await asyncio.sleep(12)
        assert world.state(1) is JobState.SUCCEEDED

    in_a_world(body)
