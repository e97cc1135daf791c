"""What a job is called and what is told of it where its experiment is tracked: same job, same words."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trainyard.core.jobs import Job
from trainyard.core.runs import RunGroup

DEFAULT_EXPERIMENT: Final = "Default"  # MLflow's own
_TASKS: Final = ("containerSpec", "pythonPackageSpec")


def context_id(name: str) -> str:
    """The last part of `projects/…/metadataStores/default/contexts/ID`."""
    return name.rpartition("/")[2]


def names(job: Job, experiment: str, experiment_run: str) -> tuple[str, str]:
    """Experiment and run of a job; an experimentRun is named `{experiment}-{run}`. Each trial of a search has its own.

    A job that names no experimentRun gets a run named after its id, so that it finds it again.
    """
    whole, run = context_id(experiment), context_id(experiment_run)
    run = run.removeprefix(f"{whole}-") if run else f"job-{job.id}"
    if job.parent is not None:
        run = f"{run}-{job.parent.stage.value}-{job.parent.number}"
    return whole or DEFAULT_EXPERIMENT, run


def parameters(job: Job, group: RunGroup) -> dict[str, str]:
    """Labels, and of every worker pool its machine, size and arguments."""
    found = {f"label.{name}": value for name, value in job.labels.items()}
    spec = json.loads(group.job_spec_json or "{}")
    for number, pool in enumerate(spec.get("workerPoolSpecs", [])):
        if pool:  # an empty one is skipped
            found.update({f"workerpool{number}.{name}": value for name, value in _of_pool(pool)})
    return {name: value for name, value in found.items() if value}


def _of_pool(pool: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    machine = pool.get("machineSpec", {})
    yield "machineType", machine.get("machineType", "")
    if machine.get("acceleratorType"):
        yield "accelerator", f"{machine.get('acceleratorCount', 1)} x {machine['acceleratorType']}"
    yield "replicaCount", str(pool.get("replicaCount", 1))
    for task in (pool[name] for name in _TASKS if name in pool):
        yield "imageUri", task.get("imageUri", task.get("executorImageUri", ""))
        yield "pythonModule", task.get("pythonModule", "")
        yield "command", shlex.join(task.get("command", ()))
        yield "args", shlex.join(task.get("args", ()))
