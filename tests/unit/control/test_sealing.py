"""What a job leaves is sealed at its end, whatever comes in between; what cannot be done now is told and done later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trainyard.control.sealing import Sealing
from trainyard.core.errors import Internal
from trainyard.core.jobs import Job, Parentage
from trainyard.core.names import KeyName, Scope
from trainyard.core.states import JobState
from trainyard.core.trials import Stage
from trainyard.keyrings.local.ring import open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.store import Run
from trainyard.testing.builders import plain_job

SCOPE = Scope.of("p", "us-central1")
KEY = KeyName(SCOPE, "r", "k")


class Jobs:
    """Jobs in plain values."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.listener: Callable[[int, Job | None], None] = lambda *_: None
        self.asked: list[int] = []  # behind which trials

    def find(self, job_id: int) -> Job | None:
        """The job."""
        return self.jobs.get(job_id)

    def runs_after(self, job_id: int, run_id: int, most: int) -> list[Run]:
        """Its trials' jobs."""
        self.asked.append(run_id)
        children = [job for job in self.jobs.values() if job.parent and job.parent.job_id == job_id]
        return [Run(job.id, Stage.SEARCH, 1, job.status.state) for job in children if job.id > run_id][:most]

    def on_write(self, listener: Callable[[int, Job | None], None]) -> None:
        """Who is told."""
        self.listener = listener

    def end(self, job_id: int) -> None:
        """The job ends."""
        job = self.jobs[job_id]
        self.jobs[job_id] = replace(job, status=replace(job.status, state=JobState.SUCCEEDED))


class Traces:
    """Takes the places of executor and log book, and writes down what they are asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.broken: Exception | None = None
        self.damaged: set[int] = set()

    async def forget(self, job_id: int, *, output: bool = True) -> None:
        """See Executor."""
        self.asked.append(("forget" if output else "clear", job_id))

    def seal(self, job_id: int, owner: int) -> None:
        """See SealsOutput."""
        if self.broken is not None:
            raise self.broken
        if job_id in self.damaged:
            raise Internal("damaged")
        self.asked.append((f"seal by {owner}", job_id))


def ground(directory: Path, *jobs: Job) -> tuple[DataVault, Jobs, Traces, Sealing]:
    """A vault in which the jobs without a parent have their data keys, and what sees to them."""
    vault = DataVault(directory, open_ring(directory))
    vault.create(KEY, 1)
    for job in jobs:
        if job.parent is None:
            vault.admit(job.id, SCOPE, str(KEY))
    known, traces = Jobs(*jobs), Traces()
    return vault, known, traces, Sealing(vault, known, traces, traces)  # type: ignore[arg-type]  # two calls of Executor


def test_a_job_is_sealed_once_it_has_ended(tmp_path: Path) -> None:
    """Its runs are cleared, its output is sealed, and then it is looked at no more."""
    vault, jobs, traces, sealing = ground(tmp_path, plain_job(7))
    asyncio.run(sealing.sweep())
    assert traces.asked == []
    jobs.end(7)
    asyncio.run(sealing.sweep())
    asyncio.run(sealing.sweep())
    assert traces.asked == [("clear", 7), ("seal by 7", 7)]
    assert vault.pending() == ()


def test_what_cannot_be_sealed_is_told_and_tried_again(tmp_path: Path) -> None:
    """A full disk, or a defect of ours: the sentence is there until it is mended."""
    vault, jobs, traces, sealing = ground(tmp_path, plain_job(7))
    jobs.end(7)
    for broken in (OSError(28, "No space left on device"), RuntimeError("a defect")):
        traces.broken = broken
        asyncio.run(sealing.sweep())
        (told,) = sealing.problems()
        assert "cannot be sealed now" in told
        assert str(broken) in told
        assert vault.pending() == (7,)
    traces.broken = None
    asyncio.run(sealing.sweep())
    assert sealing.problems() == ()
    assert vault.pending() == ()


def test_one_that_cannot_be_sealed_holds_up_no_other(tmp_path: Path) -> None:
    """Damaged output of a job, or of one trial among others, is told of, and all else is sealed."""
    trials = [replace(plain_job(job_id), parent=Parentage(9, Stage.SEARCH, job_id - 9)) for job_id in (10, 11)]
    vault, jobs, traces, sealing = ground(tmp_path, plain_job(7), plain_job(8), plain_job(9), *trials)
    for job_id in jobs.jobs:
        jobs.end(job_id)
    traces.damaged = {7, 10}
    for _ in range(2):
        asyncio.run(sealing.sweep())
        assert [what for what in traces.asked if what[0].startswith("seal")] == [("seal by 8", 8), ("seal by 9", 11)]
        assert vault.pending() == (7, 9)
        assert "What job 7" in sealing.problem
    traces.damaged = set()
    asyncio.run(sealing.sweep())
    assert (vault.pending(), sealing.problems()) == ((), ())


def test_sealed_trials_are_looked_at_no_more(tmp_path: Path) -> None:
    """A long search costs what its open trials do."""
    trials = [replace(plain_job(job_id), parent=Parentage(7, Stage.SEARCH, job_id - 7)) for job_id in range(8, 18)]
    vault, jobs, _, sealing = ground(tmp_path, plain_job(7), *trials)
    for job_id in (*range(8, 15), 16):
        jobs.end(job_id)
    asyncio.run(sealing.sweep())
    jobs.asked.clear()
    asyncio.run(sealing.sweep())
    assert jobs.asked == [14, 17]
    for job_id in (15, 17, 7):
        jobs.end(job_id)
    asyncio.run(sealing.sweep())
    assert vault.pending() == ()


def test_trials_are_sealed_as_they_end_each_once(tmp_path: Path) -> None:
    """By the data key of their search, which is over only when it and all of them are."""
    trials = [replace(plain_job(job_id), parent=Parentage(7, Stage.SEARCH, job_id - 7)) for job_id in (8, 9)]
    vault, jobs, traces, sealing = ground(tmp_path, plain_job(7), *trials)
    jobs.end(8)
    asyncio.run(sealing.sweep())
    jobs.end(7)
    asyncio.run(sealing.sweep())
    assert traces.asked == [("clear", 8), ("seal by 7", 8)]
    jobs.end(9)
    asyncio.run(sealing.sweep())
    assert traces.asked[2:] == [("clear", 9), ("seal by 7", 9), ("clear", 7), ("seal by 7", 7)]
    assert vault.pending() == ()


def test_what_a_destroyed_key_should_have_sealed_is_removed(tmp_path: Path) -> None:
    """It can be sealed no more, and must not stay in the clear."""
    vault, jobs, traces, sealing = ground(tmp_path, plain_job(7))
    vault.destroy(KEY)
    jobs.end(7)
    asyncio.run(sealing.sweep())
    assert traces.asked == [("forget", 7)]
    assert vault.pending() == ()


def test_data_keys_go_with_their_jobs(tmp_path: Path) -> None:
    """When a job is deleted, and at the start those whose job was never made or went meanwhile; no other."""
    vault, jobs, _, sealing = ground(tmp_path, plain_job(7), plain_job(8), plain_job(9))
    del jobs.jobs[7]
    asyncio.run(sealing.forget_gone())
    assert vault.owners() == (8, 9)
    del jobs.jobs[8]
    jobs.listener(8, None)
    jobs.listener(9, None)
    jobs.listener(9, jobs.jobs[9])
    asyncio.run(sealing.sweep())
    assert vault.owners() == (9,)
