"""What pg.poll_result gives for a search in the service: its trials as PyGlove knows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import pyglove as pg

from trainyard.cli.claims import Claims
from trainyard.cli.nas_results import Found, found, metric_of, search_trials
from trainyard.cli.service_api import FINAL_STATES
from trainyard.core.dna import nested
from trainyard.core.parameters import point_of_parameters
from trainyard.core.space_text import read_space

_ENDED: Final = frozenset({"SUCCEEDED", "INFEASIBLE"})


def measurement(
    reward: float | None, metrics: Mapping[str, float], step: int, seconds: float, checkpoint: str | None = None
) -> Any:
    """PyGlove's Measurement."""
    return pg.tuning.Measurement(
        step=step, elapse_secs=seconds, reward=reward, metrics=dict(metrics), checkpoint_path=checkpoint
    )


class SearchResult(pg.tuning.Result):
    """A search as it was when it was asked about."""

    def __init__(self, claims: Claims, name: str) -> None:
        super().__init__()
        self._name = name
        self._job = claims.job()
        self._claims = claims

    @property
    def metadata(self) -> dict[str, Any]:
        """None is kept."""
        return {}

    @property
    def is_active(self) -> bool:
        """Whether workers may still get trials."""
        return self._job.get("state") not in FINAL_STATES

    @property
    def last_updated(self) -> datetime:
        """When the job last changed."""
        return datetime.fromisoformat(str(self._job["updateTime"]))

    @cached_property
    def trials(self) -> list[Any]:
        """All trials in the order of their numbers, open ones as PENDING."""
        metric = metric_of(self._job)
        details = {int(each["searchTrial"]["id"]): each for each in self._claims.details()}
        space = read_space(str(self._job["nasJobSpec"]["searchSpaceSpec"]))
        shown = []
        for trial in search_trials(self._job):
            number = int(trial["id"])
            one = found(trial, details.get(number) or self._claims.detail(number), metric)
            dna = pg.DNA(nested(space, point_of_parameters(space, one.parameters)))
            shown.append(_trial(one, dna, metric, int(trial.get("finalMeasurement", {}).get("stepCount", 0))))
        return shown

    @property
    def best_trial(self) -> Any:
        """The measured trial with the largest reward; None before there is one."""
        measured = [each for each in self.trials if each.status == "COMPLETED" and not each.infeasible]
        return max(measured, key=lambda each: (each.final_measurement.reward, -each.id), default=None)

    def format(self, *_: Any, **__: Any) -> str:
        """One line for people."""
        best = self.best_trial
        told = "nothing measured yet" if best is None else f"best {best.final_measurement.reward:g} (trial {best.id})"
        return f"search {self._name!r}: {self._job.get('state')}, {len(self.trials)} trials, {told}"


def _trial(one: Found, dna: Any, metric: str, step: int) -> Any:
    is_over = one.state in _ENDED
    final = None
    if is_over:
        others = {name: value for name, value in one.metrics.items() if name != metric}
        final = measurement(one.value or 0.0, others, step, _seconds(one))
    return pg.tuning.Trial(
        id=one.number,
        dna=dna,
        status="COMPLETED" if is_over else "PENDING",
        infeasible=one.state == "INFEASIBLE",
        final_measurement=final,
        measurements=[] if final is None else [final],
        created_time=int(_stamp(one.start)),
        completed_time=int(_stamp(one.end)) if is_over else None,
        metadata={},
        related_links={},
    )


def _seconds(one: Found) -> float:
    return max(0.0, _stamp(one.end) - _stamp(one.start))


def _stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
