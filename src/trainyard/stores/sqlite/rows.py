"""A job and its rows, both ways: the only module that knows the order of columns."""

from __future__ import annotations

import json
from typing import Any

from trainyard.core.jobs import Change, Intent, Job, Note, Parentage, Problem, ReplicaRecord, Seal, Severity, Status
from trainyard.core.names import JobName, OperationName, Scope
from trainyard.core.runs import Cause, Exit
from trainyard.core.states import JobState
from trainyard.core.trials import Stage
from trainyard.keyring import Opened
from trainyard.store import Narrated, StoredOperation

Row = tuple[Any, ...]

_STATES = {state.value: state for state in JobState}
_INTENTS = {intent.value: intent for intent in Intent}


def job_from(row: Row, scope: Scope, collection: str) -> Job:
    """The job in a row of get_job, get_jobs or live_jobs."""
    (
        _,
        state,
        display_name,
        create_us,
        update_us,
        start_us,
        end_us,
        revision,
        id_,
        priority,
        intent,
        intent_by,
        intent_us,
        attempt,
        run_id,
        waits_for,
        memo,
        code,
        message,
        spec,
        labels,
        *lineage,
    ) = row
    error = None if code is None else Problem(code, message)
    return Job(
        name=JobName(scope, collection, id_),
        create_time_us=create_us,
        display_name=display_name,
        labels=json.loads(labels) if labels != "{}" else {},
        spec=bytes(spec),
        status=Status(_STATES[state], update_us, start_us, end_us, error, attempt, run_id, waits_for, memo),
        priority=priority,
        intent=_INTENTS[intent],
        intent_by=intent_by,
        intent_time_us=intent_us,
        revision=revision,
        parent=_parentage(*lineage),
        seal=_seal_of(spec),
    )


def _seal_of(spec: bytes) -> Seal | None:
    return Seal(spec.owner, locked=spec.locked, damaged=spec.damaged) if isinstance(spec, Opened) else None


def _parentage(parent: int | None, stage: str, number: int) -> Parentage | None:
    return None if parent is None else Parentage(parent, Stage(stage), number)


def job_row(job: Job, place: int) -> Row:
    """For add_job."""
    status = job.status
    return (
        job.id,
        place,
        int(status.state),
        job.display_name,
        job.create_time_us,
        status.update_time_us,
        status.start_time_us,
        status.end_time_us,
        job.revision,
    )


def detail_row(job: Job) -> Row:
    """For add_detail."""
    parent = job.parent
    lineage = (None, None, None) if parent is None else (parent.job_id, parent.stage.value, parent.number)
    return (job.id, job.priority, job.intent.value, job.intent_by, job.intent_time_us, *_mutable(job.status), *lineage)


def advance_row(job: Job, status: Status) -> Row:
    """For advance_job: what is new, and the job and revision that it is guarded by."""
    return (int(status.state), status.update_time_us, status.start_time_us, status.end_time_us, job.id, job.revision)


def advance_detail_row(job_id: int, status: Status) -> Row:
    """For advance_detail."""
    return (*_mutable(status), job_id)


def _mutable(status: Status) -> Row:
    error = status.error
    return (
        status.attempt,
        status.run_id,
        status.waits_for,
        status.memo,
        None if error is None else error.code,
        None if error is None else error.message,
    )


def body_row(job: Job) -> Row:
    """For add_body."""
    return (job.id, job.spec, json.dumps(dict(job.labels), ensure_ascii=False) if job.labels else "{}")


def change_row(job_id: int, change: Change) -> Row:
    """For add_change."""
    source = None if change.source is None else int(change.source)
    return (job_id, change.time_us, source, int(change.target), change.attempt, change.why)


def change_from(row: Row) -> Change:
    """The line of history in a row."""
    time_us, source, target, attempt, why = row
    return Change(time_us, None if source is None else JobState(source), JobState(target), attempt, why)


def note_row(job_id: int, note: Note) -> Row:
    """For add_note."""
    return (job_id, note.time_us, note.severity.value, note.text)


def narrated_from(row: Row) -> Narrated:
    """The numbered note in a row."""
    seq, time_us, severity, text = row
    return Narrated(seq, Note(time_us, Severity(severity), text))


def record_row(job_id: int, record: ReplicaRecord) -> Row:
    """For add_record."""
    end = record.exit
    return (
        job_id,
        record.attempt,
        record.replica,
        record.incarnation,
        end.cause.value,
        end.code,
        end.signal,
        end.message,
        end.last_lines,
        end.started_us,
        end.ended_us,
        end.peak_memory_bytes,
        end.cpu_seconds,
        int(end.internal),
    )


def record_from(row: Row) -> ReplicaRecord:
    """The replica's end in a row."""
    (
        attempt,
        replica,
        incarnation,
        cause,
        code,
        signal,
        message,
        last_lines,
        started_us,
        ended_us,
        peak_memory_bytes,
        cpu_seconds,
        internal,
    ) = row
    end = Exit(
        Cause(cause),
        code,
        signal,
        message,
        last_lines,
        started_us,
        ended_us,
        peak_memory_bytes,
        cpu_seconds,
        bool(internal),
    )
    return ReplicaRecord(attempt, replica, incarnation, end)


def operation_row(operation: StoredOperation) -> Row:
    """For add_operation."""
    name = operation.name
    job = name.job
    return (
        name.id,
        name.scope.project,
        name.scope.location,
        None if job is None else job.collection,
        None if job is None else job.id,
        operation.api_version,
        operation.kind,
        operation.create_time_us,
        operation.update_time_us,
        int(operation.done),
    )


def operation_from(row: Row) -> StoredOperation:
    """The operation in a row."""
    id_, project, location, collection, job_id, api_version, kind, create_us, update_us, done = row
    scope = Scope(project, location)
    job = None if job_id is None else JobName(scope, collection, job_id)
    return StoredOperation(OperationName(scope, job, id_), api_version, kind, create_us, update_us, bool(done))
