"""The sentences of a search: what its service log and its errors say about trials, each in one line."""

from __future__ import annotations

from collections.abc import Sequence

from trainyard.core.parameters import readable
from trainyard.core.trials import Ending, Goal, Stage, Trial
from trainyard.kinds.nas_job.memo import Memo
from trainyard.kinds.nas_job.plan import SearchPlan


def beginning(plan: SearchPlan) -> str:
    """How it searches, and among how many."""
    aim = "smallest" if plan.metric.goal is Goal.MINIMIZE else "largest"
    return (
        f"The search begins: {plan.searcher} looks for the {aim} {plan.metric.name} among {plan.space.size:,} points, "
        f"in up to {plan.most_trials} trials, {plan.most_at_once} at a time."
    )


def end(plan: SearchPlan, trial: Trial, best: float | None) -> str:
    """One trial's end: what was measured of which architecture, or why nothing was."""
    name = (
        f"Train trial {trial.number}, of search trial {trial.of},"
        if trial.stage is Stage.TRAIN
        else (f"Trial {trial.number}")
    )
    if trial.ending is not Ending.MEASURED or trial.measurement is None:
        return f"{name} is INFEASIBLE ({trial.ending}). {trial.why}"
    value = trial.measurement.metrics[plan.metric.name]
    is_best = trial.stage is Stage.SEARCH and plan.metric.reward(trial.measurement) == best
    return f"{name} SUCCEEDED: {plan.metric.name}={value:g}{' (the best so far)' if is_best else ''}, " + readable(
        plan.space, trial.point
    )


def window(ended: int, picked: Sequence[int]) -> str:
    """What is trained after so many search trials."""
    if not picked:
        return f"After {ended} search trials nothing new is trained: the best were trained before, or there are none."
    return f"After {ended} search trials the best are trained: search trials {', '.join(map(str, picked))}."


def too_many_failures(failed: int, plan: SearchPlan, ends: Sequence[Trial]) -> str:
    """The error of a job whose budget of failures is used up."""
    last = next((f" The last: {trial.why}" for trial in reversed(ends) if trial.ending is Ending.FAILED), "")
    return f"{failed} trials failed, which reaches maxFailedTrialCount ({plan.most_failed}).{last}"


def success(memo: Memo) -> str:
    """What came of it."""
    infeasible = memo.ended - memo.measured
    parts = [f"{memo.ended} search trials ended, {memo.measured} of them with a measurement"]
    if infeasible:
        parts.append(f"{infeasible} were infeasible, {memo.failed} of these failed")
    if memo.train_ended:
        parts.append(f"{memo.train_ended} train trials ended")
    return "; ".join(parts) + "."
