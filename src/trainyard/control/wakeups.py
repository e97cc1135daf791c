"""Whose turn it is: a set of hints and one timer a job, on the loop's steady clock. Doubling a hint changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Wakeups:
    """Runs `step(job id)` as a task for each job woken: never two for one job, at most `most` in all."""

    def __init__(self, step: Callable[[int], Coroutine[Any, Any, None]], most: int) -> None:
        self._step = step
        self._most = most
        self._waiting: dict[int, None] = {}  # in order of their hints
        self._running: dict[int, asyncio.Task[None]] = {}
        self._again: set[int] = set()  # hinted while running
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._closed = False

    def now(self, job_id: int) -> None:
        """Step this job as soon as there is a turn; what is under way is followed by another step."""
        if job_id in self._running:
            self._again.add(job_id)
        elif not self._closed:
            self._waiting[job_id] = None
            self._fill()

    def later(self, job_id: int, delay_seconds: float | None) -> None:
        """Step this job after a while, instead of the time set before; None: only when something happens."""
        timer = self._timers.pop(job_id, None)
        if timer is not None:
            timer.cancel()
        if delay_seconds is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timers[job_id] = loop.call_later(max(delay_seconds, 0.0), self._due, job_id)

    async def close(self) -> None:
        """No further step; those under way are cancelled and awaited."""
        self._closed = True
        self._waiting.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _due(self, job_id: int) -> None:
        self._timers.pop(job_id, None)
        self.now(job_id)

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._most:
            job_id = next(iter(self._waiting))
            del self._waiting[job_id]
            task = asyncio.get_running_loop().create_task(self._step(job_id))
            self._running[job_id] = task
            task.add_done_callback(lambda _, job_id=job_id: self._done(job_id))  # type: ignore[misc]  # default binds it

    def _done(self, job_id: int) -> None:
        del self._running[job_id]
        if self._closed:
            return
        if job_id in self._again:
            self._again.discard(job_id)
            self._waiting[job_id] = None
        self._fill()
