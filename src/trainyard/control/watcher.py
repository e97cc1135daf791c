"""One look at all live runs at once: keeps the newest reading of each, and knows when absence proves something.

Law 4: a reading proves nothing about an act younger than it. Everything here is measured on the steady clock, so a
calendar that jumps neither makes a replica lost nor keeps it alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from trainyard.control.pace import Pace
from trainyard.control.problems import EXECUTOR, Problems
from trainyard.core.backoff import delay_seconds
from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import Unavailable
from trainyard.core.runs import Phase, Reading
from trainyard.executor import Announces, Executor

_STALE_US = 500_000  # a reading that was older than this when it was asked for proves no absence


@dataclass(slots=True)
class _Watched:
    """One run. `quiet_since_us`: since when nothing was asked of it and nothing of it has vanished (steady).

    `asking`: an act is called for that the executor has not accepted yet, as far as we know.
    """

    job_id: int
    quiet_since_us: int
    asking: bool = False
    reading: Reading | None = None
    present: frozenset[tuple[str, int]] = field(default_factory=frozenset)


class Watcher:
    """Calls `wake(job id)` when a reading differs from the one before."""

    def __init__(
        self, executor: Executor, clock: Clock, pace: Pace, problems: Problems, wake: Callable[[int], None]
    ) -> None:
        self._executor = executor
        self._clock = clock
        self._pace = pace
        self._problems = problems
        self._wake = wake
        self._runs: dict[str, _Watched] = {}
        self._hinted: set[str] = set()
        self._nudge = asyncio.Event()

    def watch(self, run_id: str, job_id: int) -> None:
        """Look at this run from now on, once somebody hints at it or all are looked at."""
        if run_id not in self._runs:
            self._runs[run_id] = _Watched(job_id, self._clock.steady_us())

    def unwatch(self, run_id: str) -> None:
        """Nothing of this run is of interest any more."""
        self._runs.pop(run_id, None)
        self._hinted.discard(run_id)

    def watched(self) -> Collection[str]:
        """All runs looked at."""
        return self._runs.keys()

    def hint(self, run_id: str) -> None:
        """Something may have happened to this run."""
        self._hinted.add(run_id)
        self._nudge.set()

    def asking(self, run_id: str) -> None:
        """An act is about to be decided: from now until it is accepted, absence proves nothing."""
        watched = self._runs.get(run_id)
        if watched is not None:
            watched.asking = True

    def accepted(self, run_id: str, anew: bool) -> None:
        """The executor has taken the act, just now (`anew`) or before: what was seen earlier proves nothing."""
        watched = self._runs.get(run_id)
        if watched is not None:
            watched.asking = False
            if anew:
                watched.quiet_since_us = self._clock.steady_us()
                if watched.reading is not None:
                    watched.reading = replace(watched.reading, absence_counts=False)

    def reading(self, run_id: str) -> Reading | None:
        """The newest reading, with the steady time of now; None before the first."""
        watched = self._runs.get(run_id)
        if watched is None or watched.reading is None:
            return None
        counts = watched.reading.absence_counts and not watched.asking
        return replace(watched.reading, steady_us=self._clock.steady_us(), absence_counts=counts)

    async def run(self) -> None:
        """Look at what was hinted at once, and at everything once in a while, for ever."""
        listening = asyncio.create_task(self._listen())
        failures = 0
        full_look_due_us = self._clock.steady_us()
        try:
            while True:
                left = (full_look_due_us - self._clock.steady_us()) / MICROSECONDS
                await self._rest(left)
                full = self._clock.steady_us() >= full_look_due_us
                asked = set(self._runs) if full else self._hinted & self._runs.keys()
                self._hinted.clear()
                if await self.look(asked):
                    failures = 0
                else:
                    failures += 1
                    self._hinted |= asked
                    await asyncio.sleep(delay_seconds(failures, self._pace.retry_first, self._pace.retry_cap))
                if full:
                    full_look_due_us = self._clock.steady_us() + round(self._pace.poll * MICROSECONDS)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _rest(self, seconds: float) -> None:
        """Until somebody hints, or the time is over."""
        if seconds <= 0:
            return
        self._nudge.clear()
        if self._hinted:
            return
        timer = asyncio.get_running_loop().call_later(seconds, self._nudge.set)
        try:
            await self._nudge.wait()
        finally:
            timer.cancel()

    async def look(self, run_ids: Collection[str]) -> bool:
        """One call for all of them; says whether the executor answered."""
        if not run_ids:
            return True
        asked_us, asked_steady_us = self._clock.now_us(), self._clock.steady_us()
        try:
            async with asyncio.timeout(self._pace.act):
                readings = await self._executor.observe(run_ids)
        except (Unavailable, TimeoutError) as error:
            self._problems.report(EXECUTOR, f"The executor cannot be looked at: {error or 'it did not answer'}")
            return False
        except Exception as error:  # a defect in an executor must not end the watch over all the others
            self._problems.report(EXECUTOR, f"The executor cannot be looked at: {error!r}", error)
            return False
        self._problems.clear(EXECUTOR)
        for run_id, reading in readings.items():
            age_us = max(0, asked_us - reading.as_of_us)
            self._take(run_id, reading, age_us < _STALE_US, asked_steady_us - age_us)
        return True

    def _take(self, run_id: str, reading: Reading, fresh: bool, seen_steady_us: int) -> None:
        """Keep a reading. `fresh`: it was as new as promised, so that its absences may count."""
        watched = self._runs.get(run_id)
        if watched is None:
            return
        present = frozenset(
            (name, seen.incarnation) for name, seen in reading.replicas.items() if seen.phase is not Phase.ABSENT
        )
        if watched.present - present:
            watched.quiet_since_us = max(watched.quiet_since_us, seen_steady_us)
        watched.present = present
        settled_us = watched.quiet_since_us + round(self._executor.settle_seconds * MICROSECONDS)
        reading = replace(reading, absence_counts=fresh and seen_steady_us >= settled_us)
        before, watched.reading = watched.reading, reading
        if before is None or _differ(before, reading):
            self._wake(watched.job_id)

    async def _listen(self) -> None:
        """Take the executor's announcements as hints; without them, or after they break, looking goes on."""
        if not isinstance(self._executor, Announces):
            return
        failures = 0
        while True:
            try:
                async for run_id in self._executor.changes():
                    failures = 0
                    self.hint(run_id)
            except Exception as error:  # announcements are hints (law 3); the looks do not depend on them
                self._problems.report("announcements", f"The executor's announcements broke off: {error!r}", error)
            failures += 1
            await asyncio.sleep(delay_seconds(failures, self._pace.retry_first, self._pace.retry_cap))
            self._problems.clear("announcements")


def _differ(before: Reading, after: Reading) -> bool:
    return (
        before.replicas != after.replicas
        or before.absence_counts != after.absence_counts
        or before.notes != after.notes
    )
