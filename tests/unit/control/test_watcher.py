"""What a reading proves, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from trainyard.control.pace import Pace
from trainyard.control.problems import Problems
from trainyard.control.watcher import Watcher
from trainyard.core.errors import Unavailable
from trainyard.core.runs import Phase, Reading, ReplicaReading
from trainyard.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually

UP = {"w": ReplicaReading(Phase.RUNNING)}


class Shown:
    """An executor that shows what it is told to."""

    settle_seconds = 3.0

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.replicas, self.age_us, self.error = clock, {}, 0, None
        self.asked: list[tuple[float, tuple[str, ...]]] = []
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.breaks = 0

    async def observe(self, run_ids):
        self.asked.append((self.clock.steady_us() / 1e6, tuple(sorted(run_ids))))
        if self.error:
            raise self.error
        return {run_id: Reading(run_id, self.clock.now_us() - self.age_us, dict(self.replicas)) for run_id in run_ids}

    async def changes(self):
        if self.breaks:
            self.breaks -= 1
            raise OSError("the announcements' socket is gone")
        while True:
            yield await self.queue.get()


def watching(body: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Run `body(watcher, executor, clock, woken, problems)` in virtual time."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)

    async def main() -> None:
        executor, woken, problems = Shown(clock), [], Problems()
        watcher = Watcher(executor, clock, Pace(poll=1.0), problems, woken.append)
        watcher.watch("1-1", 1)
        await body(watcher, executor, clock, woken, problems)

    run_virtually(main(), loop)


def test_absence_counts_after_the_settle_time() -> None:
    """Not before: a launch may be on its way."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        watcher.accepted("1-1", anew=True)
        await watcher.look(["1-1"])
        assert not watcher.reading("1-1").absence_counts
        await asyncio.sleep(3)
        await watcher.look(["1-1"])
        assert watcher.reading("1-1").absence_counts
        assert watcher.reading("1-1").steady_us == 3_000_000
        watcher.accepted("1-1", anew=True)
        assert not watcher.reading("1-1").absence_counts

    watching(body)


def test_absence_proves_nothing_about_an_act_not_yet_accepted() -> None:
    """From deciding on it until it is accepted; hearing again that it was taken changes nothing."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        await asyncio.sleep(9)
        await watcher.look(["1-1"])
        assert watcher.reading("1-1").absence_counts
        watcher.asking("1-1")
        await asyncio.sleep(9)
        await watcher.look(["1-1"])
        assert not watcher.reading("1-1").absence_counts
        watcher.accepted("1-1", anew=False)
        assert watcher.reading("1-1").absence_counts

    watching(body)


def test_a_replica_that_is_missed_for_a_moment_is_not_lost() -> None:
    """Absence after presence counts only when it lasts."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        executor.replicas = UP
        await asyncio.sleep(9)
        await watcher.look(["1-1"])
        executor.replicas = {}
        await watcher.look(["1-1"])
        assert not watcher.reading("1-1").absence_counts
        await asyncio.sleep(3)
        await watcher.look(["1-1"])
        assert watcher.reading("1-1").absence_counts

    watching(body)


def test_an_old_reading_proves_no_absence() -> None:
    """Neither one that was stale when it was given, nor one from before the settle time was over."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        await asyncio.sleep(9)
        executor.age_us = 1_000_000
        await watcher.look(["1-1"])
        assert not watcher.reading("1-1").absence_counts
        watcher.accepted("1-1", anew=True)
        await asyncio.sleep(3.1)
        executor.age_us = 200_000
        await watcher.look(["1-1"])
        assert not watcher.reading("1-1").absence_counts
        clock.jump(-3600)
        await asyncio.sleep(1)
        await watcher.look(["1-1"])
        assert watcher.reading("1-1").absence_counts

    watching(body)


def test_only_what_differs_wakes_a_job() -> None:
    """A thousand runs that go on as before cost no step."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        executor.replicas = UP
        await watcher.look(["1-1"])
        await watcher.look(["1-1"])
        assert woken == [1]
        executor.replicas = {"w": replace(UP["w"], note="busy")}
        await watcher.look(["1-1"])
        assert woken == [1, 1]

    watching(body)


def test_all_live_runs_are_looked_at_in_one_call() -> None:
    """Once a second; a hint brings a look at that run alone, at once; who is not watched is not asked about."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        watcher.watch("2-1", 2)
        task = asyncio.create_task(watcher.run())
        await asyncio.sleep(0.25)
        executor.queue.put_nowait("2-1")
        executor.queue.put_nowait("9-9")
        await asyncio.sleep(0.25)
        watcher.unwatch("1-1")
        await asyncio.sleep(0.75)
        assert executor.asked == [(0.0, ("1-1", "2-1")), (0.25, ("2-1",)), (1.0, ("2-1",))]
        assert watcher.reading("1-1") is None
        task.cancel()

    watching(body)


def test_an_executor_that_does_not_answer_is_asked_again() -> None:
    """The problem is named meanwhile, the runs keep their last reading, and a defect of it is told apart."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        executor.replicas = UP
        task = asyncio.create_task(watcher.run())
        await asyncio.sleep(0.5)
        executor.error = Unavailable("its socket is closed")
        await asyncio.sleep(1)
        assert problems.sentences() == ("The executor cannot be looked at: its socket is closed",)
        executor.error = ValueError("a defect")
        await asyncio.sleep(5)
        assert "ValueError" in problems.sentences()[0]
        assert watcher.reading("1-1").replicas == UP
        executor.error = None
        await asyncio.sleep(5)
        assert problems.sentences() == ()
        task.cancel()

    watching(body)


def test_announcements_that_break_off_are_taken_up_again() -> None:
    """They are hints: the looks go on without them."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        executor.breaks = 2
        task = asyncio.create_task(watcher.run())
        await asyncio.sleep(0.05)
        assert "announcements broke off" in problems.sentences()[0]
        await asyncio.sleep(0.4)
        assert problems.sentences() == ()
        executor.queue.put_nowait("1-1")
        await asyncio.sleep(0.01)
        assert len(executor.asked) == 2
        task.cancel()

    watching(body)


def test_without_announcements_looking_is_enough() -> None:
    """An executor need not have the talent."""

    async def body(watcher, executor, clock, woken, problems) -> None:
        class Silent:
            settle_seconds = 3.0
            observe = executor.observe

        silent = Watcher(Silent(), clock, Pace(), problems, woken.append)
        silent.watch("1-1", 1)
        task = asyncio.create_task(silent.run())
        await asyncio.sleep(2.5)
        assert len(executor.asked) == 3
        task.cancel()

    watching(body)
