"""A service over the store in memory, as the tests of this folder use it: real parts, a clock that is handed in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from google.protobuf import json_format

from trainyard.contract.operations import Operation, operations
from trainyard.contract.pool import message_class
from trainyard.core.ids import TimeOrderedIds
from trainyard.core.jobs import Decision, Event, Job
from trainyard.core.names import JobName
from trainyard.kinds.custom_job.kind import CustomJobKind
from trainyard.service.access import Access, Caller, OpenAccess
from trainyard.service.dispatch import Service
from trainyard.store import LogBatch, LogLine
from trainyard.stores.memory import MemoryStore

PARENT = "projects/p1/locations/us-central1"
POOL = {
    "machineSpec": {"machineType": "n1-standard-4"},
    "replicaCount": "1",
    "containerSpec": {"imageUri": "img", "args": ["x"]},
}
MINIMAL: dict[str, Any] = {"displayName": "t", "jobSpec": {"workerPoolSpecs": [POOL]}}
T0 = 1_700_000_000_000_000


class TickingClock:
    """Moves on by one millisecond with every look."""

    def __init__(self) -> None:
        self.time_us = T0

    def now_us(self) -> int:
        self.time_us += 1000
        return self.time_us

    steady_us = now_us


class ListedLines:
    """A log book over lines in memory; the cursor is how many have been read."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.reads = 0

    async def read(self, job_id: int, cursor: str = "", size: int = 1000, task: str = "") -> LogBatch:
        self.reads += 1
        start = int(cursor or 0)
        found = [line for line in self.lines if task in ("", line.task)]
        end = min(start + size, len(found))
        return LogBatch(tuple(found[start:end]), str(end), end < len(found))

    def raw_files(self, job_id: int, task: str, stream: str, attempt: int | None = None) -> tuple[str, ...]:
        return (f"{job_id}/{attempt or 1}/{task}/{stream}",)


def operation(method: str) -> Operation:
    return next(entry for entry in operations() if entry.method == method)


class Bench:
    """The service and its parts; `call` takes and gives JSON values."""

    def __init__(self, access: Access | None = None, logbook: Any = None) -> None:
        self.clock = TickingClock()
        self.store = MemoryStore()
        self.logbook = logbook or ListedLines()
        self.service = Service(
            desk=self.store,
            logbook=self.logbook,
            kinds=[CustomJobKind()],
            clock=self.clock,
            ids=TimeOrderedIds(self.clock),
            access=access or OpenAccess(),
        )

    def call(self, method: str, request: dict[str, Any], version: str = "v1", caller: Caller | None = None) -> Any:
        entry = operation(method)
        cls = message_class(entry.request.replace("{v}", "v1beta1" if version == "ui" else version))
        answer = asyncio.run(
            self.service.call(entry, version, json_format.ParseDict(request, cls()), caller or Caller())
        )
        return json_format.MessageToDict(answer, descriptor_pool=cls.DESCRIPTOR.file.pool)

    def create(self, parent: str = PARENT, **fields: Any) -> Any:
        return self.call("CreateCustomJob", {"parent": parent, "customJob": {**MINIMAL, **fields}})

    def list(self, parent: str = PARENT, **fields: Any) -> Any:
        return self.call("ListCustomJobs", {"parent": parent, **fields})

    def names(self, **fields: Any) -> list[str]:
        return [job["displayName"] for job in self.list(**fields).get("customJobs", [])]

    def job(self, name: str) -> Job:
        return self.store.get(JobName.parse(name))

    def move(self, name: str, event: Event, why: str = "because") -> Job:
        """What the controller would do: one transition."""
        job = self.job(name)
        decision = Decision(job.status).moved(event, self.clock.now_us(), why)
        return self.commit(job, decision)

    def commit(self, job: Job, decision: Decision) -> Job:
        moved = asyncio.run(self.store.commit(job, decision))
        assert moved is not None
        return moved

    def end(self, name: str) -> Job:
        """To SUCCEEDED by the shortest way."""
        self.move(name, Event.ADMITTED)
        return self.move(name, Event.SUCCEEDED)

    def waits(self, name: str, why: str) -> Job:
        job = self.job(name)
        return self.commit(job, Decision(replace(job.status, waits_for=why)))
