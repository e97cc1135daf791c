"""Whose turn it is."""

from __future__ import annotations

import asyncio

from trainyard.control.wakeups import Wakeups
from trainyard.testing.virtual_time import run_virtually


class Steps:
    """Counts what runs, and how much of it at once."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds, self.done, self.running, self.most = seconds, [], set(), 0

    async def __call__(self, job_id: int) -> None:
        assert job_id not in self.running, "one job was stepped twice at once"
        self.running.add(job_id)
        self.most = max(self.most, len(self.running))
        try:
            await asyncio.sleep(self.seconds)
            self.done.append((job_id, asyncio.get_running_loop().time()))
        finally:
            self.running.discard(job_id)


def test_a_job_is_never_stepped_twice_at_once() -> None:
    """Any number of hints during a step make one further step, after it."""

    async def main() -> None:
        steps = Steps()
        wakeups = Wakeups(steps, most=4)
        for _ in range(3):
            wakeups.now(1)
        await asyncio.sleep(0.5)
        for _ in range(3):
            wakeups.now(1)
        await asyncio.sleep(5)
        assert steps.done == [(1, 1.0), (1, 2.0)]

    run_virtually(main())


def test_many_run_at_once_up_to_the_limit() -> None:
    """Batches of commits need many steps under way; the machine needs a limit."""

    async def main() -> None:
        steps = Steps()
        wakeups = Wakeups(steps, most=4)
        for job_id in range(10):
            wakeups.now(job_id)
        await asyncio.sleep(5)
        assert steps.most == 4
        assert sorted(job_id for job_id, _ in steps.done) == list(range(10))

    run_virtually(main())


def test_a_timer_is_replaced_by_the_next_one() -> None:
    """One timer a job; None takes it away; a time that is over is now."""

    async def main() -> None:
        steps = Steps(seconds=0.0)
        wakeups = Wakeups(steps, most=4)
        wakeups.later(1, 5.0)
        wakeups.later(1, 2.0)
        wakeups.later(2, 3.0)
        wakeups.later(2, None)
        wakeups.later(3, -1.0)
        await asyncio.sleep(10)
        assert steps.done == [(3, 0.0), (1, 2.0)]

    run_virtually(main())


def test_closing_ends_everything() -> None:
    """No step, hint or timer survives it."""

    async def main() -> None:
        steps = Steps()
        wakeups = Wakeups(steps, most=1)
        for job_id in (1, 2):
            wakeups.now(job_id)
        wakeups.later(3, 1.0)
        await asyncio.sleep(0.5)
        await wakeups.close()
        wakeups.now(4)
        wakeups.later(5, 0.1)
        await asyncio.sleep(9)
        assert steps.done == []
        assert steps.running == set()

    run_virtually(main())
