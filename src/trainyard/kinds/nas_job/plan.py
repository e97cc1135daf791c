"""What a NasJob's message says about its search, in plain values, so that `conduct` needs no protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainyard.core.errors import FieldViolation
from trainyard.core.space import Space
from trainyard.core.space_text import read_space
from trainyard.core.trials import Goal, Metric
from trainyard.kinds.faults import shortened
from trainyard.kinds.running.policy import DEFAULT_TIMEOUT_SECONDS
from trainyard.kinds.spec_rules import seconds_of

SEARCHER_LABEL: Final = "trainyard-searcher"
SEED_LABEL: Final = "trainyard-seed"
TRIALS_LABEL: Final = "trainyard-trials"
CLAIMED: Final = "claimed"
SEARCHERS: Final[Mapping[str, str]] = {
    "reinforce": "reinforce",
    "grid": "grid_search",
    "random": "random_search",
    "evolution": "evolution",
    "model-based": "model_based",
}
"""The values of SEARCHER_LABEL, and the keepers of the Searcher promise behind them."""
GRID_SEARCH: Final = 2  # MultiTrialAlgorithm; every other value means REINFORCEMENT_LEARNING
FAILURES_BY_DEFAULT: Final = 3
"""maxFailedTrialCount 0: a third of maxTrialCount, at least this many, and never more than there are trials."""
_MOST_SEED = 2**31


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """After each `frequency` ended search trials the best `most_at_once` are trained, so many at a time."""

    frequency: int
    most_at_once: int


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """`searcher` is a keeper of the Searcher promise. `seed` None: the job's id. `claimed`: workers take the trials."""

    space: Space
    searcher: str
    metric: Metric
    most_trials: int
    most_at_once: int
    most_failed: int
    seed: int | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    train: TrainPlan | None = None
    claimed: bool = False


def plan_of(nas_job_spec: Any, labels: Mapping[str, str], default_searcher: str = "reinforce") -> SearchPlan:
    """The plan of a checked NasJobSpec. `default_searcher`: for REINFORCEMENT_LEARNING without a label."""
    algorithm = nas_job_spec.multi_trial_algorithm_spec
    search, train = algorithm.search_trial_spec, algorithm.train_trial_spec
    scheduling = search.search_trial_job_spec.scheduling
    by_field = "grid" if algorithm.multi_trial_algorithm == GRID_SEARCH else default_searcher
    seed = labels.get(SEED_LABEL)
    return SearchPlan(
        space=read_space(nas_job_spec.search_space_spec),
        searcher=SEARCHERS[labels.get(SEARCHER_LABEL, by_field)],
        metric=Metric(algorithm.metric.metric_id, goal_of(algorithm.metric)),
        most_trials=search.max_trial_count,
        most_at_once=search.max_parallel_trial_count,
        most_failed=search.max_failed_trial_count or _failures_by_default(search.max_trial_count),
        seed=None if seed is None else int(seed),
        timeout_seconds=seconds_of(scheduling.timeout) if scheduling.HasField("timeout") else DEFAULT_TIMEOUT_SECONDS,
        train=TrainPlan(train.frequency, train.max_parallel_trial_count)
        if algorithm.HasField("train_trial_spec")
        else None,
        claimed=labels.get(TRIALS_LABEL) == CLAIMED,
    )


def goal_of(metric: Any) -> Goal:
    """GOAL_TYPE_UNSPECIFIED means MAXIMIZE (MetricSpec.GoalType, proto comment)."""
    return Goal.MINIMIZE if metric.goal == Goal.MINIMIZE else Goal.MAXIMIZE


def _failures_by_default(trials: int) -> int:
    return min(trials, max(FAILURES_BY_DEFAULT, -(-trials // 3)))


def label_faults(labels: Mapping[str, str]) -> tuple[FieldViolation, ...]:
    """What is wrong with the labels that steer a search; empty where they are right or not there."""
    found = []
    searcher = labels.get(SEARCHER_LABEL, "reinforce")
    if searcher not in SEARCHERS:
        known = ", ".join(SEARCHERS)
        found.append(f"The label {SEARCHER_LABEL} is {shortened(searcher)!r}, not one of {known}.")
    seed = labels.get(SEED_LABEL, "0")
    if not seed.isascii() or not seed.isdecimal() or len(seed) > 10 or int(seed) >= _MOST_SEED:
        found.append(f"The label {SEED_LABEL} is {shortened(seed)!r}, not a whole number from 0 to {_MOST_SEED - 1}.")
    trials = labels.get(TRIALS_LABEL, CLAIMED)
    if trials != CLAIMED:
        found.append(
            f"The label {TRIALS_LABEL} is {shortened(trials)!r}; it can only be {CLAIMED!r} (workers take the trials), "
            "or left out."
        )
    return tuple(FieldViolation("labels", sentence) for sentence in found)
