"""While a job with a key runs, what it prints lies in the clear for about a second: then it is sealed where it lies.

Twice a second every stream of every such job is looked at; at the job's end control/sealing.py sees to the rest.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from trainyard.control.sealing import Jobs
from trainyard.core.errors import ApiError
from trainyard.core.states import FINAL
from trainyard.keyring import CannotBlank, Vault

_PAUSE_SECONDS: Final = 0.5
_MOST_RUNS: Final = 1024
_log = logging.getLogger("trainyard.keys")


class SealsGrowth(Protocol):
    """The part of a log book that seals what grows."""

    def seal_growth(self, job_id: int, owner: int) -> bool:
        """Seal what a running job has written by the look before, by the data key of `owner`. Blocks.

        True: there is more to be sealed at once. Raises as Seals.seal_growth.
        """


class LiveSealing:
    """`run` it as one task of the server's loop."""

    def __init__(self, vault: Vault, jobs: Jobs, output: SealsGrowth) -> None:
        """Nothing is looked at before `run`."""
        self._vault = vault
        self._jobs = jobs
        self._output = output
        self._over: dict[int, int] = {}  # by search: up to this trial's job all have ended
        self.problem = ""
        self.cannot = ""

    def problems(self) -> tuple[str, ...]:
        """What keeps output from being sealed just now, in a sentence; empty when all is well."""
        return (self.problem,) if self.problem else ()

    async def run(self) -> None:
        """Look at all that runs, for ever."""
        while True:
            if not await self.look():
                await asyncio.sleep(_PAUSE_SECONDS)

    async def look(self) -> bool:
        """Seal what was there at the look before; True: there is more, look again at once."""
        try:
            running: list[tuple[int, int]] = []
            for owner in self._vault.pending():
                running += [(job_id, owner) for job_id in self._running(owner)]
                await asyncio.sleep(0)  # there may be hundreds
            return bool(running) and await asyncio.to_thread(self._seal, running)
        except Exception as error:  # a defect here must end neither the server nor later looks
            self._report(f"The output of jobs with an encryptionSpec cannot be sealed while they run: {error!r}", error)
            return False

    def _running(self, owner: int) -> list[int]:
        """The jobs that may be writing: a job itself, or a search's trials."""
        job = self._jobs.find(owner)
        if job is None or job.is_final:
            self._over.pop(owner, None)
            return []
        found, after, all_over = [owner], self._over.get(owner, 0), True
        while runs := self._jobs.runs_after(owner, after, _MOST_RUNS):
            for run in runs:
                all_over = all_over and run.state in FINAL
                if all_over:
                    self._over[owner] = run.id
                elif run.state not in FINAL:
                    found.append(run.id)
            after = runs[-1].id
        return found

    def _seal(self, running: list[tuple[int, int]]) -> bool:
        """One trouble does not keep the others in the clear."""
        more, trouble = False, ""
        for job_id, owner in running:
            try:
                more = self._output.seal_growth(job_id, owner) or more
            except CannotBlank as error:
                self._cannot(str(error))
            except (ApiError, OSError) as error:
                if not self._vault.is_shredded(owner):  # else it is being ended, and all of it removed
                    trouble = trouble or f"Output of job {job_id} cannot be sealed now, and is in the clear: {error}"
        self._report(trouble)
        return more

    def _cannot(self, path: str) -> None:
        if not self.cannot:
            self.cannot = (
                f"The file system of {path} cannot punch holes: output of jobs with an encryptionSpec stays in the "
                "clear until they end. Use ext4, xfs, btrfs or tmpfs for the data directory, or encrypt its disk."
            )
            _log.warning("%s", self.cannot)

    def _report(self, sentence: str, error: Exception | None = None) -> None:
        if sentence and sentence != self.problem:
            _log.warning("%s", sentence, exc_info=error)
        self.problem = sentence
