"""Every rule of a NasJob, all broken ones reported at once. Source: the proto comments of NasJob and its parts."""

from __future__ import annotations

from typing import Any

from trainyard.core.errors import FieldViolation, InvalidArgument
from trainyard.core.space_text import read_space
from trainyard.kinds.faults import REQUIRED, Faults, shortened
from trainyard.kinds.machines import Machines
from trainyard.kinds.nas_job.plan import label_faults
from trainyard.kinds.persistent import check_key
from trainyard.kinds.pool_rules import check_enum
from trainyard.kinds.resource_rules import check_display_name, check_encryption, check_labels
from trainyard.kinds.spec_rules import check_spec

OUTPUT_ONLY = (
    "name",
    "nas_job_output",
    "state",
    "create_time",
    "start_time",
    "end_time",
    "update_time",
    "error",
    "satisfies_pzs",
    "satisfies_pzi",
)
LONGEST_METRIC = 1024  # ours: it becomes a variable in the environment of every trial
SPACE = "nas_job_spec.search_space_spec"
ALGORITHM = "nas_job_spec.multi_trial_algorithm_spec"


def check(message: Any, machines: Machines, further: tuple[FieldViolation, ...] = ()) -> None:
    """Raises InvalidArgument naming every fault of a NasJob that begins anew, or was completed by the one before it.

    `further` are faults that somebody else has found in it already.
    """
    faults = Faults()
    check_display_name(message.display_name, faults)
    if message.HasField("nas_job_spec"):
        _check_spec(message.nas_job_spec, faults, machines)
    else:
        faults.add("nas_job_spec", REQUIRED)
    check_labels(message.labels, faults)
    check_encryption(message, faults)
    check_key(message, faults, machines)
    for violation in (*label_faults(message.labels), *further):
        faults.add(violation.field, violation.description)
    faults.raise_if_any()


def resume_faults(nas_job_spec: Any) -> tuple[FieldViolation, ...]:
    """What a job that goes on from another must not say again (NasJobSpec.resume_nas_job_id, proto comment)."""
    algorithm = nas_job_spec.multi_trial_algorithm_spec
    given = {
        SPACE: bool(nas_job_spec.search_space_spec),
        f"{ALGORITHM}.multi_trial_algorithm": bool(algorithm.multi_trial_algorithm),
        f"{ALGORITHM}.metric": algorithm.HasField("metric"),
    }
    why = "It comes from the job named by resume_nas_job_id and must not be given again."
    return tuple(FieldViolation(field, why) for field, is_given in given.items() if is_given)


def _check_spec(spec: Any, faults: Faults, machines: Machines) -> None:
    if faults.required(SPACE, spec.search_space_spec):
        _check_space(spec.search_space_spec, faults)
    if not spec.HasField("multi_trial_algorithm_spec"):
        faults.add(ALGORITHM, REQUIRED)
        return
    algorithm, place = spec.multi_trial_algorithm_spec, faults.under(ALGORITHM)
    check_enum(algorithm, "multi_trial_algorithm", place)
    if algorithm.HasField("metric"):
        _check_metric(algorithm.metric, place.under("metric"))
    else:
        place.add("metric", REQUIRED)
    if algorithm.HasField("search_trial_spec"):
        _check_search(algorithm.search_trial_spec, place.under("search_trial_spec"), machines)
    else:
        place.add("search_trial_spec", REQUIRED)
    if algorithm.HasField("train_trial_spec"):
        _check_train(algorithm.train_trial_spec, place.under("train_trial_spec"), machines)


def _check_space(text: str, faults: Faults) -> None:
    try:
        read_space(text, SPACE)
    except InvalidArgument as error:
        for violation in error.violations:
            faults.add(violation.field, violation.description)


def _check_metric(metric: Any, faults: Faults) -> None:
    name = metric.metric_id
    if faults.required("metric_id", name):
        if any(character.isspace() or character == "\0" for character in name):
            faults.add("metric_id", f"{shortened(name)!r} holds white space or a NUL; a metric's id must have none.")
        if len(name) > LONGEST_METRIC:
            faults.add(
                "metric_id", f"A metric's id can have no more than {LONGEST_METRIC} characters, not {len(name)}."
            )
    check_enum(metric, "goal", faults)


def _check_search(search: Any, faults: Faults, machines: Machines) -> None:
    _check_job_spec(search, "search_trial_job_spec", faults, machines)
    _check_count(search, "max_trial_count", faults)
    _check_count(search, "max_parallel_trial_count", faults)
    if search.max_failed_trial_count < 0:
        faults.add("max_failed_trial_count", "The number must not be negative; 0 leaves it to the service.")


def _check_train(train: Any, faults: Faults, machines: Machines) -> None:
    _check_job_spec(train, "train_trial_job_spec", faults, machines)
    _check_count(train, "max_parallel_trial_count", faults)
    _check_count(train, "frequency", faults)


def _check_job_spec(trial_spec: Any, name: str, faults: Faults, machines: Machines) -> None:
    if trial_spec.HasField(name):
        check_spec(getattr(trial_spec, name), faults.under(name), machines)
    else:
        faults.add(name, REQUIRED)


def _check_count(message: Any, name: str, faults: Faults) -> None:
    count = getattr(message, name)
    if faults.required(name, count) and count < 0:
        faults.add(name, f"It must be greater than 0, not {count}.")


def raise_resume_faults(nas_job_spec: Any) -> None:
    """Raises InvalidArgument where a job that goes on from another says again what it takes over."""
    found = resume_faults(nas_job_spec)
    if found:
        raise InvalidArgument.found(found)
