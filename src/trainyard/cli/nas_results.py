"""What a search has found, read from the public API's answers alone: its trials, their rewards, their architectures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final

from trainyard.cli.problems import Refused
from trainyard.cli.service_api import Job, ServiceApi
from trainyard.core.errors import InvalidArgument
from trainyard.core.parameters import point_of_parameters, readable
from trainyard.core.space import Point, Space
from trainyard.core.space_text import read_space

ENDED: Final = frozenset({"SUCCEEDED", "INFEASIBLE"})
_PAGE: Final = 1000
_BEST: Final = 100  # a search that has made up its mind tries the same architecture again and again


@dataclass(frozen=True, slots=True)
class Found:
    """One search trial: `value` is the objective as reported; `parameters` is empty where they are not known (yet)."""

    number: int
    state: str
    value: float | None
    metrics: Mapping[str, float]
    start: str
    end: str
    parameters: str = ""
    trained: float | None = None


@dataclass(frozen=True)
class Search:
    """A NasJob with its trials in the order of their numbers; `space` is None where its text is out of reach."""

    job: Job
    space: Space | None
    trials: Sequence[Found]

    @cached_property
    def metric(self) -> str:
        """What trials are judged by; empty where nobody says."""
        return metric_of(self.job)

    @cached_property
    def is_minimised(self) -> bool:
        """Whether less is better."""
        return bool(_algorithm(self.job).get("metric", {}).get("goal") == "MINIMIZE")

    @cached_property
    def planned(self) -> int:
        """How many trials there are to be at most."""
        return int(_algorithm(self.job).get("searchTrialSpec", {}).get("maxTrialCount", 0))

    def best(self) -> list[Found]:
        """The measured trials, best first, ties by number."""
        sign = 1 if self.is_minimised else -1
        measured = [(sign * trial.value, trial.number, trial) for trial in self.trials if trial.value is not None]
        return [trial for _, _, trial in sorted(measured, key=lambda each: each[:2])]

    def running_best(self) -> Iterator[tuple[int, float]]:
        """Trial number and best value so far, at each measured trial."""
        better, best = (min if self.is_minimised else max), None
        for trial in self.trials:
            if trial.value is not None:
                best = trial.value if best is None else better(best, trial.value)
                yield trial.number, best

    def point(self, trial: Found) -> Point | None:
        """A trial's architecture as numbers; None where it is not known."""
        if self.space is None or not trial.parameters:
            return None
        try:
            return point_of_parameters(self.space, trial.parameters)
        except ValueError:
            return None

    def architecture(self, trial: Found) -> str:
        """A trial's architecture in one line for people."""
        point = self.point(trial)
        if self.space is not None and point is not None:
            return readable(self.space, point)
        return _as_it_is(trial.parameters)


def load(api: ServiceApi, name: str, *, best_only: bool = False) -> Search:
    """The search as it is now. Raises Refused where there is no such job.

    `best_only`: of the best trials alone ask what they tried; else also of those that the list of details leaves out.
    """
    job = api.get(name)
    size = _BEST if best_only else _PAGE
    listed = api.pages(f"{name}/nasTrialDetails", "nasTrialDetails", {"pageSize": str(size)})
    details = {_number(each): each for each in islice(listed, _BEST if best_only else None)}
    trials = []
    for trial in search_trials(job):
        number = int(trial.get("id", 0))
        if number not in details and not best_only:
            details[number] = _detail(api, name, number)
        trials.append(found(trial, details.get(number, {}), metric_of(job)))
    return Search(job, space_of_job(api, job), sorted(trials, key=lambda each: each.number))


def metric_of(job: Job) -> str:
    """The objective of a job; empty where it does not say (a resumed one need not)."""
    return str(_algorithm(job).get("metric", {}).get("metricId", ""))


def search_trials(job: Job) -> list[dict[str, Any]]:
    """The job's search trials as the API shows them."""
    output = job.get("nasJobOutput", {}).get("multiTrialJobOutput", {})
    return list(output.get("searchTrials", []))


def found(trial: Mapping[str, Any], detail: Mapping[str, Any], metric: str) -> Found:
    """A trial from its place in the job and its detail ({} where there is none)."""
    metrics = _metrics(trial)
    value = metrics.get(metric) if metric else next(iter(metrics.values()), None)
    trained = _metrics(detail.get("trainTrial", {}))
    return Found(
        number=int(trial.get("id", 0)),
        state=str(trial.get("state", "")),
        value=value,
        metrics=metrics,
        start=str(trial.get("startTime", "")),
        end=str(trial.get("endTime", "")),
        parameters=str(detail.get("parameters", "")),
        trained=trained.get(metric) if metric else next(iter(trained.values()), None),
    )


def space_of_job(api: ServiceApi, job: Job) -> Space | None:
    """The search space, of a resumed job the old one's; None where the old job is gone or the text is not ours."""
    spec = job.get("nasJobSpec", {})
    text = str(spec.get("searchSpaceSpec", ""))
    try:
        if not text and spec.get("resumeNasJobId"):
            parent = str(job["name"]).rpartition("/")[0]
            text = str(api.get(f"{parent}/{spec['resumeNasJobId']}").get("nasJobSpec", {}).get("searchSpaceSpec", ""))
        return read_space(text) if text else None
    except (Refused, InvalidArgument):
        return None


def _detail(api: ServiceApi, name: str, number: int) -> dict[str, Any]:
    try:
        return api.get(f"{name}/nasTrialDetails/{number}")
    except Refused:
        return {}


def _algorithm(job: Job) -> dict[str, Any]:
    return dict(job.get("nasJobSpec", {}).get("multiTrialAlgorithmSpec", {}))


def _number(detail: Mapping[str, Any]) -> int:
    return int(detail.get("searchTrial", {}).get("id", 0))


def _metrics(trial: Mapping[str, Any]) -> dict[str, float]:
    listed = trial.get("finalMeasurement", {}).get("metrics", [])
    return {str(each.get("metricId", "")): float(each.get("value", 0.0)) for each in listed}


def _as_it_is(text: str) -> str:
    """Parameters without their space, path by path."""
    try:
        told = json.loads(text)
    except ValueError:
        return text
    return " ".join(f"{path}={value}" for path, value in told.items()) if isinstance(told, dict) else text
