"""Outputs are sealed when nobody can write to them any more, and open before anybody may; whatever comes in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainyard.control import outputs
from trainyard.control.outputs import OutputSealing
from trainyard.core.errors import Unavailable
from trainyard.core.jobs import Job, Seal
from trainyard.core.names import KeyName, Scope
from trainyard.core.runs import RunGroup
from trainyard.core.states import FINAL, JobState
from trainyard.keyring import lasting
from trainyard.keyrings.local.ring import open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.objects import ObjectSeals, OpenedBelow, Outputs
from trainyard.store import Standing
from trainyard.testing.builders import PlainKind, plain_job

SCOPE = Scope.of("p", "us-central1")
KEY = KeyName(SCOPE, "r", "k")
HERE = "gs://b/out/"


class Jobs:
    """Jobs in plain values, and where they write to."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.places: dict[int, str] = {}

    def find(self, job_id: int) -> Job | None:
        """The job."""
        return self.jobs.get(job_id)

    def runs(self) -> tuple[Job, ...]:
        """What may hold processes."""
        return tuple(j for j in self.jobs.values() if j.status.state not in {*FINAL, JobState.QUEUED})

    def census(self, after: int, most: int) -> Sequence[Standing]:
        """All that are not over."""
        live = [job for job in self.jobs.values() if not job.is_final and job.id > after]
        return [Standing(job.id, 0, job.status.state, 0) for job in sorted(live, key=lambda job: job.id)][:most]

    def add(self, job_id: int, place: str = HERE, *, key: bool, attempt: int = 1, **status: Any) -> Job:
        """One that runs, or is as `status` says."""
        job = plain_job(job_id, create_time_us=job_id)
        run_id = f"{job_id}-{attempt}" if attempt else None
        status = {"state": JobState.RUNNING, "run_id": run_id, "attempt": attempt} | status
        job = replace(job, status=replace(job.status, **status), seal=Seal(job_id) if key else None)
        self.jobs[job_id], self.places[job_id] = job, place
        return job

    def end(self, job_id: int, end_us: int = 99) -> None:
        """It has ended."""
        job = self.jobs[job_id]
        self.jobs[job_id] = replace(job, status=replace(job.status, state=JobState.SUCCEEDED, end_time_us=end_us))


class Kind(PlainKind):
    """A kind whose jobs have output directories."""

    def __init__(self, places: dict[int, str]) -> None:
        super().__init__()
        self._places = places

    def run_group(self, job: Job) -> RunGroup:
        """With the directory."""
        return replace(super().run_group(job), base_output_uri=self._places[job.id])


class Objects:
    """Takes the place of a store, and writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.broken: Exception | None = None
        self.found = OpenedBelow()
        self.may_open: Callable[[int], bool] = lambda _: False
        self.gate: threading.Event | None = None

    def share_seals(self, seals: ObjectSeals) -> None:
        """Not asked."""

    def seal_below(self, outputs: Outputs, owner: int) -> None:
        """See SealsInPlace."""
        self._do("seal", outputs, owner)

    def open_below(self, bucket: str, prefix: str, may_open: Callable[[int], bool]) -> OpenedBelow:
        """See SealsInPlace."""
        self.may_open = may_open
        self._do("open", bucket, prefix)
        return self.found

    def any_sealed(self, bucket: str, prefix: str, most: int) -> bool:
        """See SealsInPlace."""
        if self.broken is not None:
            raise self.broken
        return bucket == "b" and prefix == "out/" and most > 0 and self.found.locked > 0

    def remove_below(self, outputs: Outputs, until_us: int | None) -> None:
        """See SealsInPlace."""
        self._do("remove", outputs, until_us)

    def _do(self, *what: Any) -> None:
        if self.gate is not None:
            self.gate.wait(30)
        if self.broken is not None:
            raise self.broken
        self.asked.append(what)


class Ground:
    """A vault, jobs, objects, and what sees to them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.vault = DataVault(directory, open_ring(directory))
        self.vault.create(KEY, 1)
        self.jobs, self.objects = Jobs(), Objects()
        self.seals = self.fresh()

    def fresh(self, objects: object = None) -> OutputSealing:
        """As after a restart."""
        return OutputSealing(self.vault, self.jobs, {Kind.collection: Kind(self.jobs.places)}, objects or self.objects)

    def job(self, job_id: int, place: str = HERE, **status: Any) -> Job:
        """One with the key, which has begun."""
        self.vault.admit(job_id, SCOPE, str(KEY))
        job = self.jobs.add(job_id, place, key=True, **status)
        asyncio.run(self.ready(job))
        self.objects.asked.clear()
        return job

    async def ready(self, job: Job, seals: OutputSealing | None = None) -> str:
        """Let it start."""
        return await (seals or self.seals).ready(job, Kind(self.jobs.places).run_group(job))

    def sweep(self) -> list[tuple[Any, ...]]:
        """What a look at it makes it do."""
        self.objects.asked.clear()
        asyncio.run(self.seals.sweep())
        return list(self.objects.asked)


@contextmanager
def refused(match: str) -> Iterator[None]:
    """The start is told to come again, without patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "_PATIENCE_SECONDS", 0.02)
        with pytest.raises(Unavailable, match=match):
            yield


def bounded(work: Coroutine[Any, Any, None]) -> None:
    """Run it; one that never ends fails."""
    asyncio.run(asyncio.wait_for(work, 30))


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A fresh one; how long a thread takes to come to its turn is not what is tried."""
    monkeypatch.setattr(outputs, "_PATIENCE_SECONDS", 30.0)
    monkeypatch.setattr(outputs, "_AGAIN_SECONDS", 0.0)
    return Ground(tmp_path)


def sealing(job_id: int, prefix: str = "out/") -> tuple[str, Outputs, int]:
    """What the store is asked for a job."""
    return "seal", Outputs("b", prefix, job_id), lasting(job_id)


def test_outputs_are_sealed_once_their_job_has_ended(ground: Ground) -> None:
    """Not before, and once; the key is in use until then."""
    ground.job(7)
    ground.vault.all_sealed(7)
    assert ground.sweep() == []
    assert ground.vault.use_of(KEY).open_jobs == 1
    ground.jobs.end(7)
    assert ground.sweep() == [sealing(7)]
    assert ground.sweep() == []
    assert ground.vault.use_of(KEY).open_jobs == 0
    assert ground.vault.use_of(KEY).outputs == 1


def test_a_restart_or_a_deletion_forgets_nothing(ground: Ground) -> None:
    """What is noted is sealed by the next process, also when the job and its own data key are gone by then."""
    ground.job(7)
    ground.vault.close()
    ground.vault = DataVault(ground.directory, open_ring(ground.directory))
    ground.seals = ground.fresh()
    del ground.jobs.jobs[7]
    ground.vault.drop(7)
    assert ground.sweep() == [sealing(7)]
    assert ground.vault.outputs() == ()
    assert not ground.vault.why_locked(lasting(7))


@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.CANCELLING, JobState.QUEUED])
def test_it_waits_for_others_who_may_write_there(ground: Ground, key: bool, state: JobState) -> None:
    """With a key or without, also one that is in the queue for its next attempt; not for those elsewhere."""
    ground.job(7)
    ground.jobs.add(5, "gs://b/outer/", key=False)
    ground.jobs.add(6, "", key=False)
    run_id = None if state is JobState.QUEUED else "8-1"
    if key:
        ground.job(8, "gs://b/out/deeper/", state=state, run_id="8-1")
    ground.jobs.add(8, "gs://b/out/deeper/", key=key, state=state, run_id=run_id)
    ground.jobs.end(7)
    assert ground.sweep() == []
    assert ground.sweep() == []
    ground.jobs.end(8)
    assert sealing(7) in ground.sweep()


def test_one_that_was_never_started_is_not_waited_for(ground: Ground) -> None:
    """It waits itself, in `ready`."""
    ground.job(7)
    ground.jobs.add(8, key=False, attempt=0, state=JobState.QUEUED)
    ground.jobs.end(7)
    assert ground.sweep() == [sealing(7)]


def test_nobody_starts_where_something_is_being_sealed(ground: Ground) -> None:
    """With a key or without: the start comes again, and goes through once it is done. Elsewhere nobody waits."""
    ground.job(7)
    ground.jobs.end(7)
    plain, elsewhere = ground.jobs.add(8, key=False), ground.jobs.add(9, "gs://b/o/", key=False)
    del ground.jobs.jobs[8]  # it was not there yet when the others were looked at

    async def race() -> None:
        ground.objects.gate = threading.Event()
        sweeping = asyncio.create_task(ground.seals.sweep())
        await asyncio.sleep(0)
        while not ground.seals._sealing:
            await asyncio.sleep(0.001)
        with refused("is being sealed"):
            await ground.ready(plain)
        assert await ground.ready(elsewhere) == ""
        ground.objects.gate.set()
        await sweeping
        assert await ground.ready(plain) == ""

    bounded(race())
    assert ground.objects.asked == [sealing(7)]


def test_a_job_finds_open_what_its_own_key_has_sealed(ground: Ground) -> None:
    """Before its first program starts, once; other keys' it finds sealed, and is told."""
    ground.vault.create(other := KeyName(SCOPE, "r", "other"), 1)
    for owner, key in ((5, KEY), (6, other)):
        ground.vault.admit(owner, SCOPE, str(key))
        ground.vault.expect_output(owner, owner, "gs://elsewhere/", 1)
    ground.vault.admit(7, SCOPE, str(KEY))
    job = ground.jobs.add(7, key=True)
    ground.objects.found = OpenedBelow(opened=2, locked=3, damaged=1)
    told = asyncio.run(ground.ready(job))
    assert "3 object(s) below gs://b/out/ are sealed under another key" in told
    assert "1 sealed object(s) below gs://b/out/ are damaged" in told
    assert ground.objects.asked == [("open", "b", "out/")]
    assert ground.objects.may_open(lasting(5))
    assert not ground.objects.may_open(lasting(6))
    assert not ground.objects.may_open(lasting(99))
    assert asyncio.run(ground.ready(job)) == ""
    assert len(ground.objects.asked) == 1


@pytest.mark.parametrize("locked", [0, 3])
def test_a_job_without_a_key_is_told_of_what_it_finds_sealed(ground: Ground, locked: int) -> None:
    """It starts all the same, and nothing of it is noted."""
    ground.job(7, "gs://b/elsewhere/")
    job = ground.jobs.add(8, key=False)
    ground.objects.found = OpenedBelow(locked=locked)
    told = asyncio.run(ground.ready(job))
    assert ("There are objects below gs://b/out/ that are sealed" in told) == bool(locked)
    assert [output.job for output in ground.vault.outputs()] == [7]
    ground.objects.broken = OSError(5, "Input/output error")
    assert asyncio.run(ground.ready(job)) == ""


def test_opening_takes_its_time_and_holds_nothing_up(ground: Ground) -> None:
    """The start comes again until it is done; what ends meanwhile is sealed only after."""
    ground.vault.admit(7, SCOPE, str(KEY))
    job = ground.jobs.add(7, key=True)

    async def slow() -> None:
        ground.objects.gate = threading.Event()
        for _ in range(2):
            with refused("has been opened"):
                await ground.ready(job)
        ground.jobs.end(7)
        await ground.seals.sweep()
        assert ground.objects.asked == []
        ground.objects.gate.set()
        assert await ground.ready(job) == ""
        await ground.seals.sweep()

    bounded(slow())
    assert ground.objects.asked == [("open", "b", "out/"), sealing(7)]


def test_one_that_ends_while_it_is_opened_is_sealed(ground: Ground) -> None:
    """Nobody asks for its start any more."""
    ground.vault.admit(7, SCOPE, str(KEY))
    job = ground.jobs.add(7, key=True)

    async def cancelled() -> None:
        ground.objects.gate = threading.Event()
        with refused("has been opened"):
            await ground.ready(job)
        ground.jobs.end(7)
        ground.objects.gate.set()
        while sealing(7) not in ground.objects.asked:
            await asyncio.sleep(0.001)  # as `run` does between two looks
            await ground.seals.sweep()

    bounded(cancelled())


def test_what_a_destroyed_key_should_have_sealed_is_removed(ground: Ground) -> None:
    """Up to the job's end; of a deleted one, all."""
    ground.job(7)
    ground.job(8, "gs://b/other/")
    ground.vault.destroy(KEY)
    ground.jobs.end(7, end_us=99)
    del ground.jobs.jobs[8]
    assert ground.sweep() == [("remove", Outputs("b", "out/", 7), 99), ("remove", Outputs("b", "other/", 8), None)]
    assert ground.vault.outputs() == ()


@pytest.mark.parametrize("broken", [OSError(28, "No space left on device"), RuntimeError("a defect")])
def test_what_cannot_be_sealed_is_told_and_tried_again(ground: Ground, broken: Exception) -> None:
    """And keeps nothing else from being sealed."""
    ground.job(7)
    ground.job(8, "gs://b/other/")
    ground.jobs.end(7)
    ground.objects.broken = broken
    assert ground.sweep() == []
    (told,) = ground.seals.problems()
    assert "What job 7 has written below gs://b/out/ cannot be sealed now" in told
    assert str(broken) in told
    ground.objects.broken = None
    assert ground.sweep() == [sealing(7)]
    assert ground.seals.problems() == ()


def test_what_cannot_be_opened_keeps_the_job_from_starting(ground: Ground) -> None:
    """With a sentence, and without a defect."""
    ground.vault.admit(7, SCOPE, str(KEY))
    job = ground.jobs.add(7, key=True)
    ground.objects.broken = OSError(28, "No space left on device")
    with pytest.raises(Unavailable, match=r"cannot be opened for .* now: .*No space left"):
        asyncio.run(ground.ready(job))
    ground.objects.broken = None
    assert asyncio.run(ground.ready(job)) == ""


@pytest.mark.parametrize("place", ["", "gs://B!/x/", "gs://"])
def test_a_job_without_a_place_for_objects_just_starts(ground: Ground, place: str) -> None:
    """Nothing is noted of it."""
    ground.job(7, place)
    assert ground.vault.outputs() == ()


def test_an_object_store_elsewhere_is_left_alone_and_the_job_is_told(ground: Ground) -> None:
    """Nothing is noted that nobody could seal."""
    seals = ground.fresh(objects=object())
    ground.vault.admit(7, SCOPE, str(KEY))
    job = ground.jobs.add(7, key=True)
    assert "objects_url" in asyncio.run(ground.ready(job, seals))
    assert ground.vault.outputs() == ()
    asyncio.run(seals.sweep())
