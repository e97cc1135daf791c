"""What a long queue costs, counted instead of timed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from trainyard.control.admission import Admission
from trainyard.control.asks import Amount
from trainyard.control.loop import Controller
from trainyard.control.pace import Pace
from trainyard.core.jobs import Intent
from trainyard.core.runs import Capacity
from trainyard.core.states import JobState
from trainyard.stores.memory import MemoryStore
from trainyard.testing.builders import PlainKind, PlainSpec, plain_job
from trainyard.testing.fake_executor import Behaviour, FakeExecutor
from trainyard.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually

JOBS = 2000
FITS = Amount.fits


class CountingStore(MemoryStore):
    """Counts what the controller asks of it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0  # jobs read in one turn of the loop, within which nobody else is served

    def find(self, job_id):
        self.counts["find"] += 1
        if not self.at_once:
            asyncio.get_running_loop().call_soon(self._turned)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        return super().find(job_id)

    def _turned(self):
        self.at_once = 0

    async def commit(self, job, decision, along=()):
        self.counts["commit"] += 1
        return await super().commit(job, decision, along)

    def live(self):
        self.counts["live"] += 1
        return super().live()


class World:
    """A machine for one replica at a time, and a queue before it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop)
        self.store = CountingStore()
        self.executor = FakeExecutor(self.clock, behave=lambda *_: Behaviour(run=1e6), total=Capacity(replicas=3))
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def counts(self) -> Counter[str]:
        return self.store.counts

    def start(self) -> None:
        kinds = {PlainKind.collection: PlainKind()}
        self.controller = Controller(self.store, kinds, self.executor, self.clock)
        self.tasks.append(asyncio.get_running_loop().create_task(self.controller.run()))

    async def kill(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def fill(self) -> None:
        """One that runs, and many gangs of two: each finds one replica free."""
        for number in range(1, JOBS + 2):
            spec = PlainSpec(workers=1)
            await self.store.insert(plain_job(number, spec, create_time_us=self.clock.now_us()))

    async def restart(self) -> None:
        await self.kill()
        self.store._listeners.clear()
        self.counts.clear()
        self.start()


def in_a_world(body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        world = World(loop)
        await body(world)
        await world.kill()

    run_virtually(main(), loop)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Amount]:
    """Every comparison of a wish with the room."""
    found: list[Amount] = []
    monkeypatch.setattr(Amount, "fits", lambda self, total, used: found.append(self) or FITS(self, total, used))
    return found


def test_each_queued_job_costs_a_few_looks_and_only_those_in_front_a_commit(compared: list[Amount]) -> None:
    """However many wait already; and once they wait, they cost nothing. Whoever asks is told, wherever it stands."""

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        await world.fill()
        await asyncio.sleep(5)
        assert world.store.find(90).status.waits_for
        assert not world.store.find(JOBS).status.waits_for
        assert world.counts["commit"] <= Pace().near + 5
        assert world.counts["find"] <= JOBS
        assert len(compared) <= 5 * JOBS
        place = world.store.queue_place(world.store.find(JOBS + 1).name)
        assert (place.position, place.why) == (JOBS, "It asks for 2 replicas; free now: 1 of 3 replicas.")
        world.counts.clear()
        compared.clear()
        await asyncio.sleep(60)
        assert world.counts["find"] + world.counts["commit"] + len(compared) < JOBS
        assert world.counts["live"] == 0

    in_a_world(body)


def test_who_moves_up_is_told_unasked_what_it_waits_for() -> None:
    """Within a scan, also where nothing else happens to it; and a cancel finds it where it stands."""

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        await world.fill()
        await asyncio.sleep(5)
        for number in (*range(2, 90), JOBS):
            await world.store.ask_cancel(world.store.find(number).name, "", world.clock.now_us())
        await asyncio.sleep(12)
        assert world.store.find(150).status.waits_for
        told = world.store.narration(world.store.find(150).name)
        assert [one.note.text[:54] for one in told] == ["Waiting for job to be provisioned. It asks for 2 repli"]
        assert not world.store.find(300).status.waits_for
        assert world.store.find(JOBS).status.state is JobState.CANCELLED

    in_a_world(body)


def test_a_newcomer_whose_spec_cannot_be_read_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    """Far back in a long line, it is reported as anywhere else, and those behind it are taken up."""
    caplog.set_level(logging.CRITICAL)

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        await world.fill()
        broken = replace(plain_job(JOBS + 5, create_time_us=world.clock.now_us()), spec=b"{")
        await asyncio.gather(world.store.insert(broken), world.store.insert(plain_job(JOBS + 6)))
        await asyncio.sleep(1)
        assert any(f"Job {JOBS + 5} " in sentence for sentence in world.controller.problems())
        assert world.store.queue_place(world.store.find(JOBS + 6).name).position == JOBS + 1

    in_a_world(body)


def test_a_restart_looks_once_at_each_that_waits_and_writes_nothing(compared: list[Amount]) -> None:
    """Who was told why it waits is not stepped again; what runs is taken up first."""

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        await world.fill()
        await asyncio.sleep(5)
        compared.clear()
        await world.restart()
        await asyncio.sleep(8)
        assert world.counts["commit"] == 0
        assert world.counts["find"] <= JOBS + 20
        assert len(compared) <= 3 * JOBS
        assert world.store.queue_place(world.store.find(JOBS + 1).name).position == JOBS

    in_a_world(body)


@pytest.mark.parametrize("told", [True, False])
def test_a_restart_serves_others_meanwhile(told: bool) -> None:
    """Between two turns of the loop few jobs are taken up or stepped, however many wait and are due."""

    async def body(world: World) -> None:
        if told:
            world.start()
            await asyncio.sleep(1)
        await world.fill()
        await asyncio.sleep(5)
        await world.restart()
        world.store.most_at_once = 0
        await asyncio.sleep(8)
        assert world.counts["find"] >= JOBS
        assert world.store.most_at_once <= 60

    in_a_world(body)


def test_a_restart_takes_up_the_first_in_line_first() -> None:
    """With room for one pair, the job of highest priority gets it, wherever in a long queue it stands."""

    async def body(world: World) -> None:
        await world.fill()
        last = plain_job(JOBS + 9, PlainSpec(workers=1), create_time_us=world.clock.now_us(), priority=9)
        await world.store.insert(last)
        world.start()
        await asyncio.sleep(0.1)
        assert world.store.find(last.id).status.state is not JobState.QUEUED
        assert world.store.find(1).status.state is JobState.QUEUED

    in_a_world(body)


def test_a_restart_honours_what_changed_while_nobody_looked() -> None:
    """A queued job that was cancelled meanwhile ends; one that the machine can no longer hold is told so."""

    async def body(world: World) -> None:
        world.start()
        await asyncio.sleep(1)
        await world.fill()
        await asyncio.sleep(5)
        await world.kill()
        world.store._listeners.clear()
        await world.store.ask_cancel(world.store.find(JOBS).name, "", world.clock.now_us())
        world.start()
        await asyncio.sleep(3)
        assert world.store.find(JOBS).intent is Intent.CANCEL
        assert world.store.find(JOBS).status.state is JobState.CANCELLED
        world.executor.total = replace(world.executor.total, replicas=1)
        await world.restart()
        await asyncio.sleep(3)
        assert world.store.find(2).status.state is JobState.FAILED

    in_a_world(body)


def test_what_is_hinted_before_it_runs_is_not_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """A job created while the controller takes up the others is looked at as soon as it runs."""
    caplog.set_level(logging.CRITICAL)

    async def body(world: World) -> None:
        working, world.store.runs = world.store.runs, lambda: 1 / 0  # type: ignore[method-assign]  # for a moment
        world.start()
        await asyncio.sleep(0.05)
        await world.store.insert(plain_job(5, create_time_us=world.clock.now_us()))
        world.store.runs = working  # type: ignore[method-assign]  # as above
        await asyncio.sleep(1)
        assert world.store.find(5).status.state is JobState.RUNNING

    in_a_world(body)


def test_admission_of_many_projects_is_fair_at_any_length() -> None:
    """A thousand projects with two jobs each: all first ones before any second one."""
    total = Capacity(replicas=1000)
    desk = Admission(lambda: total, backfill_seconds=60.0)
    kind = PlainKind()
    for number in range(2000):
        job = plain_job(number + 1, project=f"p{number % 1000}")
        desk.wait(job, kind.demand(job), 0)
    assert desk.admit(0) == list(range(1, 1001))
