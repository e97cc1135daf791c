"""What jobs with a key write below their baseOutputDirectory is sealed once they have ended, and open while they run.

It is noted before the first program starts, so that neither a crash nor the job's deletion loses it. Nothing is sealed
under the hands of a program: while another job may write to the same place, it waits, and while it is sealed, a job
that is to start there waits. A job finds in the clear what others have sealed there under its own key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from trainyard.core.errors import ApiError, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from trainyard.core.object_paths import bucket_and_prefix, check_bucket
from trainyard.core.states import JobState
from trainyard.keyring import Output, lasting
from trainyard.kind import Searches
from trainyard.objects import OpenedBelow, Outputs, SealsInPlace

if TYPE_CHECKING:
    from trainyard.core.jobs import Job
    from trainyard.core.runs import RunGroup
    from trainyard.keyring import Vault
    from trainyard.kind import Kind
    from trainyard.store import Standing

_PAUSE_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 10.0  # what could not be sealed is tried again
_PATIENCE_SECONDS: Final = 2.0  # a step of a job waits no longer; it comes again
_PAGE: Final = 200
_NOT_HERE: Final = (
    "What it writes to gs:// is not sealed under its key, because the service keeps objects in an object store "
    "(objects_url): have that store encrypt them."
)
_AS_SEALED: Final = (
    "by their path in /gcs programs find sealed bytes; through gs:// they read them while that key is there."
)
_MOST_LOOKED_AT: Final = 200  # for a sentence, no more
_log = logging.getLogger("trainyard.keys")


class Jobs(Protocol):
    """The part of a store that is asked."""

    def find(self, job_id: int) -> Job | None:
        """See Ledger."""

    def runs(self) -> tuple[Job, ...]:
        """See Ledger."""

    def census(self, after: int, most: int) -> Sequence[Standing]:
        """See Ledger."""


class OutputSealing:
    """`ready` before every launch; `run` it as one task of the server's loop."""

    def __init__(self, vault: Vault, jobs: Jobs, kinds: Mapping[str, Kind], objects: object) -> None:
        """`objects` without the talent SealsInPlace stay as they are, and jobs are told so."""
        self.vault = vault
        self._jobs = jobs
        self._kinds = kinds
        self._objects = objects if isinstance(objects, SealsInPlace) else None
        self._sealing: dict[int, Outputs] = {}  # what is being sealed just now, by job
        self._opening: dict[int, asyncio.Task[OpenedBelow]] = {}
        self._ready: set[int] = set()  # jobs that have found theirs open; nothing seals it before their end
        self._waits_for: dict[int, int] = {}  # job that has ended -> job that may still write there
        self._problems: dict[int, str] = {}
        self._again: dict[int, float] = {}  # when to try it again, by the loop's clock

    def problems(self) -> tuple[str, ...]:
        """What keeps output from being sealed just now, one sentence each."""
        return tuple(self._problems.values())

    async def ready(self, job: Job, group: RunGroup) -> str:
        """Let a run group find its output directory as it should; what people should know of that, or nothing.

        Raises Unavailable where that takes longer; ask again.
        """
        uri = group.base_output_uri
        if not self.vault.in_use or not _is_place(uri):
            return ""
        await self._until_still(*bucket_and_prefix(uri))
        if job.id in self._ready:
            return ""
        if self._objects is None:
            return _NOT_HERE if job.seal is not None else ""
        if job.seal is None:
            with contextlib.suppress(OSError, Unavailable):  # what is only worth a sentence holds no job up
                if await asyncio.to_thread(self._objects.any_sealed, *bucket_and_prefix(uri), _MOST_LOOKED_AT):
                    return f"There are objects below {uri} that are sealed: {_AS_SEALED}"
            return ""
        try:
            await asyncio.to_thread(self.vault.expect_output, job.seal.owner, job.id, uri, job.create_time_us)
            found = await self._opened(self._objects, job, uri)
        except (NotFound, FailedPrecondition, OSError) as error:
            raise Unavailable(f"What lies sealed below {uri} cannot be opened for {job.name} now: {error}") from None
        self._ready.add(job.id)
        return _told(found, uri)

    async def run(self) -> None:
        """See to jobs that end, for ever."""
        while True:
            await self.sweep()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def sweep(self) -> None:
        """Seal what jobs that have ended by now have left; what cannot be done stays to be done."""
        now = asyncio.get_running_loop().time()
        for output in self.vault.outputs():
            if now < self._again.get(output.job, 0.0):
                continue
            await asyncio.sleep(0)  # hundreds may be waiting for their jobs' ends
            self._again[output.job] = now + _AGAIN_SECONDS
            try:
                await self._see_to(output)
            except (ApiError, OSError) as error:
                self._report(output, f"cannot be sealed now, and is in the clear: {error}")
            except Exception as error:  # a defect here must end neither the server nor later tries
                self._report(output, f"cannot be sealed now: {error!r}", error)
            else:
                self._problems.pop(output.job, None)
                del self._again[output.job]

    async def _see_to(self, output: Output) -> None:
        objects, place = self._objects, _place(output)
        job = self._jobs.find(output.job)
        if objects is None or (job is not None and not job.is_final) or self._is_opening(output.job):
            return
        waits_for = self._waits_for.get(output.job)
        if waits_for is not None and not self._is_over(waits_for):
            return
        self._sealing[output.job] = place  # from here on nobody starts there
        try:
            blocker = await self._writer(output.job, place)
            if blocker is not None:
                self._waits_for[output.job] = blocker
                return
            if await asyncio.to_thread(self.vault.is_shredded, output.owner):
                # It cannot be sealed any more, and must not stay in the clear.
                until_us = job.status.end_time_us if job is not None else None
                await asyncio.to_thread(objects.remove_below, place, until_us)
            else:
                await asyncio.to_thread(objects.seal_below, place, output.owner)
            await asyncio.to_thread(self.vault.output_sealed, output.job)
            self._ready.discard(output.job)
            self._waits_for.pop(output.job, None)
        finally:
            del self._sealing[output.job]

    async def _writer(self, job_id: int, place: Outputs) -> int | None:
        """Another job whose programs may write to the place, now or when its next attempt starts; None: there is none.

        Those that were never started wait in `ready`.
        """
        for output in self.vault.outputs():
            elsewhere = output.job == job_id or not place.overlaps(*bucket_and_prefix(output.uri))
            if not elsewhere and not self._is_over(output.job):
                return output.job
        for job in self._jobs.runs():
            if job.id != job_id and self._writes(job, place):
                return job.id
            await asyncio.sleep(0)  # of hundreds of jobs the specs take a while
        after = 0
        while page := self._jobs.census(after, _PAGE):
            for one in page:
                waiting = self._jobs.find(one.id) if one.state is JobState.QUEUED else None
                if waiting is not None and self._writes(waiting, place):
                    return waiting.id
            after = page[-1].id
            await asyncio.sleep(0)
        return None

    def _writes(self, job: Job, place: Outputs) -> bool:
        """Whether a job has begun to write there, as far as it can be read; if it can't, it is noted."""
        kind, attempt = self._kinds[job.name.collection], job.status.attempt
        if not attempt or isinstance(kind, Searches) or (job.seal is not None and job.seal.locked):
            return False
        begun = replace(job, status=replace(job.status, run_id=job.status.run_id or f"{job.id}-{attempt}"))
        uri = kind.run_group(begun).base_output_uri
        return _is_place(uri) and place.overlaps(*bucket_and_prefix(uri))

    def _is_over(self, job_id: int) -> bool:
        job = self._jobs.find(job_id)
        return job is None or job.is_final

    def _is_opening(self, job_id: int) -> bool:
        task = self._opening.get(job_id)
        if task is not None and task.done():
            del self._opening[job_id]
        return job_id in self._opening

    async def _until_still(self, bucket: str, prefix: str) -> None:
        """Until nothing is being sealed there; raises Unavailable."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE_SECONDS
        while any(place.overlaps(bucket, prefix) for place in self._sealing.values()):
            if loop.time() > until:
                raise Unavailable(
                    f"What an ended job has left below gs://{bucket}/{prefix} is being sealed under its key; "
                    "jobs that write there start when that is done."
                )
            await asyncio.sleep(0.02)

    async def _opened(self, objects: SealsInPlace, job: Job, uri: str) -> OpenedBelow:
        """What lies sealed under the job's own key is in the clear. Raises Unavailable where that takes longer."""
        assert job.seal is not None
        task = self._opening.get(job.id)
        if task is None:
            work = asyncio.to_thread(self._open, objects, lasting(job.seal.owner), uri)
            task = self._opening[job.id] = asyncio.create_task(work, name=f"opening for {job.id}")
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
        if not done:
            raise Unavailable(f"{job.name} starts when what lies sealed below {uri} under its key has been opened.")
        self._opening.pop(job.id, None)
        return task.result()

    def _open(self, objects: SealsInPlace, owner: int, uri: str) -> OpenedBelow:
        key = self.vault.key_of(owner)
        return objects.open_below(*bucket_and_prefix(uri), lambda other: self.vault.key_of(other) == key)

    def _report(self, output: Output, what: str, error: Exception | None = None) -> None:
        sentence = f"What job {output.job} has written below {output.uri} {what}"
        if sentence != self._problems.get(output.job):
            _log.warning("%s", sentence, exc_info=error)
        self._problems[output.job] = sentence


def _is_place(uri: str) -> bool:
    """Whether objects can lie there."""
    try:
        check_bucket(bucket_and_prefix(uri)[0])
    except InvalidArgument:
        return False
    return uri.startswith("gs://")


def _place(output: Output) -> Outputs:
    return Outputs(*bucket_and_prefix(output.uri), output.since_us)


def _told(found: OpenedBelow, uri: str) -> str:
    said = []
    if found.locked:
        said.append(f"{found.locked} object(s) below {uri} are sealed under another key: {_AS_SEALED}")
    if found.damaged:
        said.append(f"{found.damaged} sealed object(s) below {uri} are damaged and could not be opened.")
    return " ".join(said)
