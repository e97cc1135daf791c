"""Trials as the API shows them: NasJobOutput and NasTrialDetail, from what is durable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainyard.core.clock import MICROSECONDS
from trainyard.core.parameters import parameters_text
from trainyard.core.space import Space
from trainyard.core.trials import Stage, Trial
from trainyard.kinds.resource_message import stamp

_NANOS = 1000


def put_output(message: Any, trials: Iterable[Trial]) -> None:
    """Fill a NasJob's `nas_job_output`; where there are no trials yet, it is there all the same, and empty."""
    output = message.nas_job_output.multi_trial_job_output
    output.SetInParent()
    for trial in trials:
        if trial.stage is not Stage.PAST:
            put_trial((output.train_trials if trial.stage is Stage.TRAIN else output.search_trials).add(), trial)


def put_detail(message: Any, name: str, space: Space, search: Trial, train: Trial | None) -> None:
    """Fill a NasTrialDetail; `parameters` is what the trainer gets as --nas_params_str."""
    message.name = name
    message.parameters = parameters_text(space, search.point)
    put_trial(message.search_trial, search)
    if train is not None:
        put_trial(message.train_trial, train)


def put_trial(message: Any, trial: Trial) -> None:
    """Fill a NasTrial. The public client splits times at the fraction, so a whole second is shown as a little more."""
    message.id = str(trial.number)
    message.state = trial.state
    if trial.start_time_us is not None:
        stamp(message.start_time, _with_fraction(trial.start_time_us))
    if trial.end_time_us is not None:
        stamp(message.end_time, _with_fraction(trial.end_time_us))
    if trial.measurement is not None:
        _put_measurement(message.final_measurement, trial)


def _with_fraction(time_us: int) -> int:
    return time_us if time_us % MICROSECONDS else time_us + 1


def _put_measurement(message: Any, trial: Trial) -> None:
    measured = trial.measurement
    assert measured is not None
    if trial.start_time_us is not None and trial.end_time_us is not None:
        seconds, micros = divmod(max(0, trial.end_time_us - trial.start_time_us), MICROSECONDS)
        message.elapsed_duration.seconds, message.elapsed_duration.nanos = seconds, micros * _NANOS
    message.step_count = measured.step_count
    for name, value in measured.metrics.items():
        message.metrics.add(metric_id=name, value=value)
