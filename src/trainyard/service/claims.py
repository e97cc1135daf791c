"""Trials that workers take: which one is theirs, and what they say of it (docs/nas.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import FailedPrecondition, FieldViolation, InvalidArgument
from trainyard.core.names import JobName
from trainyard.kind import Searches
from trainyard.service import trials
from trainyard.service.access import Access, Caller, require
from trainyard.service.call import unlocked
from trainyard.store import ClaimReport, Desk

LEASE_SECONDS: Final = 60.0
WAIT_SECONDS: Final = 0.5
LONGEST_WORKER: Final = 128
MOST_METRICS: Final = 100
_PERMISSION: Final = "aiplatform.nasJobs.create"


class Claims:
    """Answers workers, in JSON values."""

    def __init__(self, desk: Desk, kind: Searches, clock: Clock, access: Access) -> None:
        """`kind` says what a job's trials mean; `access` who may take them: those who may create such jobs."""
        self._desk = desk
        self._kind = kind
        self._clock = clock
        self._access = access

    async def claim(self, name: str, caller: Caller, body: Mapping[str, Any]) -> dict[str, Any]:
        """A trial for this worker, `wait` while none is free, or `done`. Raises as `_job`, and InvalidArgument."""
        job_name = self._allowed(name, caller)
        worker = _worker(body)
        _known(body, {"worker"})
        job = unlocked(self._desk.get(job_name))
        if not self._kind.is_claimed(job):
            raise FailedPrecondition(
                f"{name} starts programs for its trials; workers can take those of a job that was created with the "
                "label trainyard-trials: claimed."
            )
        if job.is_final:
            return {"done": job.status.state.api_name}
        now_us = self._clock.now_us()
        lost_before_us = now_us - round(LEASE_SECONDS * MICROSECONDS)
        trial = await self._desk.claim(job_name, worker, now_us, lost_before_us)
        if trial is None:
            return {"wait": WAIT_SECONDS}
        shown = self._kind.render_trial(job, trial, None)
        decisions = list(trial.point)
        return {"trial": {"id": str(trial.number), "parameters": shown.parameters, "decisions": decisions}}

    async def report(self, name: str, caller: Caller, body: Mapping[str, Any]) -> dict[str, Any]:
        """Take a report on `…/nasTrialDetails/{id}`; what the trial is now. Raises as Desk.report."""
        job_name, number = trials.trial_name(name)
        self._allowed(str(job_name), caller)
        _known(body, {"worker", "metrics", "stepCount", "infeasible"})
        told = _told(body, self._kind.metric_of(unlocked(self._desk.get(job_name))))
        state = await self._desk.report(job_name, number, told, self._clock.now_us())
        return {"state": state.name}

    async def finish(self, name: str, caller: Caller, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a search to begin nothing more and to end once all that was begun has ended; its state."""
        job_name = self._allowed(name, caller)
        _known(body, {"worker"})
        job = await self._desk.ask_finish(job_name, caller.name, self._clock.now_us())
        return {"state": job.status.state.api_name}

    def _allowed(self, name: str, caller: Caller) -> JobName:
        parsed = JobName.parse(name)
        if parsed.collection != trials.PARENT:
            raise _bad("name", f"{name!r} is not the name of a NasJob.")
        require(self._access, caller, _PERMISSION, name)
        return parsed


def _told(body: Mapping[str, Any], metric: str) -> ClaimReport:
    worker, metrics, infeasible = _worker(body), body.get("metrics"), body.get("infeasible")
    if infeasible is not None:
        if metrics is not None:
            raise _bad("infeasible", "A trial is measured or infeasible, not both: leave out one of the two.")
        if not isinstance(infeasible, str):
            raise _bad("infeasible", "infeasible must be a sentence saying why.")
        return ClaimReport(worker, infeasible=infeasible or "Its worker gave it up without saying why.")
    if metrics is None:
        return ClaimReport(worker)
    return ClaimReport(worker, line=_line(metrics, body.get("stepCount", 0), metric))


def _line(metrics: Any, steps: Any, metric: str) -> str:
    """As cloudml-hypertune would write it, so that there is one reader of measurements."""
    if not isinstance(metrics, dict) or len(metrics) > MOST_METRICS:
        raise _bad("metrics", f"metrics must be an object of at most {MOST_METRICS} numbers by name.")
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _bad(f"metrics.{name}", f"{value!r} is not a finite number.")
    if metric not in metrics:
        raise _bad(f"metrics.{metric}", "Required: it is the metric that this job judges by.")
    if isinstance(steps, bool) or not isinstance(steps, int | str):
        raise _bad("stepCount", f"{steps!r} is not a whole number.")
    line: dict[str, Any] = {metric: metrics[metric], "global_step": steps}
    for number, name in enumerate(each for each in metrics if each != metric):
        line[f"key_{number}"], line[f"value_{number}"] = name, metrics[name]
    return json.dumps(line)


def _worker(body: Mapping[str, Any]) -> str:
    worker = body.get("worker")
    if not isinstance(worker, str) or not 0 < len(worker) <= LONGEST_WORKER:
        raise _bad("worker", f"worker must name the caller, in 1 to {LONGEST_WORKER} characters.")
    return worker


def _known(body: Mapping[str, Any], names: set[str]) -> None:
    for name in body:
        if name not in names:
            raise _bad(name, f"There is no field {name!r} here; there are {', '.join(sorted(names))}.")


def _bad(field: str, sentence: str) -> InvalidArgument:
    return InvalidArgument.found([FieldViolation(field, sentence)])
