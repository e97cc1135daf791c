"""What comes next for a search: pure, the same arguments always give the same Decision.

A step takes down which trials have ended, judges whether the search goes on, and fills every free place with the next
point. All of it is one commit: a crash finds a trial asked for together with the job that runs it, or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trainyard.core.clock import MICROSECONDS
from trainyard.core.errors import Code
from trainyard.core.jobs import Decision, Intent, Job, Problem, Severity, Spawn
from trainyard.core.outcomes import Line, by_whom, plain_seconds, without_hint
from trainyard.core.space import Point
from trainyard.core.states import FINAL, Event, JobState
from trainyard.core.trials import Ending, Measurement, OpenTrial, Stage, Trial, TrialRun, TrialState, read_measurement
from trainyard.kind import Moment
from trainyard.kinds.nas_job import tell
from trainyard.kinds.nas_job.live import LiveSearch
from trainyard.kinds.nas_job.memo import Memo
from trainyard.kinds.nas_job.plan import SearchPlan
from trainyard.kinds.running.memo import Timer

CANCELED: Final = "CANCELED"
"""The whole message of a search that was cancelled: the public client takes only this one for an end in good order."""
_LIVE: Final = (JobState.QUEUED, JobState.PENDING, JobState.RUNNING)
_EVENTS: Final = {event.value: event for event in (Event.SUCCEEDED, Event.FAILED, Event.CANCELLED)}


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a decision about a search may look at; `spawn` describes the job of a trial."""

    job: Job
    plan: SearchPlan
    trials: Sequence[OpenTrial]
    search: LiveSearch
    spawn: Callable[[Stage, int, Point], Spawn]
    moment: Moment

    @property
    def now_us(self) -> int:
        """The calendar."""
        return self.moment.now_us


def conduct(scene: Scene) -> Decision:
    """The next status, the trials that are new or have ended, the jobs that run them, when to look again."""
    job = scene.job
    if job.is_final:
        return Decision(job.status)
    memo, draft = Memo.parse(job.status.memo), Decision(job.status)
    if job.status.state is JobState.QUEUED:
        if job.intent is Intent.CANCEL:
            return _ended(scene, _cancelling(scene, draft), replace(memo, over=Event.CANCELLED))
        draft = draft.moved(Event.ADMITTED, scene.now_us, "The search begins.")
        draft = draft.noted(tell.beginning(scene.plan), scene.now_us)
    memo = _timed(scene, memo)
    memo, draft, open_ones = _take_ends(scene, memo, draft)
    draft = _started(scene, draft)
    if not memo.over:
        memo, draft = _judged(scene, memo, draft, open_ones)
    if memo.over:
        memo, draft, open_ones = _drop(scene, memo, draft, open_ones, _is_nobodys_job)
        if not open_ones:
            return _ended(scene, draft, memo)
        return _kept(scene, draft, memo, None)
    if job.intent is Intent.FINISH:
        memo, draft, _ = _finishing(scene, memo, draft, open_ones)
    memo, draft = _asked(scene, memo, draft)
    memo, draft = _trained(scene, memo, draft)
    if not memo.search_open and not memo.train_open:
        return _ended(scene, draft, replace(memo, over=Event.SUCCEEDED))
    return _kept(scene, draft, memo, scene.now_us + _left_us(scene, memo))


def _kept(scene: Scene, draft: Decision, memo: Memo, look_again_us: int | None) -> Decision:
    status = replace(draft.status, memo=memo.dump())
    if draft.trials:
        status = replace(status, update_time_us=max(scene.now_us, status.update_time_us))
    return replace(draft, status=status, look_again_us=look_again_us)


# What has ended


def _take_ends(scene: Scene, memo: Memo, draft: Decision) -> tuple[Memo, Decision, list[OpenTrial]]:
    """Every run that is over becomes the end of its trial, in the order of ends; what is left is still open."""
    open_ones = [one for one in scene.trials if one.run is None or one.run.state not in FINAL]
    over = [(one.trial, one.run) for one in scene.trials if one.run is not None and one.run.state in FINAL]
    for trial, run in sorted(over, key=lambda each: (each[1].end_us or 0, each[0].stage, each[0].number)):
        memo, draft = _take_end(scene, memo, draft, _end_of(scene, memo, trial, run))
    return memo, draft, open_ones


def _take_end(scene: Scene, memo: Memo, draft: Decision, ended: Trial) -> tuple[Memo, Decision]:
    if ended.stage is Stage.TRAIN:
        memo = replace(memo, train_ended=memo.train_ended + 1)
        ended = replace(ended, ended_as=memo.train_ended)
    else:
        memo = replace(
            memo,
            ended=memo.ended + 1,
            failed=memo.failed + (ended.ending is Ending.FAILED),
            measured=memo.measured + (ended.ending is Ending.MEASURED),
        )
        ended = replace(ended, ended_as=memo.ended)
        if ended.ending is not Ending.CUT_SHORT:
            scene.search.told(ended.number, scene.plan.metric.reward(ended.measurement))
            memo = replace(memo, mark=scene.search.mark)
    draft = replace(draft, trials=(*draft.trials, ended))
    severity = Severity.INFO if ended.ending is Ending.MEASURED else Severity.WARNING
    return memo, draft.noted(tell.end(scene.plan, ended, scene.search.best), scene.now_us, severity)


def _end_of(scene: Scene, memo: Memo, trial: Trial, run: TrialRun) -> Trial:
    """A trial whose job is over, and what that means."""
    ended = replace(trial, start_time_us=run.start_us, end_time_us=run.end_us, state=TrialState.INFEASIBLE)
    if run.state is JobState.SUCCEEDED:
        found = read_measurement(None if run.report is None else run.report.encode(), scene.plan.metric.name)
        if isinstance(found, Measurement):
            return replace(ended, state=TrialState.SUCCEEDED, measurement=found, ending=Ending.MEASURED)
        return replace(ended, ending=Ending.UNMEASURED, why=run.error or found.why)
    if run.state is JobState.CANCELLED and memo.over:
        return replace(ended, ending=Ending.CUT_SHORT, why="It was stopped, because its job came to an end.")
    return replace(ended, ending=Ending.FAILED, why=without_hint(run.error))


def _finishing(
    scene: Scene, memo: Memo, draft: Decision, open_ones: list[OpenTrial]
) -> tuple[Memo, Decision, list[OpenTrial]]:
    """Nothing more is begun; what no worker has taken yet is not tried."""
    if not memo.dry:
        by = by_whom(scene.job.intent_by)
        draft = draft.noted(f"It was asked to finish{by}: no further trials begin.", scene.now_us, Severity.NOTICE)
    return _drop(scene, replace(memo, dry=True), draft, open_ones, lambda one: one.run is None)


def _is_nobodys_job(one: OpenTrial) -> bool:
    """No program of ours runs it; a worker who does hears of the end with the next call."""
    return one.run is None or not one.run.job_id


def _drop(
    scene: Scene, memo: Memo, draft: Decision, open_ones: list[OpenTrial], drops: Callable[[OpenTrial], bool]
) -> tuple[Memo, Decision, list[OpenTrial]]:
    """Some of the open trials end at once."""
    for one in filter(drops, open_ones):
        cut = replace(one.trial, state=TrialState.INFEASIBLE, end_time_us=scene.now_us, ending=Ending.CUT_SHORT)
        cut = replace(cut, start_time_us=one.run.start_us if one.run else None)
        memo, draft = _take_end(scene, memo, draft, replace(cut, why="Its job came to an end before it was done."))
    return memo, draft, [one for one in open_ones if not drops(one)]


# Whether it goes on


def _judged(scene: Scene, memo: Memo, draft: Decision, open_ones: Sequence[OpenTrial]) -> tuple[Memo, Decision]:
    """A cancel, then the failures, then the timeout end a search; all of its trials are then asked to end."""
    plan, job = scene.plan, scene.job
    if job.intent is Intent.CANCEL:
        draft, over, why = _cancelling(scene, draft), Event.CANCELLED, f"The job was cancelled{by_whom(job.intent_by)}."
    elif memo.failed >= plan.most_failed:
        over, why = Event.FAILED, tell.too_many_failures(memo.failed, plan, draft.trials)
    elif _left_us(scene, memo) <= 0:
        why = (
            f"The job ran into its timeout of {plain_seconds(plan.timeout_seconds)} s (searchTrialJobSpec.scheduling."
            "timeout) and was stopped."
        )
        over, draft = Event.CANCELLED, draft.moved(Event.CANCEL_ASKED, scene.now_us, why)
    else:
        return memo, draft
    runs = (one.run for one in open_ones if one.run is not None)
    ends = tuple(run.job_id for run in runs if run.job_id and run.state in _LIVE)
    if ends:
        draft = draft.noted(f"{len(ends)} trials that still run are being stopped.", scene.now_us)
    return replace(memo, over=over, why=why, queue=()), replace(draft, ends=ends)


def _cancelling(scene: Scene, draft: Decision) -> Decision:
    by = by_whom(scene.job.intent_by)
    draft = draft.moved(Event.CANCEL_ASKED, scene.now_us, f"Its end was asked for{by}.")
    return draft.noted(f"Cancellation was requested{by}.", scene.now_us, Severity.NOTICE)


def _timed(scene: Scene, memo: Memo) -> Memo:
    """The stopwatch runs from the first step on, through crashes and reboots."""
    now_us, steady_us = scene.moment
    timer = Timer(now_us, steady_us) if memo.timer is None else Timer(*memo.timer).rebased(now_us, steady_us)
    carried = (timer.calendar_us, timer.steady_us, timer.carried_us)
    return replace(memo, timer=carried, searcher=scene.plan.searcher)


def _left_us(scene: Scene, memo: Memo) -> int:
    assert memo.timer is not None  # _timed comes first
    passed_us = Timer(*memo.timer).elapsed_us(*scene.moment)
    return max(0, round(scene.plan.timeout_seconds * MICROSECONDS) - passed_us)


def _started(scene: Scene, draft: Decision) -> Decision:
    """RUNNING once any trial's programs were up."""
    if draft.status.state is not JobState.PENDING:
        return draft
    if not scene.plan.claimed and not any(one.run is not None and one.run.start_us for one in scene.trials):
        return draft
    draft = draft.moved(Event.STARTED, scene.now_us, "The first trial runs.")
    return draft.noted(Line.RUNNING.value, scene.now_us)


# What is next


def _asked(scene: Scene, memo: Memo, draft: Decision) -> tuple[Memo, Decision]:
    """Every free place gets the next point, one by one."""
    plan, trials, spawns = scene.plan, list(draft.trials), list(draft.spawns)
    while memo.asked < plan.most_trials and memo.search_open < plan.most_at_once and not memo.dry:
        point = scene.search.propose()
        if point is None:
            # Nothing new as long as nothing ends; once nothing is open either, there will never be.
            memo = replace(memo, dry=not memo.search_open)
            break
        scene.search.asked(point)
        memo = replace(memo, asked=memo.asked + 1, mark=scene.search.mark)
        trials.append(Trial(memo.asked, point, asked_after=memo.ended))
        if not plan.claimed:
            spawns.append(scene.spawn(Stage.SEARCH, memo.asked, point))
    return memo, replace(draft, trials=tuple(trials), spawns=tuple(spawns))


def _trained(scene: Scene, memo: Memo, draft: Decision) -> tuple[Memo, Decision]:
    """The best of each window of ended trials are picked, and trained beside the search."""
    train = scene.plan.train
    if train is None:
        return memo, draft
    windows = memo.ended // train.frequency
    searched = memo.ended == memo.asked and (memo.dry or memo.asked == scene.plan.most_trials)
    if searched and not windows:
        windows = 1  # a search shorter than one window has its best trained, too
    if windows > memo.windows:
        picked = scene.search.untrained(train.most_at_once)
        for number in picked:
            scene.search.trains(number)
        memo = replace(memo, windows=windows, queue=(*memo.queue, *picked), mark=scene.search.mark)
        draft = draft.noted(tell.window(memo.ended, picked), scene.now_us)
    return _train_next(scene, memo, draft, train.most_at_once)


def _train_next(scene: Scene, memo: Memo, draft: Decision, most: int) -> tuple[Memo, Decision]:
    while memo.queue and memo.train_open < most:
        of, *rest = memo.queue
        memo = replace(memo, train_asked=memo.train_asked + 1, queue=tuple(rest))
        number, point = memo.train_asked, scene.search.point(of)
        trial = Trial(number, point, asked_after=memo.train_ended, stage=Stage.TRAIN, of=of)
        spawn = scene.spawn(Stage.TRAIN, number, point)
        draft = replace(draft, trials=(*draft.trials, trial), spawns=(*draft.spawns, spawn))
    return memo, draft


# The end


def _ended(scene: Scene, draft: Decision, memo: Memo) -> Decision:
    """The final state, which has no way out."""
    event, why = _EVENTS[memo.over], memo.why
    problem = None
    if event is Event.FAILED:
        problem = Problem(Code.INVALID_ARGUMENT, why)
    elif event is Event.CANCELLED:
        why = why or f"The job was cancelled{by_whom(scene.job.intent_by)}."
        problem = Problem(Code.CANCELLED, CANCELED)
    else:
        why = tell.success(memo)
    if draft.status.state is JobState.PENDING and event is Event.SUCCEEDED:
        draft = draft.moved(Event.STARTED, scene.now_us, "The first trial ran.")
    draft = draft.moved(event, scene.now_us, why)
    status = replace(draft.status, error=problem, memo=replace(memo, timer=None).dump())
    severity = {Event.SUCCEEDED: Severity.INFO, Event.FAILED: Severity.ERROR}.get(event, Severity.NOTICE)
    text = {Event.SUCCEEDED: Line.SUCCEEDED.value, Event.FAILED: Line.FAILED.format(why=why)}.get(event, why)
    return replace(draft, status=status, look_again_us=None).noted(text, scene.now_us, severity)
