"""What comes next for a job that is one run group at a time: pure, the same arguments always give the same Decision.

Nothing here reads a clock. Stamps are calendar time (`now_us`); durations are measured on the steady clock that the
controller puts into Reading and Room, so a calendar that jumps neither ends a job early nor keeps one for ever.
Rules and sources: core/outcomes.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from trainyard.core.backoff import CAP_SECONDS, delay_seconds
from trainyard.core.clock import MICROSECONDS
from trainyard.core.jobs import Decision, Intent, Job, Launch, Problem, Release, Severity, Status, Stop
from trainyard.core.outcomes import Line, Why, by_whom, job_problem, plain_seconds
from trainyard.core.runs import Phase, Reading
from trainyard.core.states import Event, JobState
from trainyard.kind import Room
from trainyard.kinds.running import bereft
from trainyard.kinds.running.judge import Scene, judge, workers_to_restart
from trainyard.kinds.running.memo import End, Memo, Timer, Verdict
from trainyard.kinds.running.narrate import record_ends, restart_line, tell_notes
from trainyard.kinds.running.policy import RunPolicy
from trainyard.kinds.running.sight import look

LOOK_AGAIN_US: Final = 1 * MICROSECONDS  # while something is under way that nobody will announce
WORTH_TELLING_US: Final = 1 * MICROSECONDS  # a wait shorter than this is not written down

_STATE_OF_END: Final = {
    End.SUCCEEDED: Event.SUCCEEDED,
    End.FAILED: Event.FAILED,
    End.CANCELLED: Event.CANCELLED,
    End.TIMED_OUT: Event.CANCELLED,
}


def decide(job: Job, policy: RunPolicy, reading: Reading | None, room: Room | None, now_us: int) -> Decision:
    """The next status, what to tell people, what to do after the commit, and when to look again."""
    status = job.status
    if job.is_final:
        return Decision(status)
    if bereft.is_bereft(job):
        return bereft.end_run(job, reading, now_us)
    if status.state is JobState.QUEUED:
        return _queued(job, policy, room, now_us)
    if status.run_id is None:
        return _between_attempts(job, policy, room, now_us)
    if reading is None or reading.run_id != status.run_id:
        return Decision(status, look_again_us=now_us + LOOK_AGAIN_US)
    memo = Memo.parse(status.memo)
    taker = room.taker if room is not None else ""
    return _attempt(Scene(job, policy, memo, look(policy, memo, reading), reading, now_us, taker))


def _queued(job: Job, policy: RunPolicy, room: Room | None, now_us: int) -> Decision:
    """Cancelled, refused for good, admitted, or told to wait."""
    if job.intent is Intent.CANCEL:
        return _cancelled_at_once(job, now_us)
    if room is None:
        return Decision(job.status, look_again_us=now_us + LOOK_AGAIN_US)
    if room.never:
        refused = job_problem(Why.NO_CAPACITY, job.id, location=policy.location, message=f" {room.why_not}")
        return _ended(Decision(job.status), Event.FAILED, refused, now_us)
    if room.granted:
        draft = Decision(job.status).moved(Event.ADMITTED, now_us, "There is room for all of its replicas.")
        return _launched(draft, job, Memo.parse(job.status.memo), now_us, room.steady_us)
    return _waiting(job, policy, room, now_us)


def _waiting(job: Job, policy: RunPolicy, room: Room, now_us: int) -> Decision:
    """A wait is written down once it is worth telling; FLEX_START's wait has an end."""
    memo = Memo.parse(job.status.memo)
    if policy.max_wait_seconds is not None:
        if memo.timer is None:
            memo = replace(memo, timer=Timer(now_us, room.steady_us))  # from the first look on
        memo = replace(memo, timer=memo.timer and memo.timer.rebased(now_us, room.steady_us))
        left_us = _left_us(memo, policy.max_wait_seconds, now_us, room.steady_us)
        if left_us <= 0:
            over = job_problem(
                Why.WAITED_TOO_LONG,
                job.id,
                location=policy.location,
                seconds=plain_seconds(policy.max_wait_seconds),
                message=f" {room.why_not}",
            )
            return _ended(Decision(job.status), Event.FAILED, over, now_us)
        kept = replace(job.status, memo=memo.dump(), waits_for=room.why_not)
        return Decision(kept, look_again_us=now_us + left_us)
    if room.far:
        return Decision(job.status)  # whoever asks is told its place and why; to write that for all costs a commit each
    if 0 <= now_us - job.create_time_us < WORTH_TELLING_US:
        return Decision(job.status, look_again_us=job.create_time_us + WORTH_TELLING_US)
    draft = Decision(replace(job.status, waits_for=room.why_not))
    return draft if job.status.waits_for else draft.noted(f"{Line.WAITING.value} {room.why_not}", now_us)


def _between_attempts(job: Job, policy: RunPolicy, room: Room | None, now_us: int) -> Decision:
    """The old attempt is wholly gone; the next one starts when its back-off is over, unless its room is taken."""
    if job.intent is Intent.CANCEL:
        return _cancelled_at_once(job, now_us)
    memo = Memo.parse(job.status.memo)
    if room is not None and room.taker and policy.preemptible:
        text = Line.GAVE_WAY.format(taker=room.taker)
        draft = Decision(job.status).moved(Event.REQUEUED, now_us, text).noted(text, now_us, Severity.WARNING)
        kept = replace(memo.stopped(now_us, room.steady_us), retry_after_us=None, retry_delay_us=0)
        return replace(draft, status=replace(draft.status, memo=kept.dump()), look_again_us=now_us)
    since_us = memo.retry_after_us or 0
    due_us = since_us + min(memo.retry_delay_us, round(CAP_SECONDS * MICROSECONDS))
    if since_us <= now_us < due_us:  # a calendar set back must not hold the job: then it is due at once
        return Decision(job.status, look_again_us=due_us)
    draft = Decision(replace(job.status, update_time_us=max(now_us, job.status.update_time_us)))
    return _launched(draft, job, memo, now_us, None)


def _launched(draft: Decision, job: Job, memo: Memo, now_us: int, steady_us: int | None) -> Decision:
    """The next attempt gets its number and is launched after the commit."""
    attempt = job.status.attempt + 1
    run_id = f"{job.id}-{attempt}"
    if not memo.ran:
        memo = replace(memo, timer=Timer(now_us, steady_us) if steady_us is not None else None)
    elif memo.timer is not None and job.status.state is JobState.QUEUED:  # what it has waited does not count
        memo = replace(memo, timer=Timer(now_us, steady_us, memo.timer.carried_us))
    memo = replace(memo, retry_after_us=None, retry_delay_us=0)
    status = replace(draft.status, attempt=attempt, run_id=run_id, memo=memo.dump())
    draft = replace(draft, status=status, changes=tuple(replace(change, attempt=attempt) for change in draft.changes))
    text = Line.SETTING_UP.value if attempt == 1 else Line.ATTEMPT.format(number=attempt)
    return draft.noted(text, now_us).doing(Launch(run_id))


def _attempt(scene: Scene) -> Decision:
    """An attempt that may hold processes: what was seen is taken down first, then judged, then acted upon."""
    draft, memo = record_ends(scene, Decision(scene.job.status))
    if not _tells_later(scene):
        draft, memo = tell_notes(scene, draft, memo)
    memo = _timed(scene, memo)
    scene = replace(scene, memo=memo)
    verdict = judge(scene)
    draft = _started(scene, draft, verdict)
    if draft.status.state is not JobState.CANCELLING:
        draft = _cancelling(scene, draft, verdict)
    if verdict is None:
        return _running_on(scene, draft)
    if scene.sight.all_gone and not _to_be_fenced(scene):
        return _over(scene, draft, verdict)
    return _stopping(scene, draft, verdict)


def _tells_later(scene: Scene) -> bool:
    """What the executor remarks at the launch goes with the next thing to be written, if that comes soon."""
    young = 0 <= scene.now_us - scene.job.status.update_time_us < WORTH_TELLING_US
    return young and all(seen.phase in (Phase.ABSENT, Phase.STARTING) for seen in scene.sight.replicas)


def _to_be_fenced(scene: Scene) -> bool:
    """What vanished is stopped before it is given up: what was stopped is not started afterwards (law 5)."""
    return scene.memo.verdict is None and any(seen.phase is Phase.ABSENT for seen in scene.sight.replicas)


def _timed(scene: Scene, memo: Memo) -> Memo:
    """Start the job's stopwatch with its first program, and keep it right over a reboot."""
    started = any(seen.started for seen in scene.sight.replicas)
    if memo.timer is None or (started and not memo.ran):
        return replace(memo, timer=Timer(scene.now_us, scene.reading.steady_us), ran=started)
    return replace(memo, timer=memo.timer.rebased(scene.now_us, scene.reading.steady_us))


def _started(scene: Scene, draft: Decision, verdict: Verdict | None) -> Decision:
    """RUNNING once every replica is up, also when all of it happened between two looks."""
    won = verdict is not None and verdict.end is End.SUCCEEDED
    if draft.status.state is not JobState.PENDING or not (scene.sight.all_started or won):
        return draft
    draft = draft.moved(Event.STARTED, scene.now_us, "Every replica is up.")
    return draft.noted(Line.RUNNING.value, scene.now_us)


def _cancelling(scene: Scene, draft: Decision, verdict: Verdict | None) -> Decision:
    """CANCELLING, if its owner asked for the end, or the timeout did."""
    if scene.job.intent is Intent.CANCEL:
        by = by_whom(scene.job.intent_by)
        draft = draft.moved(Event.CANCEL_ASKED, scene.now_us, f"Its end was asked for{by}.")
        return draft.noted(Line.CANCELLING.format(by=by), scene.now_us, Severity.NOTICE)
    if verdict is not None and verdict.end is End.TIMED_OUT and verdict.problem is not None:
        return draft.moved(Event.CANCEL_ASKED, scene.now_us, verdict.problem.message)
    return draft


def _running_on(scene: Scene, draft: Decision) -> Decision:
    """Nothing to judge: lost workers are started again in place, and whatever is missing is launched."""
    memo = scene.memo
    lost = workers_to_restart(scene)
    for seen in lost:
        memo = memo.restarted(seen.name)
        draft = draft.noted(restart_line(scene, seen), scene.now_us, Severity.WARNING)
    draft = replace(draft, status=replace(draft.status, memo=memo.dump()))
    left_us = _left_us(memo, scene.policy.timeout_seconds, scene.now_us, scene.reading.steady_us)
    if scene.preempted_after_us is not None and scene.policy.preemptible:
        left_us = min(left_us, max(0, scene.preempted_after_us - scene.passed_us))
    if lost or scene.sight.missing:
        draft = draft.doing(Launch(scene.reading.run_id))
        left_us = min(left_us, LOOK_AGAIN_US)
    elif _tells_later(scene):
        left_us = min(left_us, WORTH_TELLING_US)
    return replace(draft, look_again_us=scene.now_us + left_us)


def _stopping(scene: Scene, draft: Decision, verdict: Verdict) -> Decision:
    """The end is decided, and whatever still runs is told so; looked at until the last one is gone (law 5)."""
    if scene.memo.verdict is None and draft.status.state is not JobState.CANCELLING:
        draft = _told_of_stop(scene, draft, verdict)
    memo = replace(scene.memo, verdict=verdict)
    draft = replace(draft, status=replace(draft.status, memo=memo.dump()), look_again_us=scene.now_us + LOOK_AGAIN_US)
    return draft.doing(Stop(scene.reading.run_id, scene.policy.grace_seconds))


def _told_of_stop(scene: Scene, draft: Decision, verdict: Verdict) -> Decision:
    if verdict.why != Why.PREEMPTED or verdict.problem is None:
        return draft.noted(Line.STOPPING.value, scene.now_us)
    grace = plain_seconds(scene.policy.grace_seconds)
    text = Line.PREEMPTED.format(why=verdict.problem.message, seconds=grace)
    return draft.noted(text, scene.now_us, Severity.WARNING)


def _over(scene: Scene, draft: Decision, verdict: Verdict) -> Decision:
    """No process is left: the verdict takes effect, and the run group gives back what it held."""
    draft = draft.doing(Release(scene.reading.run_id))
    if verdict.end is End.RETRY:
        return _retried(scene, draft, verdict)
    if verdict.end is End.PREEMPTED:
        return _requeued(scene, draft, verdict)
    return _ended(
        draft.noted(Line.TORN_DOWN.value, scene.now_us), _STATE_OF_END[verdict.end], verdict.problem, scene.now_us
    )


def _retried(scene: Scene, draft: Decision, verdict: Verdict) -> Decision:
    assert verdict.problem is not None  # a retry always has its reason
    done = scene.memo.retries.get(verdict.why, 0) + 1
    delay = delay_seconds(done)
    text = Line.RETRIED.format(
        why=verdict.problem.message, seconds=plain_seconds(delay), number=done, most=scene.most_retries(verdict.why)
    )
    draft = draft.moved(Event.RETRIED, scene.now_us, text).noted(text, scene.now_us, Severity.WARNING)
    delay_us = round(delay * MICROSECONDS)
    memo = scene.memo.between_attempts(verdict.why, scene.now_us, delay_us)
    status = replace(draft.status, run_id=None, memo=memo.dump())
    return replace(draft, status=status, look_again_us=scene.now_us + delay_us)


def _requeued(scene: Scene, draft: Decision, verdict: Verdict) -> Decision:
    """The job stands in the queue again; its room is free once the run group is released."""
    assert verdict.problem is not None  # a preemption always has its reason
    done = scene.memo.retries.get(verdict.why, 0) + 1
    most = scene.most_retries(verdict.why)
    text = Line.REQUEUED.format(why=verdict.problem.message, number=done, most=most)
    draft = draft.moved(Event.REQUEUED, scene.now_us, text).noted(text, scene.now_us, Severity.WARNING)
    memo = scene.memo.requeued(verdict.why, scene.now_us, scene.reading.steady_us)
    return replace(draft, status=replace(draft.status, run_id=None, memo=memo.dump()), look_again_us=scene.now_us)


def _cancelled_at_once(job: Job, now_us: int) -> Decision:
    """Nothing of the job runs, so its cancel is complete as soon as it is seen."""
    by = by_whom(job.intent_by)
    draft = Decision(job.status).moved(Event.CANCEL_ASKED, now_us, f"Its end was asked for{by}.")
    return _ended(draft, Event.CANCELLED, job_problem(Why.CANCELLED, job.id, by=by), now_us)


def _ended(draft: Decision, event: Event, problem: Problem | None, now_us: int) -> Decision:
    """The final state, which has no way out."""
    why = problem.in_one_line if problem else "The primary replica ended with 0 and every replica is gone."
    draft = draft.moved(event, now_us, why)
    draft = replace(draft, status=_final(draft.status, problem), look_again_us=None)
    if event is Event.SUCCEEDED:
        return draft.noted(Line.SUCCEEDED.value, now_us)
    if event is Event.FAILED:
        return draft.noted(Line.FAILED.format(why=why), now_us, Severity.ERROR)
    return draft.noted(Line.CANCELLED.format(why=why), now_us, Severity.NOTICE)


def _final(status: Status, problem: Problem | None) -> Status:
    return replace(status, error=problem and replace(problem, sentence=""), run_id=None, memo="{}")


def _left_us(memo: Memo, limit_seconds: float, now_us: int, steady_us: int | None) -> int:
    passed_us = memo.timer.elapsed_us(now_us, steady_us) if memo.timer else 0
    return max(0, round(limit_seconds * MICROSECONDS) - passed_us)
