"""How an attempt is going to end, if it is: one rule after the other, the strongest evidence first."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.core.clock import MICROSECONDS
from trainyard.core.errors import Code
from trainyard.core.jobs import Intent, Job, Problem
from trainyard.core.outcomes import (
    MOST_WORKER_RESTARTS,
    OUTCOMES,
    Remedy,
    Why,
    by_whom,
    job_problem,
    plain_seconds,
    problem,
    replica_problem,
    replica_sentence,
)
from trainyard.core.runs import Cause, Exit, Reading
from trainyard.kinds.running.memo import End, Memo, Verdict
from trainyard.kinds.running.policy import RunPolicy
from trainyard.kinds.running.sight import Seen, Sight

SIMULATION = "nobody: the setting simulate_preemption has it tried"
NO_TRACE = Exit(Cause.LOST)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a decision about a launched attempt may look at."""

    job: Job
    policy: RunPolicy
    memo: Memo
    sight: Sight
    reading: Reading
    now_us: int
    taker: str = ""  # who is to have the job's place

    def most_retries(self, why: str) -> int:
        """How often the job is retried for this cause."""
        return 0 if self.policy.disable_retries else OUTCOMES[Why(why)].retries

    @property
    def passed_us(self) -> int:
        """How long the job has run so far; before its first program, how long it has been prepared."""
        timer = self.memo.timer
        return timer.elapsed_us(self.now_us, self.reading.steady_us) if timer else 0

    @property
    def preempted_after_us(self) -> int | None:
        """The next simulated preemption, on the job's stopwatch."""
        moments, done = self.policy.preempted_after, self.memo.retries.get(Why.PREEMPTED, 0)
        return round(moments[done] * MICROSECONDS) if self.memo.ran and done < len(moments) else None

    def sentence(self, seen: Seen) -> str:
        """About a replica that ended otherwise than well."""
        assert seen.why is not None
        return replica_sentence(seen.why, seen.name, seen.exit or NO_TRACE)


def judge(scene: Scene) -> Verdict | None:
    """The attempt's verdict; None while it goes on.

    Success, then a permanent failure, go before a cancel: what has ended first cannot be cancelled any more.
    A cancel goes before the timeout, both before a preemption, and that before any retry.
    """
    standing = scene.memo.verdict
    if standing is not None:
        return _reconsidered(scene, standing)
    if scene.sight.primary.ended_well:
        return Verdict(End.SUCCEEDED)
    faults = scene.sight.faults()
    return _failed(scene, faults) or _called_off(scene) or _preempted(scene) or _retried(scene, faults)


def _failed(scene: Scene, faults: list[Seen]) -> Verdict | None:
    """Something ended for a cause that no further try mends."""
    seen = next((seen for seen in faults if _is_permanent(scene, seen)), None)
    return Verdict(End.FAILED, seen.why or "", _final_problem(scene, seen)) if seen else None


def _called_off(scene: Scene) -> Verdict | None:
    """Its owner wants it ended, now or (timeout) from the beginning."""
    if scene.job.intent is Intent.CANCEL:
        return _cancelled(scene)
    if scene.passed_us < round(scene.policy.timeout_seconds * MICROSECONDS):
        return None
    seconds = plain_seconds(scene.policy.timeout_seconds)
    return Verdict(End.TIMED_OUT, Why.TIMED_OUT, job_problem(Why.TIMED_OUT, scene.job.id, seconds=seconds))


def _preempted(scene: Scene) -> Verdict | None:
    """A job that is not preemptible needs its place, or the settings have it tried."""
    after_us = scene.preempted_after_us
    taker = scene.taker or (SIMULATION if after_us is not None and scene.passed_us >= after_us else "")
    if not taker or not scene.policy.preemptible:
        return None
    words = {"location": scene.policy.location, "taker": taker}
    done = scene.memo.retries.get(Why.PREEMPTED, 0)
    if done < scene.most_retries(Why.PREEMPTED):
        return Verdict(End.PREEMPTED, Why.PREEMPTED, problem(Why.PREEMPTED, **words, tried="", logs=""))
    tried = _tried(Why.PREEMPTED, done)
    return Verdict(End.FAILED, Why.PREEMPTED, job_problem(Why.PREEMPTED, scene.job.id, **words, tried=f" {tried}"))


def _retried(scene: Scene, faults: list[Seen]) -> Verdict | None:
    """Something ended for a passing cause that a restart in place does not mend."""
    seen = next((seen for seen in faults if not _may_restart_in_place(scene, seen)), None)
    return Verdict(End.RETRY, seen.why or "", Problem(Code.INTERNAL, scene.sentence(seen))) if seen else None


def workers_to_restart(scene: Scene) -> list[Seen]:
    """Replicas that ended for a cause that a restart in place mends."""
    return [seen for seen in scene.sight.faults() if _may_restart_in_place(scene, seen)]


def _reconsidered(scene: Scene, standing: Verdict) -> Verdict:
    """A verdict stands, but a job whose primary won the race has succeeded, and a cancelled one is not retried."""
    if standing.end in (End.CANCELLED, End.TIMED_OUT, End.PREEMPTED) and scene.sight.primary.ended_well:
        return Verdict(End.SUCCEEDED)
    if standing.end in (End.RETRY, End.PREEMPTED) and scene.job.intent is Intent.CANCEL:
        return _cancelled(scene)
    return standing


def _cancelled(scene: Scene) -> Verdict:
    by = by_whom(scene.job.intent_by)
    return Verdict(End.CANCELLED, Why.CANCELLED, job_problem(Why.CANCELLED, scene.job.id, by=by))


def _is_permanent(scene: Scene, seen: Seen) -> bool:
    assert seen.why is not None
    if OUTCOMES[seen.why].remedy is Remedy.NONE or scene.policy.disable_retries:
        return True
    if _may_restart_in_place(scene, seen):
        return False
    return scene.memo.retries.get(seen.why, 0) >= scene.most_retries(seen.why)


def _may_restart_in_place(scene: Scene, seen: Seen) -> bool:
    assert seen.why is not None
    return (
        OUTCOMES[seen.why].remedy is Remedy.RESTART_WORKER
        and not scene.policy.disable_retries
        and not scene.policy.restart_job_on_worker_restart
        and seen.incarnation < MOST_WORKER_RESTARTS
    )


def _final_problem(scene: Scene, seen: Seen) -> Problem:
    """The sentence about the failure, and what had been tried before."""
    assert seen.why is not None
    said = _tried(seen.why, scene.memo.retries.get(seen.why, 0))
    return replica_problem(seen.why, seen.name, seen.exit or NO_TRACE, scene.job.id, said)


def _tried(why: Why, times: int) -> str:
    if times:
        return f"The job had been retried {times} times before."
    return "It was not retried, because disableRetries is set." if OUTCOMES[why].remedy is not Remedy.NONE else ""
