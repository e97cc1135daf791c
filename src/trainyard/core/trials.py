"""What a search speaks: trials, what they are judged by, and the one way from a metric file to a measurement.

A trainer reports by rewriting a file of JSON lines (cloudml-hypertune's format: every value a string, newest last). It
may hold anything, so every way in which it cannot be used has its own sentence here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from trainyard.core.space import Point
from trainyard.core.states import JobState

# More than the hundred lines that a reporter keeps; a caller hands over the end of a longer file.
MOST_METRIC_FILE_BYTES = 1 << 20
MOST_SHOWN = 60
MOST_STEPS = (1 << 63) - 1
MICROSECONDS = 1_000_000
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NAME_KEY = re.compile(r"key_(\d{1,3})")


class TrialState(IntEnum):
    """NasTrial.State and Trial.State, by wire value."""

    STATE_UNSPECIFIED = 0
    REQUESTED = 1  # decided, not started
    ACTIVE = 2  # runs
    STOPPING = 3  # asked to end
    SUCCEEDED = 4  # ended with a measurement
    INFEASIBLE = 5  # ended without one


ENDED = frozenset({TrialState.SUCCEEDED, TrialState.INFEASIBLE})


class Stage(StrEnum):
    """What a trial is for. Each stage of a job counts its trials from 1."""

    PAST = "past"  # searched by the job that this one resumes: history, never shown as this job's own
    SEARCH = "search"
    TRAIN = "train"  # one of the best, trained in full


class Ending(StrEnum):
    """How a trial ended; what it counts as."""

    MEASURED = "measured"
    UNMEASURED = "unmeasured"  # its program ended well, without a measurement that can be used
    FAILED = "failed"  # its program failed: counts towards maxFailedTrialCount
    CUT_SHORT = "cut short"  # ended by the end of its job: says nothing about its point


class Goal(IntEnum):
    """MetricSpec.GoalType; GOAL_TYPE_UNSPECIFIED (0) is read as MAXIMIZE by the rules of a kind."""

    MAXIMIZE = 1
    MINIMIZE = 2


@dataclass(frozen=True, slots=True)
class Metric:
    """What a search judges by."""

    name: str
    goal: Goal = Goal.MAXIMIZE

    def reward(self, measurement: Measurement | None) -> float | None:
        """The measured value, larger being better whatever the goal; None where this metric was not measured."""
        value = measurement.metrics.get(self.name) if measurement else None
        if value is None:
            return None
        return -value if self.goal is Goal.MINIMIZE else value


@dataclass(frozen=True, slots=True)
class Measurement:
    """The last report of a trainer: finite values by metric, in the order reported, and the step they belong to.

    `reported_us`: microseconds since the epoch by the trainer's own clock; None when it did not say.
    """

    metrics: Mapping[str, float]
    step_count: int = 0
    reported_us: int | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a metric file gives no measurement: one sentence for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One point that is, or was, tried. `number` counts from 1 in the order in which a search asked.

    `asked_after` is how many trials of the search had ended when it was asked, `ended_as` its own place (from 1) in
    the order of ends: together they let a searcher replay what it knew at every moment. `why`: how it ended, in one
    sentence. `of`: in the stage TRAIN, the number of the search trial whose point it trains.
    """

    number: int
    point: Point
    state: TrialState = TrialState.REQUESTED
    asked_after: int = 0
    ended_as: int | None = None
    measurement: Measurement | None = None
    start_time_us: int | None = None
    end_time_us: int | None = None
    why: str = ""
    stage: Stage = Stage.SEARCH
    of: int = 0
    ending: Ending | None = None


class TrialRun(NamedTuple):
    """The job that runs an open trial, in a few words. Times in microseconds since the epoch.

    `error`: its sentence where it did not end well. `report`: the end of its trainer's metric file, None without one.
    `job_id` 0: no job, but a worker who has claimed the trial.
    """

    job_id: int
    state: JobState
    start_us: int | None = None
    end_us: int | None = None
    error: str = ""
    report: str | None = None


class OpenTrial(NamedTuple):
    """A trial that has not ended as far as its job knows, and the job that runs it (None: nobody does, yet)."""

    trial: Trial
    run: TrialRun | None


def claimed_run(claimed_us: int, told_us: int | None, report: str | None, infeasible: str | None) -> TrialRun:
    """A claimed trial as a run: it goes on until its worker has told, and ends well, with a measurement or without."""
    state = JobState.RUNNING if told_us is None else JobState.SUCCEEDED
    return TrialRun(0, state, claimed_us, told_us, infeasible or "", report)


_STATE_OF_RUN: Mapping[JobState, TrialState] = {
    JobState.QUEUED: TrialState.REQUESTED,
    JobState.PENDING: TrialState.REQUESTED,
    JobState.CANCELLING: TrialState.STOPPING,
}


def seen_now(open_trial: OpenTrial) -> Trial:
    """An open trial as people see it: REQUESTED until its programs are up, STOPPING once its end was asked for.

    A run that has ended stays ACTIVE until its job has taken its measurement: nothing is shown before it is durable.
    """
    trial, run = open_trial
    if run is None:
        return trial
    return replace(trial, state=_STATE_OF_RUN.get(run.state, TrialState.ACTIVE), start_time_us=run.start_us)


def read_measurement(data: bytes | None, metric: str) -> Measurement | Unusable:
    """What a metric file (None: there is none) says of the metric: its newest line with that metric counts.

    A last line without its newline that is no JSON was torn off while it was written; the one before it counts.
    """
    if data is None:
        return Unusable(f"The trainer wrote no metric file; it has to report {metric!r} before it exits.")
    if not data.strip():
        return Unusable(f"The metric file is empty; the trainer has to report {metric!r} before it exits.")
    others: dict[str, None] = {}
    for line, is_torn in _newest_first(data):
        report = _report(line)
        if isinstance(report, str):
            if is_torn:
                continue
            return Unusable(f"The metric file's line {_shown(line)} {report}.")
        if metric in report:
            return _measured(report, metric)
        others.update(dict.fromkeys(sorted(report.keys() - RESERVED)))
    if others:
        names = ", ".join(repr(name[:MOST_SHOWN]) for name in list(others)[:5])
        return Unusable(f"The metric file reports {names}, but not {metric!r}, which this job judges by.")
    return Unusable(f"The metric file has no complete line that reports {metric!r}.")


RESERVED = frozenset({"checkpoint_path", "global_step", "model_flops", "timestamp", "trial"})


def _newest_first(data: bytes) -> Iterator[tuple[bytes, bool]]:
    lines = data.split(b"\n")
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].strip():
            yield lines[number].strip(), number == len(lines) - 1


def _report(line: bytes) -> dict[str, Any] | str:
    """A line as an object, or what is wrong with it, as the end of a sentence."""
    try:
        found = json.loads(line.decode())
    except UnicodeDecodeError:
        return "is not UTF-8"
    except (ValueError, RecursionError):
        return "is not JSON"
    return found if isinstance(found, dict) else "is not a JSON object"


def _measured(report: Mapping[str, Any], metric: str) -> Measurement | Unusable:
    value = _number(report[metric])
    if value is None:
        return Unusable(f"The trainer reported {_shown(report[metric])} for {metric!r}, which is not a number.")
    if not math.isfinite(value):
        return Unusable(f"The trainer reported {_shown(report[metric])} for {metric!r}; only a finite number counts.")
    metrics = {metric: value}
    flops = _number(report.get("model_flops"))
    if flops is not None and math.isfinite(flops):
        metrics.setdefault("model_flops", flops)
    for key, name in report.items():
        found = _NAME_KEY.fullmatch(key)
        extra = _number(report.get(f"value_{found.group(1)}")) if found else None
        if isinstance(name, str) and name and extra is not None and math.isfinite(extra):
            metrics.setdefault(name, extra)
    return Measurement(metrics, _steps(report.get("global_step")), _microseconds(report.get("timestamp")))


def _number(value: object) -> float | None:
    """A number from a number or its text, possibly not finite; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
        return math.nan
    return float(text) if _NUMBER.fullmatch(text) else None


def _steps(value: object) -> int:
    steps = _number(value)
    return 0 if steps is None or not 0 <= steps < MOST_STEPS else int(steps)


def _microseconds(value: object) -> int | None:
    seconds = _number(value)
    if seconds is None or not 0 <= seconds * MICROSECONDS < MOST_STEPS:
        return None
    return int(seconds * MICROSECONDS)


def _shown(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return repr(text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…")
