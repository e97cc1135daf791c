"""What every verb is handed: the keepers of state, time and ids, and what is known of the call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from trainyard.core.errors import FailedPrecondition, FieldViolation, Internal, InvalidArgument
from trainyard.core.names import JobName
from trainyard.keyring import FIELD
from trainyard.service.listing import Seen

if TYPE_CHECKING:
    from trainyard.contract.operations import Operation
    from trainyard.core.clock import Clock
    from trainyard.core.ids import Ids
    from trainyard.core.jobs import Job
    from trainyard.core.names import Scope
    from trainyard.kind import Kind
    from trainyard.service.access import Access, Caller
    from trainyard.store import Desk, LogBook


class Admits(Protocol):
    """The part of a vault that creating a job needs (keyring.Vault)."""

    def admit(self, owner: int, scope: Scope, key: str) -> None:
        """See keyring.Vault."""


class NoVault:
    """A service without keys."""

    def admit(self, owner: int, scope: Scope, key: str) -> None:  # noqa: ARG002 - the promise's signature
        """Raises FailedPrecondition: nothing is ever sealed here."""
        raise FailedPrecondition(f"{FIELD}: this service was started without a key ring, so {key} is not to be had.")


def undamaged(job: Job) -> Job:
    """The job, for readers of it alone; raises Internal where what it says was damaged or changed at rest."""
    if job.seal is not None and job.seal.damaged:
        raise Internal(f"What {job.name} says, and what is told of it, cannot be read. {job.seal.locked}")
    return job


def unlocked(job: Job) -> Job:
    """The job, for readers of what it says; raises as `undamaged`, and FailedPrecondition where its key is gone."""
    seal = undamaged(job).seal
    if seal is not None and seal.locked:
        raise FailedPrecondition(f"What {job.name} says, and what is told of it, is sealed. {seal.locked}")
    return job


@dataclass(frozen=True, slots=True)
class Keepers:
    """What outlives a call. `kinds` by collection."""

    desk: Desk
    kinds: Mapping[str, Kind]
    clock: Clock
    ids: Ids
    logbook: LogBook
    seen: Seen = field(default_factory=Seen)
    vault: Admits = field(default_factory=NoVault)


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way."""

    keepers: Keepers
    operation: Operation
    version: str
    caller: Caller
    access: Access


Handler = Callable[[Call, Any], Awaitable[Any]]
StreamHandler = Callable[[Call, AsyncIterator[Any]], AsyncGenerator[Any, None]]


def job_name(text: str, kind: Kind) -> JobName:
    """The name of a job of this kind; raises InvalidArgument on one of another kind or of no form at all."""
    name = JobName.parse(text)
    if name.collection != kind.collection:
        message = f"{text!r} is not the name of a {kind.message_name}: projects/*/locations/*/{kind.collection}/*."
        raise InvalidArgument(message, [FieldViolation("name", message)])
    return name
