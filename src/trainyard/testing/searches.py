"""Searches in plain values: NasJob's real decisions and searchers without its message, and trials as plain jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from trainyard.core.jobs import Decision, Job, Spawn, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.space import Choice, Point, Space, Template, space_of
from trainyard.core.states import JobState
from trainyard.core.trials import Metric, OpenTrial, Stage, Trial
from trainyard.kind import Draft, Moment
from trainyard.kinds.nas_job.conduct import Scene, conduct
from trainyard.kinds.nas_job.live import LiveSearches
from trainyard.kinds.nas_job.memo import Memo
from trainyard.kinds.nas_job.plan import SearchPlan, TrainPlan
from trainyard.kinds.nas_job.programless import Programless
from trainyard.searcher import Open
from trainyard.searchers import BUILT_IN
from trainyard.testing.builders import PlainKind, PlainSpec
from trainyard.testing.virtual_time import EPOCH_US

METRIC = "score"
TRIAL_GRACE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class PlainSearch:
    """What a job of PlainSearchKind says. `options`: the number of options of each decision. `train`: see TrainPlan."""

    options: tuple[int, ...] = (3, 4)
    searcher: str = "random_search"
    trials: int = 8
    at_once: int = 2
    failed: int = 3
    timeout_seconds: float = 7 * 24 * 3600.0
    train: tuple[int, int] | None = None
    workers: int = 0

    def plan(self) -> SearchPlan:
        """The same for `conduct`."""
        return SearchPlan(
            flat_space(self.options),
            self.searcher,
            Metric(METRIC),
            self.trials,
            self.at_once,
            self.failed,
            seed=7,
            timeout_seconds=self.timeout_seconds,
            train=TrainPlan(*self.train) if self.train else None,
        )


@lru_cache(maxsize=64)
def flat_space(options: tuple[int, ...]) -> Space:
    """Decisions d0, d1, … with so many options each."""
    return space_of(
        Template(tuple(Choice(f"d{number}", (Template(),) * count) for number, count in enumerate(options)))
    )


def search_job(job_id: int, search: PlainSearch, project: str = "p", create_time_us: int = EPOCH_US) -> Job:
    """A fresh search, QUEUED."""
    name = JobName(Scope.of(project, "us-central1"), PlainSearchKind.collection, job_id)
    spec = json.dumps(asdict(search)).encode()
    return Job(name, create_time_us, f"search-{job_id}", {}, spec, Status(JobState.QUEUED, create_time_us))


def searcher_named(name: str) -> Open:
    """A keeper of the Searcher promise."""
    opened: Open = import_module(BUILT_IN[name]).open_searcher
    return opened


class PlainTrialKind(PlainKind):
    """The jobs of trials: plain jobs of a collection of their own."""

    collection = "nasTrials"


class PlainSearchKind(Programless):
    """Keeps the promises kind.Kind and kind.Searches, but for what needs a message."""

    collection = "nasJobs"
    message_name = "NasJob"

    def __init__(self) -> None:
        """Nothing is searched yet."""
        self._searches = LiveSearches(searcher_named)

    def draft(self, message: Any) -> Draft:
        """A PlainSearch is its own message."""
        return Draft("search", {}, json.dumps(asdict(message)).encode())

    def render(self, job: Job) -> Any:
        """A few fields, for reading."""
        return {"name": str(job.name), "state": job.status.state.api_name}

    def conduct(
        self, job: Job, trials: Sequence[OpenTrial], history: Callable[[], Sequence[Trial]], moment: Moment
    ) -> Decision:
        """NasJob's own decision."""
        search = plain_search(job.spec)
        plan = search.plan()

        def spawn(stage: Stage, number: int, point: Point) -> Spawn:  # noqa: ARG001 - conduct's signature
            trial = PlainSpec(workers=search.workers, grace_seconds=TRIAL_GRACE_SECONDS)
            return Spawn(PlainTrialKind.collection, stage, number, "trial", json.dumps(asdict(trial)).encode())

        live = self._searches.of(job, plan, Memo.parse(job.status.memo), history)
        return conduct(Scene(job, plan, trials, live, spawn, moment))

    def resumes(self, message: Any, job_name_prefix: str) -> str:  # noqa: ARG002 - the promise's signature
        """Never."""
        return ""

    def resumed(self, message: Any, before: Job) -> Any:
        """Never asked."""
        raise AssertionError(f"{message} does not go on from {before.name}")

    def render_whole(self, job: Job, trials: Sequence[Trial]) -> Any:
        """As `render`, and how many trials there are."""
        return {**self.render(job), "trials": len(trials)}

    def render_trial(self, job: Job, search: Trial, train: Trial | None) -> Any:
        """A few fields, for reading."""
        return {"job": str(job.name), "trial": search.number, "trained": train is not None}

    def is_claimed(self, job: Job) -> bool:  # noqa: ARG002 - the promise's signature
        """No: every trial has a job."""
        return False

    def metric_of(self, job: Job) -> str:  # noqa: ARG002 - the promise's signature
        """The only one."""
        return METRIC

    def best_first(self, job: Job, trials: Sequence[Trial]) -> list[Trial]:
        """By number: nobody reads lists here."""
        return sorted(trials, key=lambda trial: (str(job.name), trial.number))


@lru_cache(maxsize=256)
def plain_search(text: bytes) -> PlainSearch:
    """The search that a job's spec describes."""
    read = json.loads(text)
    return PlainSearch(
        **{**read, "options": tuple(read["options"]), "train": tuple(read["train"]) if read["train"] else None}
    )
