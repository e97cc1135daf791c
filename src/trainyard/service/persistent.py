"""Persistent resources: who makes, sees and deletes them, what becomes of them, and that they outlive the service.

A resource keeps its places from the moment it is created. Its state tells of what is made ready beside that: the image
that it names, or the environment that stands in for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from trainyard.core.clock import rfc3339
from trainyard.core.errors import (
    AlreadyExists,
    ApiError,
    Code,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from trainyard.core.states import JobState
from trainyard.kinds.persistent import PersistentResource, ResourcePool, names_in
from trainyard.kinds.persistent_json import read, shown
from trainyard.service.access import Access, Caller, require
from trainyard.service.auditing import noted

if TYPE_CHECKING:
    from trainyard.audit import AuditLog
    from trainyard.core.clock import Clock
    from trainyard.core.jobs import Job
    from trainyard.core.runs import Places
    from trainyard.kind import Kind
    from trainyard.kinds.machines import Machines
    from trainyard.service.persistent_file import ResourceFile
    from trainyard.store import Ledger

_PAGE: Final = 200  # live jobs looked at before somebody else has a turn
_log = logging.getLogger(__name__)


class State(StrEnum):
    """As PersistentResource.State has them; one that is deleted is gone at once."""

    PROVISIONING = "PROVISIONING"
    RUNNING = "RUNNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Grounds:
    """What resources stand on: `machines` tells the kinds of them, `set_aside` keeps places, `warm` makes ready.

    `set_aside` takes all places that are to be kept and raises ResourceExhausted; `warm` is executor.Warms.warm, None
    where the executor makes nothing ready.
    """

    machines: Machines
    kinds: Mapping[str, Kind]
    ledger: Ledger
    clock: Clock
    set_aside: Callable[[Sequence[Places]], None]
    warm: Callable[[str, Sequence[str]], Awaitable[str]] | None


@dataclass(slots=True)
class _Entry:
    """One resource and how far it is. `declared`: by the settings, not created here; `kept`: it has its places."""

    resource: PersistentResource
    create_time_us: int
    declared: bool = False
    kept: bool = True
    state: State = State.PROVISIONING
    told: str = ""
    code: Code = Code.OK
    warming: asyncio.Task[None] | None = None

    def fails(self, error: ApiError) -> None:
        self.state, self.told, self.code = State.ERROR, error.message, error.code


@dataclass(slots=True)
class _Use:
    """Who names a resource: jobs that people know, and replicas that run, by share."""

    jobs: list[str] = field(default_factory=list)
    replicas: Counter[str] = field(default_factory=Counter)


class PersistentResources:
    """All of them, by name. Used in one event loop."""

    audit: AuditLog | None = None
    """Takes a line for every write, where it is set."""

    def __init__(self, grounds: Grounds, file: ResourceFile, access: Access) -> None:
        """Nothing is kept before `open`."""
        self._grounds = grounds
        self._file = file
        self._access = access
        self._entries: dict[str, _Entry] = {}
        self._stored: dict[str, dict[str, Any]] = {}
        self._known: dict[str, PersistentResource] = {}
        self._writing = asyncio.Lock()

    def open(self, declared: Sequence[PersistentResource]) -> None:
        """Keep what the settings declare and what was created before; make all of it ready again.

        Raises ResourceExhausted where what is declared does not fit, and Unavailable on a file that cannot be used.
        What was created and does not fit any more (the settings have changed) is in ERROR and keeps nothing.
        """
        self._stored = self._file.read()
        self._grounds.machines.persistent = self._known
        now_us = self._grounds.clock.now_us()
        for resource in declared:
            self._entries[resource.name] = _Entry(resource, now_us, declared=True)
            self._known[resource.name] = resource
        self._set_aside()
        for name, stored in self._stored.items():
            if name in self._entries:
                _log.warning("the settings declare the persistent resource %s, which was created before, anew", name)
                continue
            entry = self._entry_of(stored)
            self._entries[name], self._known[name] = entry, entry.resource
            try:
                self._set_aside()
            except ResourceExhausted as error:
                entry.kept = False
                entry.fails(error)
        for entry in self._entries.values():
            self._begin(entry)

    async def close(self) -> None:
        """Let go; what is being made ready is given up."""
        tasks = [entry.warming for entry in self._entries.values() if entry.warming is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def create(self, body: Any, caller: Caller) -> dict[str, Any]:
        """Keep a resource from now on; durable when this returns.

        Raises PermissionDenied, InvalidArgument, AlreadyExists, ResourceExhausted, and Unavailable on a full disk.
        """
        name = str(body.get("name", "")) if isinstance(body, dict) else ""
        with noted(self.audit, self._grounds.clock, caller, "pools.create", f"pools/{name}"):
            entry = await self._created(name, body, caller)
        self._begin(entry)
        return self._shown(entry, _Use(), caller)

    async def _created(self, name: str, body: Any, caller: Caller) -> _Entry:
        require(self._access, caller, "trainyard.pools.create", f"pools/{name}")
        resource = read(body, self._grounds.machines)
        async with self._writing:
            if name in self._entries:
                raise AlreadyExists(f"The PersistentResource {name} exists already.")
            entry = _Entry(resource, self._grounds.clock.now_us())
            self._set_aside(*resource.pools)
            stored = {"createTimeUs": entry.create_time_us, "body": shown(resource)}
            await self._store({**self._stored, name: stored})
            self._entries[name], self._known[name] = entry, resource
        return entry

    async def get(self, name: str, caller: Caller) -> dict[str, Any]:
        """One resource, with who uses it; raises NotFound."""
        entry = self._entry(name)
        return self._shown(entry, (await self._uses()).get(name, _Use()), caller)

    async def list_(self, caller: Caller) -> list[dict[str, Any]]:
        """All of them, by name."""
        uses = await self._uses()
        return [self._shown(entry, uses.get(name, _Use()), caller) for name, entry in sorted(self._entries.items())]

    async def delete(self, name: str, caller: Caller) -> None:
        """Keep it no longer; its places are everybody's.

        Raises PermissionDenied, NotFound, Unavailable; FailedPrecondition where jobs name it or settings declare it.
        """
        with noted(self.audit, self._grounds.clock, caller, "pools.delete", f"pools/{name}"):
            entry = await self._deleted(name, caller)
        if entry.warming is not None:
            entry.warming.cancel()

    async def _deleted(self, name: str, caller: Caller) -> _Entry:
        require(self._access, caller, "trainyard.pools.delete", f"pools/{name}")
        async with self._writing:
            entry = self._entry(name)
            if entry.declared:
                raise FailedPrecondition(
                    f"The PersistentResource {name} is declared by the setting persistent_resources; take it out of "
                    "that file and restart the service."
                )
            del self._known[name]  # no job may name it while we look for those that do
            try:
                use = (await self._uses()).get(name)
                if use is not None:
                    jobs = ", ".join(use.jobs) or "trials of a search that has ended"
                    raise FailedPrecondition(
                        f"The PersistentResource {name} is in use by {jobs}; it can be deleted once they have ended."
                    )
                await self._store({key: value for key, value in self._stored.items() if key != name})
            except BaseException:
                self._known[name] = entry.resource
                raise
            del self._entries[name]
            self._set_aside()
        return entry

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise NotFound(f"The PersistentResource {name} does not exist.")
        return self._entries[name]

    def _entry_of(self, stored: dict[str, Any]) -> _Entry:
        try:
            return _Entry(read(stored["body"], self._grounds.machines), stored["createTimeUs"])
        except ApiError as error:  # other settings, or somebody's hand, since it was created
            sentence = f"{self._file.path} holds what cannot be kept; mend it, or move it away: {error.message}"
            raise Unavailable(sentence) from None

    def _set_aside(self, *further: ResourcePool) -> None:
        kept = [entry.resource.pools for entry in self._entries.values() if entry.kept]
        self._grounds.set_aside([pool.places for pools in (*kept, further) for pool in pools])

    async def _store(self, entries: dict[str, dict[str, Any]]) -> None:
        """Durably, or not at all, and then the places are as before."""
        try:
            await asyncio.to_thread(self._file.write, entries)
        except OSError as error:
            self._set_aside()
            raise Unavailable(f"{self._file.path} cannot be written: {error.strerror}.") from None
        self._stored = entries

    def _begin(self, entry: _Entry) -> None:
        image = entry.resource.image_uri
        if entry.state is State.ERROR:
            return
        if not image or self._grounds.warm is None:
            why = "it names no image" if not image else "this executor makes nothing ready"
            entry.state, entry.told = State.RUNNING, f"Its places are kept; {why}."
            return
        entry.warming = asyncio.create_task(self._warmed(entry), name=f"warming {entry.resource.name}")

    async def _warmed(self, entry: _Entry) -> None:
        assert self._grounds.warm is not None
        try:
            entry.told = await self._grounds.warm(entry.resource.image_uri, entry.resource.package_uris)
            entry.state = State.RUNNING
        except ApiError as error:
            entry.fails(error)
        except Exception as error:  # whatever it is, the resource must say so; logged with traceback
            _log.exception("the persistent resource %s could not be made ready", entry.resource.name)
            entry.fails(Unavailable(f"Its image could not be made ready: {error!r}."))

    async def _uses(self) -> dict[str, _Use]:
        """Who uses what, of all jobs that have not ended."""
        uses: dict[str, _Use] = {}
        after = 0
        while self._entries and (page := self._grounds.ledger.census(after, _PAGE)):
            for one in page:
                job = self._grounds.ledger.find(one.id)
                if job is not None and not job.is_final:
                    self._count(job, uses)
            after = page[-1].id
            await asyncio.sleep(0)
        return uses

    def _count(self, job: Job, uses: dict[str, _Use]) -> None:
        kind = self._grounds.kinds[job.name.collection]
        if not any(name.encode() in job.spec for name in self._entries):
            return  # most: a look at the bytes is a tenth of reading them
        for name in set(names_in(kind.render(job))):
            use = uses.setdefault(name, _Use())
            if job.parent is None:
                use.jobs.append(str(job.name))
            if job.status.state is not JobState.QUEUED:
                use.replicas.update(one.reservation for one in kind.demand(job).replicas)

    def _visible(self, use: _Use, caller: Caller) -> list[str]:
        return [name for name in use.jobs if self._access.may(caller, "aiplatform.customJobs.get", name)]

    def _shown(self, entry: _Entry, use: _Use, caller: Caller) -> dict[str, Any]:
        told = shown(entry.resource)
        for pool, its in zip(entry.resource.pools, told["resourcePools"], strict=True):
            its["usedReplicaCount"] = str(use.replicas[pool.places.share])
        if entry.state is State.ERROR:
            outcome: dict[str, Any] = {"error": {"code": entry.code.value, "message": entry.told}}
        else:
            outcome = {"ready": entry.told} if entry.told else {}
        return {
            **told,
            "state": entry.state.value,
            **outcome,
            "createTime": rfc3339(entry.create_time_us),
            "declared": entry.declared,
            "jobs": self._visible(use, caller),
        }
