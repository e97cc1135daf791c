"""The five verbs, written once over any kind: each takes and gives messages of the stored version."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from trainyard.core.errors import FieldViolation, InvalidArgument
from trainyard.core.jobs import Job, Note, Seal, Severity, Status
from trainyard.core.names import JobName, OperationName, Scope
from trainyard.core.states import JobState
from trainyard.kind import Draft, Kind, searching
from trainyard.service import listing, lro
from trainyard.service.access import require_act_as
from trainyard.service.call import Call, job_name, undamaged, unlocked
from trainyard.service.rendering import empty, snake
from trainyard.store import StoredOperation

KindHandler = Callable[[Call, Kind, Any], Awaitable[Any]]


async def create(call: Call, kind: Kind, request: Any) -> Any:
    """Check, name, stamp and keep a new job; it is durable before it is answered (law 1)."""
    scope = Scope.parse(request.parent)
    field = snake(kind.message_name)
    if not request.HasField(field):
        raise InvalidArgument.found([FieldViolation(field, "Required field is not set.")])
    message, before = _resumed(call, kind, scope, getattr(request, field))
    draft = kind.draft(message)
    for account in draft.run_as:
        require_act_as(call.access, call.caller, account)
    now_us = call.keepers.clock.now_us()
    job = _new_job(JobName(scope, kind.collection, call.keepers.ids.next_id()), draft, now_us)
    if draft.key:
        await asyncio.to_thread(call.keepers.vault.admit, job.id, scope, draft.key)
    notes = [Note(now_us, Severity.NOTICE, text) for text in draft.notes]
    if before is None:
        await call.keepers.desk.insert(job, notes)
    else:
        await call.keepers.desk.insert_heir(job, notes, before.name)
    return kind.render(job)


def _resumed(call: Call, kind: Kind, scope: Scope, message: Any) -> tuple[Any, Job | None]:
    """The message completed by the job that it goes on from, and that job; itself where it begins anew."""
    search = searching(kind)
    name = search.resumes(message, f"{scope}/{kind.collection}/") if search else ""
    if search is None or not name:
        return message, None
    before = unlocked(call.keepers.desk.get(job_name(name, kind)))
    return search.resumed(message, before), before


def _new_job(name: JobName, draft: Draft, now_us: int) -> Job:
    return Job(
        name=name,
        create_time_us=now_us,
        display_name=draft.display_name,
        labels=draft.labels,
        spec=draft.spec,
        status=Status(JobState.QUEUED, update_time_us=now_us),
        priority=draft.priority,
        seal=Seal(name.id, draft.outline) if draft.key else None,
    )


async def get(call: Call, kind: Kind, request: Any) -> Any:
    """The job as it is now. Raises Internal where it was damaged at rest: a list shows what can be shown of it."""
    job = undamaged(call.keepers.desk.get(job_name(request.name, kind)))
    if search := searching(kind):
        return search.render_whole(job, await call.keepers.desk.trials(job.name))
    return kind.render(job)


async def list_(call: Call, kind: Kind, request: Any) -> Any:
    """One page of the jobs of a scope, newest first."""
    return await listing.page(call.keepers.desk, kind, request, call.keepers.seen)


async def cancel(call: Call, kind: Kind, request: Any) -> Any:
    """Write down that the job is to end; one that has ended stays as it is, and the answer is the same."""
    now_us = call.keepers.clock.now_us()
    await call.keepers.desk.ask_cancel(job_name(request.name, kind), call.caller.name, now_us)
    return empty()


async def delete(call: Call, kind: Kind, request: Any) -> Any:
    """Remove a job that has ended; the operation that tells of it is done when it is made, and stays."""
    name = job_name(request.name, kind)
    keepers = call.keepers
    now_us = keepers.clock.now_us()
    operation = StoredOperation(
        name=OperationName(name.scope, name, keepers.ids.next_id()),
        api_version=call.version,
        kind="DeleteOperationMetadata",
        create_time_us=now_us,
        update_time_us=now_us,
    )
    await keepers.desk.delete(name, operation)
    return lro.render(operation)
