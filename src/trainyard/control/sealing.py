"""What a job with a key leaves in the clear while it runs is sealed or removed at its end, sooner or later.

That is its output (sealed file by file) and the files of its runs, which hold its environment (removed). Which jobs are
to be seen to is written down with their data keys, and each step may be repeated: a crash delays it, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from trainyard.core.errors import ApiError
from trainyard.core.jobs import Job
from trainyard.core.states import FINAL
from trainyard.executor import Executor
from trainyard.keyring import Vault
from trainyard.store import Run

_PAUSE_SECONDS: Final = 0.5
_MOST_RUNS: Final = 1024
_log = logging.getLogger("trainyard.keys")


class Jobs(Protocol):
    """The part of a store that is asked."""

    def find(self, job_id: int) -> Job | None:
        """See Desk."""

    def runs_after(self, job_id: int, run_id: int, most: int) -> Sequence[Run]:
        """See Desk."""

    def on_write(self, listener: Callable[[int, Job | None], None]) -> None:
        """See Ledger."""


class SealsOutput(Protocol):
    """The part of a log book that seals."""

    def seal(self, job_id: int, owner: int) -> None:
        """Seal what a job that has ended has written, by the data key of `owner`. Blocks; may be repeated."""


class Sealing:
    """`forget_gone` first, then `run` it as one task of the server's loop."""

    def __init__(self, vault: Vault, jobs: Jobs, executor: Executor, output: SealsOutput) -> None:
        self._vault = vault
        self._jobs = jobs
        self._executor = executor
        self._output = output
        self._deleted: set[int] = set()
        self._through: dict[int, int] = {}  # by search that goes on: up to this trial's job all are sealed
        self._sealed: set[int] = set()  # of its later ones, these
        self.problem = ""
        jobs.on_write(self._hinted)

    def problems(self) -> tuple[str, ...]:
        """What keeps jobs from being sealed just now, in a sentence; empty when all is well."""
        return (self.problem,) if self.problem else ()

    async def forget_gone(self) -> None:
        """Forget the data keys of jobs that are not there; before anybody is let in, who might be just making one."""
        for owner in await asyncio.to_thread(self._vault.owners) if self._vault.in_use else ():
            if self._jobs.find(owner) is None:
                await asyncio.to_thread(self._vault.drop, owner)

    async def run(self) -> None:
        """See to jobs that end or are deleted, for ever."""
        while True:
            await self.sweep()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def sweep(self) -> None:
        """See to every job that has ended by now; what cannot be done stays to be done, and holds up no other."""
        failed: list[tuple[str, Exception | None]] = []
        steps = [(self._drop, owner) for owner in self._deleted]
        for step, owner in [*steps, *((self._see_to, owner) for owner in self._vault.pending())]:
            await asyncio.sleep(0)  # hundreds may just be running
            sentence = f"What job {owner} with an encryptionSpec has left cannot be sealed now"
            try:
                await step(owner)
            except (ApiError, OSError) as error:
                failed.append((f"{sentence}, and is in the clear: {error}", None))
            except Exception as error:  # a defect here must end neither the server nor later tries
                failed.append((f"{sentence}: {error!r}", error))
        self._report(*(failed[0] if failed else ("", None)))

    async def _drop(self, owner: int) -> None:
        await asyncio.to_thread(self._vault.drop, owner)
        self._deleted.discard(owner)

    async def _see_to(self, owner: int) -> None:
        job = self._jobs.find(owner)
        if job is None:
            return
        trials_are_sealed = await self._see_to_trials(owner)
        if job.is_final and trials_are_sealed:
            await self._seal(owner, owner)
            await asyncio.to_thread(self._vault.all_sealed, owner)
            self._through.pop(owner, None)

    async def _see_to_trials(self, owner: int) -> bool:
        """Seal those of the owner's trials that have ended, if it has any; whether these are all of them."""
        over, after, failed = True, self._through.get(owner, 0), None
        while runs := self._jobs.runs_after(owner, after, _MOST_RUNS):
            for run in runs:
                try:
                    over = await self._is_sealed(run, owner) and over
                except (ApiError, OSError) as error:
                    over, failed = False, failed or error
                if over:
                    self._through[owner] = run.id
                    self._sealed.discard(run.id)
            after = runs[-1].id
        if failed is not None:
            raise failed
        return over

    async def _is_sealed(self, run: Run, owner: int) -> bool:
        if run.state in FINAL and run.id not in self._sealed:
            await self._seal(run.id, owner)
            self._sealed.add(run.id)
        return run.state in FINAL

    async def _seal(self, job_id: int, owner: int) -> None:
        if await asyncio.to_thread(self._vault.is_shredded, owner):
            await self._executor.forget(job_id)  # it was to be unreadable with its key, and cannot be sealed any more
            return
        await self._executor.forget(job_id, output=False)
        await asyncio.to_thread(self._output.seal, job_id, owner)

    def _hinted(self, job_id: int, fresh: Job | None) -> None:
        if fresh is None and self._vault.in_use and self._jobs.find(job_id) is None:
            self._deleted.add(job_id)

    def _report(self, sentence: str, error: Exception | None) -> None:
        if sentence and sentence != self.problem:
            _log.warning("%s", sentence, exc_info=error)
        self.problem = sentence
