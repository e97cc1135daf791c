"""The jobs of the conformance cases, and an engine over them: real parts over the store in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from trainyard.contract import codec
from trainyard.contract.pool import message_class
from trainyard.core.ids import TimeOrderedIds
from trainyard.core.jobs import Decision, Job, Problem, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.states import JobState
from trainyard.core.trials import Ending, Measurement, Trial, TrialState
from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.session import Column, SqlEngine
from trainyard.kinds.custom_job.kind import CustomJobKind
from trainyard.kinds.nas_job.kind import NasJobKind
from trainyard.service.access import Access, Caller, OpenAccess
from trainyard.service.dispatch import Service
from trainyard.store import LogBatch, LogLine
from trainyard.stores.memory import MemoryStore

T0 = 1_700_000_000_000_000
T = "google.aiplatform.custom_jobs"
W = "projectsId='p1' AND locationsId='us-central1'"
ENV = [{"name": "TOKEN", "value": "secret"}]


def pools(machine: str) -> dict[str, Any]:
    """A job spec of one pool."""
    container = {"imageUri": "img", "args": ["--x"], "env": ENV}
    return {
        "workerPoolSpecs": [{"machineSpec": {"machineType": machine}, "replicaCount": "1", "containerSpec": container}]
    }


def nas_spec() -> dict[str, Any]:
    """A search of two architectures."""
    search = {"searchTrialJobSpec": pools("n1-standard-4"), "maxTrialCount": 2, "maxParallelTrialCount": 1}
    metric = {"metricId": "accuracy", "goal": "MAXIMIZE"}
    template = "pyglove.generators.geno.Template"
    candidates = [{"_type": template, "index": index} for index in range(2)]
    choice = {"_type": "pyglove.generators.geno.Choices", "location": "a", "candidates": candidates}
    space = {"_type": template, "elements": [{**choice, "literal_values": ["8", "16"]}]}
    return {
        "searchSpaceSpec": json.dumps(space),
        "multiTrialAlgorithmSpec": {"metric": metric, "searchTrialSpec": search},
    }


def _no_searcher(name: str) -> NoReturn:
    raise AssertionError(f"nothing is searched here, and nobody asks for {name}")


class TickingClock:
    """Moves on by one millisecond with every look."""

    def __init__(self) -> None:
        self.time_us = T0 + 3_600_000_000

    def now_us(self) -> int:
        self.time_us += 1000
        return self.time_us

    steady_us = now_us


class ListedLines:
    """A log book over lines in memory, by job."""

    def __init__(self) -> None:
        self.lines: dict[int, list[LogLine]] = {}

    async def read(self, job_id: int, cursor: str = "", size: int = 1000, task: str = "") -> LogBatch:
        start = int(cursor or 0)
        found = [line for line in self.lines.get(job_id, []) if task in ("", line.task)]
        end = min(start + size, len(found))
        return LogBatch(tuple(found[start:end]), str(end), end < len(found))

    def raw_files(self, job_id: int, task: str, stream: str, attempt: int | None = None) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Told:
    """What a statement gave."""

    columns: tuple[Column, ...] | None
    rows: list[tuple[Any, ...]]
    tag: str
    message: str
    notices: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns or ()]

    @property
    def kinds(self) -> list[str]:
        return [column.kind for column in self.columns or ()]

    @property
    def dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


class Ground:
    """Jobs 1, 2, 3 and nasJob 9 of p1, job 4 of p2, with a service and an engine over them."""

    def __init__(self, data_dir: Path, access: Access | None = None, timeout_seconds: float = 20.0) -> None:
        self.data_dir = data_dir
        self.timeout_seconds = timeout_seconds
        self.clock = TickingClock()
        self.store = MemoryStore()
        self.logbook = ListedLines()
        self.service = Service(
            desk=self.store,
            logbook=self.logbook,
            kinds=[CustomJobKind(), NasJobKind(_no_searcher)],
            clock=self.clock,
            ids=TimeOrderedIds(self.clock),
            access=access or OpenAccess(),
        )
        self.calls: list[str] = []
        self._count_calls()
        done = JobState.SUCCEEDED
        self.add(1, done, "a", {"team": "x"}, machine="n1-standard-4")
        self.add(2, JobState.RUNNING, "b", {"team": "y"}, machine="a2-highgpu-1g")
        self.add(3, JobState.FAILED, "it's", {}, problem=Problem(3, "The program exited with code 3."))
        self.add(4, done, "a", {}, project="p2")
        self._add_search()

    def _count_calls(self) -> None:
        real = self.service.call

        async def call(operation: Any, version: str, request: Any, caller: Caller) -> Any:
            self.calls.append(operation.method)
            return await real(operation, version, request, caller)

        self.service.call = call  # type: ignore[method-assign]  # counts, then does the same

    def add(
        self,
        id_: int,
        state: JobState,
        name: str,
        labels: dict[str, str],
        *,
        project: str = "p1",
        machine: str = "n1-standard-4",
        problem: Problem | None = None,
    ) -> Job:
        """One more job, straight into the store."""
        cls = message_class("google.cloud.aiplatform.v1beta1.CustomJob")
        message: Any = codec.parse(cls, {"displayName": name, "labels": labels, "jobSpec": pools(machine)})
        made_us = T0 + id_ * 1_000_000
        final = state in (JobState.SUCCEEDED, JobState.FAILED)
        status = Status(state, made_us + 9, made_us + 5, made_us + 9 if final else None, problem, attempt=1)
        job = Job(
            JobName(Scope.of(project, "us-central1"), "customJobs", id_),
            made_us,
            name,
            labels,
            message.SerializeToString(deterministic=True),
            status,
        )
        asyncio.run(self.store.insert(job))
        return job

    def _add_search(self) -> None:
        """The nasJob 9 of p1, with two trials that were measured."""
        cls = message_class("google.cloud.aiplatform.v1beta1.NasJob")
        message: Any = codec.parse(cls, {"displayName": "search", "nasJobSpec": nas_spec()})
        made_us = T0 + 9_000_000
        job = Job(
            JobName(Scope.of("p1", "us-central1"), "nasJobs", 9),
            made_us,
            "search",
            {},
            message.SerializeToString(deterministic=True),
            Status(JobState.RUNNING, made_us + 5, made_us + 5),
        )
        trials = tuple(
            Trial(
                number,
                (number - 1,),
                TrialState.SUCCEEDED,
                ended_as=number,
                measurement=Measurement({"accuracy": number / 10}),
                start_time_us=made_us,
                end_time_us=made_us + 1,
                ending=Ending.MEASURED,
            )
            for number in (1, 2)
        )
        asyncio.run(self.store.insert(job))
        assert asyncio.run(self.store.commit(job, Decision(job.status, trials=trials)))

    def many(self, count: int, project: str = "p1") -> None:
        """So many succeeded jobs more, with ids from 1000."""
        first = self.add(1000, JobState.SUCCEEDED, "many", {}, project=project)
        for id_ in range(1001, 1000 + count):
            self.store._files[id_] = replace(  # the way in of `insert` would take a second
                self.store._files[1000], job=replace(first, name=replace(first.name, id=id_))
            )
            self.store._ids.append(id_)

    def ask(self, *statements: str, caller: Caller | None = None, values: Sequence[Any] = ()) -> Told:
        """Run these in one session and give what the last one gave."""
        return self.ask_all(*statements, caller=caller, values=values)[-1]

    def ask_all(self, *statements: str, caller: Caller | None = None, values: Sequence[Any] = ()) -> list[Told]:
        """Run these in one session; `values` are the last one's parameters."""

        async def story() -> list[Told]:
            engine = SqlEngine(self.service, self.data_dir, timeout_seconds=self.timeout_seconds)
            session = engine.session(caller or Caller())
            told = []
            try:
                for number, statement in enumerate(statements, 1):
                    result = await session.run(statement, values if number == len(statements) else ())
                    rows = [row async for row in result.rows]
                    told.append(Told(result.columns, rows, result.tag, result.message, result.notices))
            finally:
                await engine.close()
            return told

        return asyncio.run(story())

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        return self.ask(statement, values=values).rows

    def one(self, statement: str, *values: Any) -> Any:
        """The one value of the one row."""
        ((value,),) = self.rows(statement, *values)
        return value

    def refused(self, *statements: str, caller: Caller | None = None) -> SqlError:
        """The error of the last statement; those before it are carried out."""
        try:
            self.ask(*statements, caller=caller)
        except SqlError as error:
            return error
        raise AssertionError("this was not refused")

    def names(self) -> list[str]:
        """The display names of all jobs, oldest first."""
        return [self.store._files[id_].job.display_name for id_ in self.store._ids]

    def job(self, id_: int) -> Job | None:
        """A job as the store has it."""
        return self.store.find(id_)


__all__ = ["T0", "Ground", "T", "Told", "W", "nas_spec", "pools"]
