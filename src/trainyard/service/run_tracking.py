"""A job that names an experiment is told under which names, and where they are written down besides here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trainyard.core.tracking import names

if TYPE_CHECKING:
    from trainyard.core.jobs import Job
    from trainyard.tracker import Tracked


def tracking_of(job: Job, message: Any, told: Callable[[int], Tracked | None]) -> dict[str, Any] | None:
    """`experiment`, `run`, `where` and `runId` (both empty where it is recorded with the job only); None without one.

    `message` is the job's, or the CustomJobSpec of one that runs a trial.
    """
    spec = getattr(message, "job_spec", message)
    experiment, run = getattr(spec, "experiment", ""), getattr(spec, "experiment_run", "")
    if not experiment and not run:
        return None
    found = told(job.id)
    experiment, run = names(job, experiment, run)
    return {
        "experiment": experiment,
        "run": run,
        "where": found.where if found else "",
        "runId": found.run_id if found else "",
    }
