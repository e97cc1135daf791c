"""Jobs and a kind in plain values: CustomJob's real decisions without its message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from trainyard.core.jobs import Decision, Job, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.runs import Reading, ReplicaSpec, Resources, RunGroup
from trainyard.core.states import JobState
from trainyard.kind import Demand, Draft, Room
from trainyard.kinds.running.decide import decide
from trainyard.kinds.running.memo import is_leaving, with_incarnations
from trainyard.kinds.running.policy import RunPolicy
from trainyard.testing.virtual_time import EPOCH_US


@dataclass(frozen=True, slots=True)
class PlainSpec:
    """What a job of PlainKind says: how many workers beside the chief, what each asks for, and the rules of running."""

    workers: int = 0
    gpus: int = 0
    timeout_seconds: float = 7 * 24 * 3600.0
    disable_retries: bool = False
    restart_job_on_worker_restart: bool = False
    max_wait_seconds: float | None = None
    grace_seconds: float = 5.0
    spot: bool = False

    @property
    def replicas(self) -> tuple[str, ...]:
        """Names in pool order, the primary first."""
        return ("workerpool0-0", *(f"workerpool1-{index}" for index in range(self.workers)))

    def policy(self, location: str = "us-central1") -> RunPolicy:
        """The same for `decide`."""
        return RunPolicy(
            self.replicas,
            self.timeout_seconds,
            self.disable_retries,
            self.restart_job_on_worker_restart,
            self.max_wait_seconds,
            self.grace_seconds,
            preemptible=self.spot,
            location=location,
        )


def plain_job(job_id: int, spec: PlainSpec | None = None, project: str = "p", **fields: Any) -> Job:
    """A fresh job, QUEUED; `fields` are further ones of Job."""
    made_us = fields.pop("create_time_us", EPOCH_US)
    scope = Scope.of(project, "us-central1")
    job = Job(
        JobName(scope, PlainKind.collection, job_id),
        made_us,
        f"job-{job_id}",
        {},
        json.dumps(asdict(spec or PlainSpec())).encode(),
        Status(JobState.QUEUED, made_us),
    )
    return replace(job, **fields)


class PlainKind:
    """Keeps the promise of kind.Kind, but for the two that need a message."""

    collection = "customJobs"
    message_name = "CustomJob"

    def draft(self, message: Any) -> Draft:
        """A PlainSpec is its own message."""
        return Draft("plain", {}, json.dumps(asdict(message)).encode())

    def render(self, job: Job) -> Mapping[str, Any]:
        """A few fields, for reading."""
        return {"name": str(job.name), "state": job.status.state.api_name}

    def demand(self, job: Job) -> Demand:
        """All replicas at once, the GPUs on each."""
        spec = plain_spec(job.spec)
        return Demand((Resources(gpus=spec.gpus),) * len(spec.replicas), spec.spot, is_leaving(job.status.memo))

    def tasks(self, job: Job) -> tuple[str, ...]:
        """Chief and workers."""
        return plain_spec(job.spec).replicas

    def run_group(self, job: Job) -> RunGroup:
        """The present attempt."""
        assert job.status.run_id is not None, f"{job.name} has no run group"
        replicas = tuple(
            ReplicaSpec(name, min(number, 1), max(0, number - 1), "image")
            for number, name in enumerate(plain_spec(job.spec).replicas)
        )
        scope = job.name.scope
        group = RunGroup(job.status.run_id, str(job.name), job.id, scope.project, scope.location, replicas, "{}")
        return with_incarnations(group, job.status.memo)

    def decide(self, job: Job, reading: Reading | None, room: Room | None, now_us: int) -> Decision:
        """CustomJob's own decision."""
        return decide(job, _policy(job.spec), reading, room, now_us)


@lru_cache(maxsize=256)
def plain_spec(text: bytes) -> PlainSpec:
    """The spec of a plain job."""
    return PlainSpec(**json.loads(text))


@lru_cache(maxsize=256)
def _policy(text: bytes) -> RunPolicy:
    return plain_spec(text).policy()
