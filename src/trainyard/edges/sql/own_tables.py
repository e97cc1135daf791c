"""The schema `trainyard`: what happened to the jobs of a project, as tables that join with the jobs."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from trainyard.contract.operations import Operation
from trainyard.core.clock import rfc3339
from trainyard.edges.sql.names import OWN_SCHEMA
from trainyard.edges.sql.resources import Method, Resource, TableColumn, resources
from trainyard.edges.sql.sources import ANY, Row, Target
from trainyard.edges.sql.work import Scan, Work
from trainyard.service.cells import IDENTITY, cell
from trainyard.service.reading import Asked

if TYPE_CHECKING:
    from trainyard.core.jobs import Change

_PATH: Final = ("projectsId", "locationsId", "jobsId")
_OF_JOB: Final = (
    ("job", "string", "The job's full name; equal to `name` in the job's own table."),
    ("kind", "string", "The collection of the job: customJobs, nasJobs."),
    ("attempt", "integer", "The attempt, from 1; 0 before the first."),
)
_LINES_AT_ONCE: Final = 1000
_TABLES: Final[Mapping[str, tuple[str, Sequence[tuple[str, str, str]]]]] = {
    "history": (
        "Every change of state of every job: when, from what to what, and why.",
        (
            ("time", "string", "When, in RFC 3339."),
            ("fromState", "string", "The state before; null at the creation."),
            ("toState", "string", "The state since then."),
            ("why", "string", "One sentence for people."),
        ),
    ),
    "attempts": (
        "Every attempt of every job that was admitted: when it was launched, ran and was over.",
        (
            ("launchTime", "string", "When its replicas were launched."),
            ("startTime", "string", "When every replica was up; null where it never came to that."),
            ("endTime", "string", "When it was over; null while it goes on."),
            ("outcome", "string", "The state that came after it; JOB_STATE_PENDING and JOB_STATE_QUEUED: another try."),
            ("why", "string", "Why it ended, in one sentence."),
        ),
    ),
    "replicas": (
        "How every incarnation of every replica ended.",
        (
            ("replica", "string", "Which one: workerpool0-0."),
            ("incarnation", "integer", "How often it had been started again within the attempt."),
            ("cause", "string", "exited, signaled, stopped, out of memory, start failed, lost."),
            ("exitCode", "integer", "As a shell gives it."),
            ("signal", "integer", "The signal that ended it."),
            ("message", "string", "One sentence where the cause needs one."),
            ("host", "string", "The machine that it ran on."),
            ("peakMemoryBytes", "integer", "The most memory that it had at a time."),
            ("cpuSeconds", "number", "The time that it used on all cores."),
            ("startTime", "string", "When its program was started."),
            ("endTime", "string", "When it was over."),
            ("lastLines", "string", "The end of its output."),
        ),
    ),
    "logs": (
        "Every line of output of every replica, and the service's own lines about the job (task `service`).",
        (
            ("time", "string", "When it was written."),
            ("task", "string", "The replica: workerpool0-0, or service."),
            ("stream", "string", "stdout, stderr or service."),
            ("severity", "string", "DEFAULT, INFO, WARNING, ERROR …"),
            ("text", "string", "The line."),
            ("payload", "object", "The same as JSON, where the line is a JSON object."),
        ),
    ),
}


@cache
def own_tables() -> tuple[Resource, ...]:
    """The tables as resources: `projectsId` is required, `locationsId` and `jobsId` narrow."""
    return tuple(_table(name, doc, columns) for name, (doc, columns) in _TABLES.items())


def _table(name: str, doc: str, columns: Sequence[tuple[str, str, str]]) -> Resource:
    shown = tuple(TableColumn(*column) for column in (*_OF_JOB, *columns))
    no_operation = Operation("", "", "list", "", "", "", (), (), doc=doc)
    methods = (Method("list", "SELECT", no_operation, _PATH[:1], _PATH[1:]),)
    return Resource(name, "", doc, shown, methods, _PATH, OWN_SCHEMA)


class OwnSource:
    """Rows of one of these tables, of the kinds that the service has."""

    ranges = ""

    def __init__(self, resource: Resource) -> None:
        """Read this table."""
        self._resource = resource

    def settles(self, column: str) -> bool:
        """See Source: a job is found by its name."""
        return column == "job"

    def is_key(self, column: str) -> bool:
        """See Source."""
        return column in ("job", "jobsId")

    def takes(self, options: frozenset[str]) -> bool:  # noqa: ARG002 - the promise's signature
        """See Source."""
        return True

    def targets(self, target: Target, work: Work) -> Sequence[Target]:
        """See Source: every scope of its own, of whatever kind its jobs are."""
        project, location = target.ids["projectsId"], target.options.get("locationsId", ANY)
        scopes = {scope for kind in _kinds(work) for scope in work.reading.within(kind, project, location, ANY)}
        return [
            Target(
                target.method,
                {"projectsId": found[0] if project == ANY else project},
                {**target.options, "locationsId": found[1]},
                target.equal,
            )
            for found in sorted(scopes)
        ]

    def tally(self, target: Target, columns: Sequence[str], scan: Scan, work: Work) -> Iterator[Sequence[Row]]:
        """See Source."""
        for part in self.rows(target, columns, scan, work):
            yield [(*row, 1) for row in part]

    def rows(
        self,
        target: Target,
        columns: Sequence[str],
        scan: Scan,
        work: Work,
        *,
        in_order: bool = True,  # noqa: ARG002 - the promise's signature
    ) -> Iterator[Sequence[Row]]:
        """See Source."""
        for asked in _asked(target, work):
            work.check()
            scan.calls += 1
            known: Counter[str] = Counter()
            for part in _READERS[self._resource.name](asked, work):
                work.check()
                scan.pages += 1
                scan.rows += len(part)
                for row in part:
                    known[row["job"]] += 1
                    row[IDENTITY] = hash((row["job"], known[row["job"]]))
                yield [tuple(row.get(column) for column in columns) for row in part]


def _asked(target: Target, work: Work) -> Iterator[Asked]:
    """The kinds and scopes that a target means, and the one job where it names one."""
    project, location = target.ids["projectsId"], target.options["locationsId"]
    own = target.options.get("jobsId")
    name = dict(target.equal).get("job")
    parts = name.split("/") if name is not None else []
    if name is not None and len(parts) != 6:
        return
    for kind in _kinds(work):
        if name is not None and parts[4] != kind:
            continue
        for found_project, found_location in work.reading.within(kind, project, location, ANY):
            if name is None or (own in (None, parts[5]) and parts[1::2][:2] == [found_project, found_location]):
                yield Asked(kind, found_project, found_location, parts[5] if name is not None else own)


def _kinds(work: Work) -> list[str]:
    """The kinds that the API shows; others are the service's own affair."""
    return sorted(work.reading.kinds() & {resource.collection for resource in resources().values()})


def _named(asked: Asked, job_id: object) -> dict[str, Any]:
    name = f"projects/{asked.project}/locations/{asked.location}/{asked.collection}/{job_id}"
    return {"job": name, "kind": asked.collection, "id": str(job_id), "jobsId": str(job_id)}


def _history(asked: Asked, work: Work) -> Iterator[list[dict[str, Any]]]:
    for part in work.reading.changes(asked):
        yield [
            {
                **_named(asked, job_id),
                "attempt": change.attempt,
                "time": rfc3339(change.time_us),
                "fromState": change.source.api_name if change.source is not None else None,
                "toState": change.target.api_name,
                "why": change.why,
            }
            for job_id, change in part
        ]


def _attempts(asked: Asked, work: Work) -> Iterator[list[dict[str, Any]]]:
    """Changes of one job come together and in order: each that enters PENDING begins an attempt."""
    job_id, attempt = -1, dict[str, Any]()
    for part in work.reading.changes(asked):
        over: list[dict[str, Any]] = []
        for found_id, change in part:
            if found_id != job_id:
                over += [attempt] if attempt else []
                job_id, attempt = found_id, {}
            over += _over(asked, found_id, attempt, change)
        yield over
    if attempt:
        yield [attempt]


def _over(asked: Asked, job_id: int, attempt: dict[str, Any], change: Change) -> list[dict[str, Any]]:
    """Write the change into the attempt that goes on; gives the attempt that is over by it."""
    state, time = change.target.api_name, rfc3339(change.time_us)
    over: list[dict[str, Any]] = []
    if attempt and state == "JOB_STATE_RUNNING":
        attempt["startTime"] = time
    elif attempt and state != "JOB_STATE_CANCELLING":
        over = [{**attempt, "endTime": time, "outcome": state, "why": change.why}]
        attempt.clear()
    if state == "JOB_STATE_PENDING":
        attempt.update(_named(asked, job_id), attempt=change.attempt, launchTime=time)
    return over


def _replicas(asked: Asked, work: Work) -> Iterator[list[dict[str, Any]]]:
    host = socket.gethostname()
    for part in work.reading.replica_records(asked):
        yield [
            {
                **_named(asked, job_id),
                "attempt": record.attempt,
                "replica": record.replica,
                "incarnation": record.incarnation,
                "cause": record.exit.cause.value,
                "exitCode": record.exit.code,
                "signal": record.exit.signal,
                "message": record.exit.message or None,
                "host": host,
                "peakMemoryBytes": record.exit.peak_memory_bytes,
                "cpuSeconds": record.exit.cpu_seconds,
                "startTime": _time(record.exit.started_us),
                "endTime": _time(record.exit.ended_us),
                "lastLines": record.exit.last_lines or None,
            }
            for job_id, record in part
        ]


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)


def _logs(asked: Asked, work: Work) -> Iterator[list[dict[str, Any]]]:
    for part in work.reading.rows(asked, ["id"]):
        for (job_id,) in part:
            named, cursor, more = _named(asked, job_id), "", True
            while more:
                logs = work.door.service.insight.logs
                page = work.door.wait(logs(named["job"], work.door.caller, cursor, _LINES_AT_ONCE), work)
                cursor, more = page["cursor"], page["more"]
                yield [{**named, **line, "payload": cell(line.get("payload"))} for line in page["entries"]]


_READERS: Final = {"history": _history, "attempts": _attempts, "replicas": _replicas, "logs": _logs}
