"""Acts on the executor, after the commit that calls for them; each may be asked for again and is done once.

What the executor has accepted in this process is not asked of it at every look; what it could not take is asked
again, because the next look at the job calls for it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from trainyard.control.pace import Pace
from trainyard.control.watcher import Watcher
from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import Unavailable
from trainyard.core.jobs import Job, Launch, Stop
from trainyard.core.runs import RunGroup
from trainyard.executor import Executor
from trainyard.kind import Kind

Equip = Callable[[Job, RunGroup], Awaitable[RunGroup]]


class Acts:
    """Launch, stop and release. Raises Unavailable where the executor cannot be asked now."""

    def __init__(
        self,
        executor: Executor,
        kinds: Mapping[str, Kind],
        watcher: Watcher,
        clock: Clock,
        pace: Pace,
        equip: Equip | None = None,
    ) -> None:
        """`equip` adds to a job's group what the service gives to every one; it takes seconds at most."""
        self._executor = executor
        self._kinds = kinds
        self.watcher = watcher
        self._clock = clock
        self._pace = pace
        self._equip = equip
        self._launched: dict[str, tuple[int, ...]] = {}  # run id -> incarnations accepted
        self._stopped_us: dict[str, int] = {}  # run id -> steady time of the last stop accepted

    async def perform(self, job: Job, action: Launch | Stop) -> None:
        """Do it, unless it was done already."""
        match action:
            case Launch():
                await self._launch(job, action.run_id)
            case Stop():
                await self._stop(action.run_id, action.grace_seconds)

    async def release(self, run_id: str) -> None:
        """The run group is over."""
        await self._ask(lambda: self._executor.release(run_id))
        self.watcher.unwatch(run_id)
        self._launched.pop(run_id, None)
        self._stopped_us.pop(run_id, None)

    async def _launch(self, job: Job, run_id: str) -> None:
        group = self._kinds[job.name.collection].run_group(job)
        assert group.run_id == run_id, f"{job.name} is to launch {run_id}, and its kind describes {group.run_id}"
        incarnations = tuple(replica.incarnation for replica in group.replicas)
        if self._launched.get(run_id) == incarnations:
            self.watcher.accepted(run_id, anew=False)
            return
        if self._equip is not None:
            group = await self._equip(job, group)
        if job.seal is not None:
            group = replace(group, is_sealed=True)
        await self._ask(lambda: self._executor.launch(group))
        self._launched[run_id] = incarnations
        self.watcher.accepted(run_id, anew=True)

    async def _stop(self, run_id: str, grace_seconds: float) -> None:
        before_us = self._stopped_us.get(run_id)
        now_us = self._clock.steady_us()
        if before_us is not None and now_us - before_us < round(self._pace.stop_again * MICROSECONDS):
            self.watcher.accepted(run_id, anew=False)
            return
        await self._ask(lambda: self._executor.stop(run_id, grace_seconds))
        self._stopped_us[run_id] = now_us
        self.watcher.accepted(run_id, anew=before_us is None)

    async def _ask(self, request: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(self._pace.act):
                await request()
        except TimeoutError:
            raise Unavailable(f"The executor did not answer within {self._pace.act:g} s.") from None
