"""Which dashboard a CustomJobSpec asks for, and whether it is there now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trainyard.core.dashboards import PORT_VARIABLE, Dashboard, port_of, uri_of
from trainyard.core.jobs import Job
from trainyard.kinds.running.shells import replicas_up
from trainyard.kinds.worker_pools import replica_names, used_pools


def dashboard_of(spec: Any, job_id: int, at: str) -> Dashboard | None:
    """That of the chief, below the address `at`; None where the spec does not enable it. The last value counts."""
    chief = next(used_pools(spec), None) if spec.enable_dashboard_access else None
    task = chief.WhichOneof("task") if chief is not None else None
    if task is None:  # an outline of what is sealed says no more
        return None
    asked = Dashboard(replica_names(spec)[0], uri=uri_of(at, job_id), account=spec.service_account)
    named = [port_of(each.value) for each in getattr(chief, task).env if each.name == PORT_VARIABLE]
    return replace(asked, port=named[-1], chosen=True) if named and named[-1] else asked


def is_up(dashboard: Dashboard, job: Job) -> bool:
    """Whether the chief's program runs, as far as that is on record."""
    return dashboard.replica in replicas_up((dashboard.replica,), job.status)
