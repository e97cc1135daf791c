"""A job whose key is gone: everything of it is ended, then it fails with one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trainyard.core.jobs import Job, Launch, Release, Seal, Stop
from trainyard.core.runs import Phase, Reading, ReplicaReading
from trainyard.core.states import JobState
from trainyard.core.trials import OpenTrial, Trial, TrialRun, TrialState
from trainyard.kinds.running.bereft import end_run, end_search, is_bereft
from trainyard.testing.builders import PlainKind, plain_job

NOW = 5_000_000
LOCKED = Seal(7, locked="The key k is destroyed.")


def job(state: JobState, run_id: str | None = None, seal: Seal | None = LOCKED, **status: Any) -> Job:
    """A job in this state that cannot be read."""
    plain = plain_job(7)
    return replace(plain, seal=seal, status=replace(plain.status, state=state, run_id=run_id, **status))


def reading(*phases: Phase, run_id: str = "7-1", counts: bool = True) -> Reading:
    """What was seen of the run group, and whether who was not seen is gone for sure."""
    replicas = {f"workerpool0-{index}": ReplicaReading(phase) for index, phase in enumerate(phases)}
    return Reading(run_id, NOW, replicas, absence_counts=counts)


def test_who_is_bereft() -> None:
    """A live job whose key is gone, or whose end was begun for it; nobody else."""
    assert is_bereft(job(JobState.RUNNING))
    assert not is_bereft(job(JobState.RUNNING, seal=Seal(7)))
    assert not is_bereft(job(JobState.RUNNING, seal=None))
    assert not is_bereft(job(JobState.SUCCEEDED))
    begun = end_run(job(JobState.RUNNING, "7-1"), None, NOW).status.memo
    assert is_bereft(job(JobState.RUNNING, "7-1", Seal(7), memo=begun))


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PENDING, JobState.CANCELLING])
def test_a_job_of_which_nothing_runs_fails_at_once(state: JobState) -> None:
    """With the code and the sentence that a person can act on."""
    decision = end_run(job(state), None, NOW)
    assert decision.status.state is JobState.FAILED
    assert decision.status.error is not None
    assert decision.status.error.code == 9
    assert decision.status.error.message.endswith("The key k is destroyed.")
    assert decision.actions == ()


def test_what_runs_is_stopped_first_and_looked_at_until_it_is_gone() -> None:
    """Stopped at least once before it is believed to be gone, again while something lives, released at the end."""
    first = end_run(job(JobState.RUNNING, "7-1"), reading(Phase.ENDED), NOW)
    assert first.actions == (Stop("7-1", 0.0),)
    assert first.status.state is JobState.RUNNING
    assert len(first.notes) == 1
    begun = job(JobState.RUNNING, "7-1", memo=first.status.memo)
    unsure = reading(Phase.ENDED, counts=False)
    for seen in (None, unsure, reading(run_id="7-0"), reading(Phase.RUNNING, Phase.ENDED), reading(Phase.STARTING)):
        again = end_run(begun, seen, NOW)
        assert again.actions == (Stop("7-1", 0.0),)
        assert again.look_again_us is not None
        assert again.notes == ()
    last = end_run(begun, reading(Phase.ENDED, Phase.ABSENT), NOW)
    assert last.status.state is JobState.FAILED
    assert last.status.run_id is None
    assert last.actions == (Release("7-1"),)


def test_what_was_begun_is_ended_though_the_key_returns() -> None:
    """Some of its programs were ended by then."""
    begun = end_run(job(JobState.RUNNING, "7-1"), None, NOW).status.memo
    last = end_run(job(JobState.RUNNING, "7-1", Seal(7), memo=begun), reading(Phase.ENDED), NOW)
    assert last.status.error is not None
    assert "gone for a while" in last.status.error.message


def test_a_search_waits_for_the_jobs_of_its_trials() -> None:
    """They lack the same key, and fail by themselves; a worker's claim is no job to wait for."""
    search, trial = job(JobState.RUNNING), Trial(1, (), TrialState.ACTIVE)
    runs = OpenTrial(trial, TrialRun(8, JobState.RUNNING))
    waiting = end_search(search, [runs], NOW)
    assert waiting.status == search.status
    assert waiting.look_again_us is not None
    over = [OpenTrial(trial, TrialRun(8, JobState.FAILED)), OpenTrial(trial, None)]
    claimed = OpenTrial(trial, TrialRun(0, JobState.RUNNING))
    assert end_search(search, [*over, claimed], NOW).status.state is JobState.FAILED


def test_a_kind_decides_so() -> None:
    """Nothing is launched of a job that cannot be read."""
    decision = PlainKind().decide(job(JobState.QUEUED), None, None, NOW)
    assert decision.status.state is JobState.FAILED
    assert not any(isinstance(action, Launch) for action in decision.actions)
