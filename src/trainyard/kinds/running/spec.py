"""What a CustomJobSpec and a job's labels say about its running, in plain values; the bytes given are never edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.core.errors import FieldViolation
from trainyard.kinds.faults import shortened
from trainyard.kinds.pool_rules import is_skipped
from trainyard.kinds.running.policy import (
    DEFAULT_GRACE_SECONDS,
    DEFAULT_MAX_WAIT_SECONDS,
    DEFAULT_TIMEOUT_SECONDS,
    RunPolicy,
)
from trainyard.kinds.spec_rules import is_spot, seconds_of, strategy_name
from trainyard.kinds.worker_pools import directory, replica_names

PRIORITY_LABEL = "trainyard-priority"
PRIORITIES: Mapping[str, int] = {"low": -10, "normal": 0, "high": 10}
LARGEST_PRIORITY = 100
SPOT_PRIORITY = -1000  # below every priority that a label can give


def policy_of(job_spec: Any, location: str = "", grace_seconds: float = DEFAULT_GRACE_SECONDS) -> RunPolicy:
    """How long, how often and with what grace a CustomJobSpec is run. Durations in seconds."""
    scheduling = job_spec.scheduling
    strategy = strategy_name(scheduling)
    timed = scheduling.HasField("timeout")
    return RunPolicy(
        replicas=replica_names(job_spec),
        timeout_seconds=seconds_of(scheduling.timeout) if timed else DEFAULT_TIMEOUT_SECONDS,
        disable_retries=scheduling.disable_retries,
        # Scheduling.disable_retries, proto comment: overrides restart_job_on_worker_restart to false.
        restart_job_on_worker_restart=scheduling.restart_job_on_worker_restart and not scheduling.disable_retries,
        max_wait_seconds=_max_wait(scheduling) if strategy == "FLEX_START" else None,
        grace_seconds=grace_seconds,
        preemptible=is_preemptible(job_spec),
        location=location,
    )


def is_preemptible(job_spec: Any) -> bool:
    """Whether a job of another strategy may take its place."""
    return is_spot(strategy_name(job_spec.scheduling))


def _max_wait(scheduling: Any) -> float | None:
    """Scheduling.max_wait_duration: 24 hours where it is not given, 0 waits for ever."""
    if not scheduling.HasField("max_wait_duration"):
        return DEFAULT_MAX_WAIT_SECONDS
    return seconds_of(scheduling.max_wait_duration) or None


def priority_of(labels: Mapping[str, str], job_spec: Any) -> int:
    """The place in the queue that the label and the strategy ask for; larger goes first. Expects checked labels."""
    text = labels.get(PRIORITY_LABEL, "normal")
    asked = PRIORITIES[text] if text in PRIORITIES else int(text)
    return asked + SPOT_PRIORITY if is_preemptible(job_spec) else asked


def priority_faults(labels: Mapping[str, str]) -> tuple[FieldViolation, ...]:
    """What is wrong with the priority label; empty where it is right or not there."""
    text = labels.get(PRIORITY_LABEL, "normal")
    digits = text.removeprefix("-")
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= 3 and int(digits) <= LARGEST_PRIORITY
    if text in PRIORITIES or is_number:
        return ()
    sentence = (
        f"The label {PRIORITY_LABEL} must be low, normal, high or a whole number from -{LARGEST_PRIORITY} to "
        f"{LARGEST_PRIORITY}, not {shortened(text)!r}."
    )
    return (FieldViolation("labels", sentence),)


def complete(job_spec: Any) -> None:
    """Fill in, on a spec that is about to be shown, what the service takes for granted where nothing is given."""
    for pool in job_spec.worker_pool_specs:
        if not pool.replica_count and not is_skipped(pool):
            pool.replica_count = 1
    if job_spec.HasField("base_output_directory"):
        output = job_spec.base_output_directory
        output.output_uri_prefix = directory(output.output_uri_prefix)
