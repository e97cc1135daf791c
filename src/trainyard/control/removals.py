"""What deleted jobs left behind goes, sooner or later: files, logs, exit records. Asked again until it is done."""

from __future__ import annotations

import asyncio

from trainyard.control.pace import Pace
from trainyard.control.problems import Problems
from trainyard.core.errors import ApiError
from trainyard.executor import Executor
from trainyard.store import Ledger


class Removals:
    """Follows the store's list of removals."""

    def __init__(self, store: Ledger, executor: Executor, pace: Pace, problems: Problems) -> None:
        self._store = store
        self._executor = executor
        self._pace = pace
        self._problems = problems
        self._nudge = asyncio.Event()

    def hint(self) -> None:
        """A job was deleted just now."""
        self._nudge.set()

    async def run(self) -> None:
        """Remove what there is to remove, at each hint and once in a while, for ever."""
        while True:
            self._nudge.clear()
            await self.sweep()
            timer = asyncio.get_running_loop().call_later(self._pace.removals, self._nudge.set)
            try:
                await self._nudge.wait()
            finally:
                timer.cancel()

    async def sweep(self) -> None:
        """Remove once what is listed now; what cannot be removed stays on the list."""
        try:
            for job_id in self._store.removals():
                await self._executor.forget(job_id)
                await self._store.removed(job_id)
        except (ApiError, OSError) as error:
            self._problems.report("removals", f"Files of deleted jobs cannot be removed now: {error}")
        except Exception as error:  # a defect here must end neither the server nor later removals
            self._problems.report("removals", f"Files of deleted jobs cannot be removed now: {error!r}", error)
        else:
            self._problems.clear("removals")
