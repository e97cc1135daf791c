"""What a CustomJobSpec says about its running, in plain values, so that `decide` needs no protobuf."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_TIMEOUT_SECONDS = 7 * 24 * 3600.0  # Scheduling.timeout, proto comment
DEFAULT_MAX_WAIT_SECONDS = 24 * 3600.0  # Scheduling.max_wait_duration, proto comment
DEFAULT_GRACE_SECONDS = 30.0  # undocumented; what Kubernetes and Spot VMs give


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """Durations in seconds. `replicas` are in pool order; the first is the primary, whose 0 ends the job well."""

    replicas: tuple[str, ...]
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    disable_retries: bool = False
    restart_job_on_worker_restart: bool = False
    max_wait_seconds: float | None = None  # FLEX_START only; None: waits for ever
    grace_seconds: float = DEFAULT_GRACE_SECONDS
    preemptible: bool = False  # SPOT
    preempted_after: tuple[float, ...] = ()  # simulated: seconds of running after which it loses its place, each time
    location: str = ""  # for the sentence about missing capacity
