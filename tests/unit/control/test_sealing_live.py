"""What running jobs print is looked at again and again, and no trouble with one keeps another in the clear."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainyard.control.last_lines import with_last_lines
from trainyard.control.sealing_live import LiveSealing
from trainyard.core.errors import FailedPrecondition
from trainyard.core.jobs import Job, Parentage
from trainyard.core.names import KeyName, Scope
from trainyard.core.runs import Cause, Exit, Phase, Reading, ReplicaReading
from trainyard.core.states import JobState
from trainyard.core.trials import Stage
from trainyard.keyring import CannotBlank
from trainyard.keyrings.local.ring import open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.store import Run
from trainyard.testing.builders import plain_job

SCOPE = Scope.of("p", "us-central1")
KEY = KeyName(SCOPE, "r", "k")


def in_state(job_id: int, state: JobState, **fields: Any) -> Job:
    """A job in this state."""
    job = plain_job(job_id, **fields)
    return replace(job, status=replace(job.status, state=state))


class Jobs:
    """Jobs in plain values; counts what it is asked of trials."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.asked: list[int] = []

    def find(self, job_id: int) -> Job | None:
        """The job."""
        return self.jobs.get(job_id)

    def runs_after(self, job_id: int, run_id: int, most: int) -> list[Run]:
        """Its trials' jobs."""
        self.asked.append(run_id)
        children = [job for job in self.jobs.values() if job.parent and job.parent.job_id == job_id]
        return [Run(job.id, Stage.SEARCH, 1, job.status.state) for job in children if job.id > run_id][:most]

    def on_write(self, _: object) -> None:
        """Nobody has to be told."""


class Output:
    """Takes the log book's place, and fails where it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.broken: dict[int, Exception] = {}
        self.more: list[bool] = []

    def seal_growth(self, job_id: int, owner: int) -> bool:
        """See SealsGrowth."""
        self.asked.append((job_id, owner))
        if job_id in self.broken:
            raise self.broken[job_id]
        return self.more.pop(0) if self.more else False


def ground(directory: Path, *jobs: Job) -> tuple[DataVault, Jobs, Output, LiveSealing]:
    """A vault with the data keys of the jobs without a parent, and what looks at their output."""
    vault = DataVault(directory, open_ring(directory))
    vault.create(KEY, 1)
    for job in jobs:
        if job.parent is None:
            vault.admit(job.id, SCOPE, str(KEY))
    known, output = Jobs(*jobs), Output()
    return vault, known, output, LiveSealing(vault, known, output)


def test_all_that_run_are_looked_at(tmp_path: Path) -> None:
    """Jobs, and trials by their search's key; what has ended is control/sealing.py's, and is asked for no more."""
    trials = [
        in_state(number, state, parent=Parentage(3, Stage.SEARCH, number))
        for number, state in ((4, JobState.SUCCEEDED), (5, JobState.RUNNING), (6, JobState.FAILED))
    ]
    jobs = [in_state(1, JobState.RUNNING), in_state(2, JobState.SUCCEEDED), in_state(3, JobState.RUNNING), *trials]
    _, known, output, live = ground(tmp_path, *jobs)
    for _ in range(2):
        assert not asyncio.run(live.look())
        assert output.asked == [(1, 1), (3, 3), (5, 3)]
        output.asked.clear()
    assert known.asked == [0, 0, 6, 0, 4, 6]  # the trial that had ended before all others was passed over


def test_nothing_is_asked_where_no_job_names_a_key(tmp_path: Path) -> None:
    """Neither the store nor the disk."""
    _, known, output, live = ground(tmp_path)
    assert not asyncio.run(live.look())
    assert (known.asked, output.asked, live.problems()) == ([], [], ())


def test_a_trouble_is_told_and_keeps_no_other_job_in_the_clear(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in the log, in the health of the service for as long as it lasts."""
    _, _, output, live = ground(tmp_path, in_state(1, JobState.RUNNING), in_state(2, JobState.RUNNING))
    output.broken[1] = OSError(28, "No space left on device")
    for _ in range(2):
        asyncio.run(live.look())
    assert output.asked == [(1, 1), (2, 2)] * 2
    (problem,) = live.problems()
    assert "Output of job 1 cannot be sealed now, and is in the clear: [Errno 28] No space left" in problem
    assert len(caplog.messages) == 1
    output.broken[1] = RuntimeError("a defect")
    asyncio.run(live.look())
    assert "a defect" in live.problems()[0]
    output.broken.clear()
    output.more = [True]
    assert asyncio.run(live.look())  # there is more: at once again
    assert live.problems() == ()


def test_a_file_system_without_holes_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With what it means and what to do; it is no trouble that passes."""
    _, _, output, live = ground(tmp_path, in_state(1, JobState.RUNNING))
    output.broken[1] = CannotBlank("/data/logs/1/0.workerpool0-0.0/stdout")
    for _ in range(2):
        asyncio.run(live.look())
    assert live.problems() == ()
    (sentence,) = caplog.messages
    assert "/data/logs/1/0.workerpool0-0.0/stdout cannot punch holes" in sentence
    assert "stays in the clear until they end" in sentence


def test_a_destroyed_key_is_no_trouble(tmp_path: Path) -> None:
    """Its jobs are being ended, and what they printed is removed."""
    vault, _, output, live = ground(tmp_path, in_state(1, JobState.RUNNING))
    output.broken[1] = FailedPrecondition("the key is destroyed")
    asyncio.run(live.look())
    assert len(live.problems()) == 1
    vault.destroy(KEY)
    asyncio.run(live.look())
    assert live.problems() == ()


def test_the_last_lines_of_what_failed_are_added() -> None:
    """Where no agent wrote them down, with the hint that goes with them; what did not fail says nothing."""

    def ended(code: int | None, **more: str) -> ReplicaReading:
        return ReplicaReading(Phase.ENDED, 2, Exit(Cause.EXITED, code, **more))

    replicas = {
        "a": ended(1, message="Said."),
        "b": ended(0),
        "c": ended(None),
        "d": ended(1, last_lines="own"),
        "e": ReplicaReading(Phase.RUNNING),
    }
    asked: list[tuple[int, int, str, int]] = []

    def find(*given: int | str) -> str:
        asked.append(given)  # type: ignore[arg-type]  # compared below
        return "No space left on device"

    found = with_last_lines(Reading("1-0", 5, replicas), in_state(1, JobState.RUNNING), find).replicas
    assert asked == [(1, in_state(1, JobState.RUNNING).status.attempt, "a", 2)]
    assert {name: found[name] for name in "bcde"} == {name: replicas[name] for name in "bcde"}
    end = found["a"].exit
    assert end is not None
    assert end.last_lines == "No space left on device"
    assert end.message.startswith("Said. The disk is full")
