"""The single door: whatever edge a call comes through, it is checked, widened, carried out and narrowed here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from trainyard.contract import codec, versions
from trainyard.contract.wire_page import opened
from trainyard.core.errors import ApiError, Unimplemented
from trainyard.core.names import collection_of
from trainyard.kind import Remembers, Searches
from trainyard.service import cloud_logging, iam, locations, lro, trials, verbs
from trainyard.service.access import Access, Caller, require
from trainyard.service.access_roles import SEES_SECRETS
from trainyard.service.auditing import noted, told
from trainyard.service.call import Admits, Call, Handler, Keepers, StreamHandler
from trainyard.service.cells import Cells
from trainyard.service.claims import Claims
from trainyard.service.dashboards import Dashboards, PortsOf
from trainyard.service.following import Follower
from trainyard.service.hiding import hide_env
from trainyard.service.insight import Insight
from trainyard.service.reading import Reading
from trainyard.service.run_metrics import RunMetrics
from trainyard.service.run_usage import RunUsage
from trainyard.service.shells import OpenShell, Shells

if TYPE_CHECKING:
    from trainyard.audit import AuditLog
    from trainyard.contract.operations import Operation
    from trainyard.core.clock import Clock
    from trainyard.core.ids import Ids
    from trainyard.kind import Kind
    from trainyard.objects import ObjectStore
    from trainyard.service.auditing import Noted
    from trainyard.store import Desk, LogBook

OF_A_KIND: Mapping[str, verbs.KindHandler] = {
    "create": verbs.create,
    "get": verbs.get,
    "list": verbs.list_,
    "delete": verbs.delete,
    "cancel": verbs.cancel,
}
OF_THE_REST: Mapping[str, Handler] = {
    "get_operation": lro.get,
    "list_operations": lro.list_,
    "wait_operation": lro.wait,
    "cancel_operation": lro.cancel,
    "delete_operation": lro.delete,
    "get_location": locations.get,
    "list_locations": locations.list_,
    "test_iam_permissions": iam.permissions,
    "get_iam_policy": iam.get_policy,
    "set_iam_policy": iam.set_policy,
    "list_log_entries": cloud_logging.list_,
    "tail_log_entries": cloud_logging.tail,
}
OF_OPERATIONS: Mapping[str, str] = {
    "get_operation": "get",
    "list_operations": "get",
    "wait_operation": "get",
    "cancel_operation": "cancel",
    "delete_operation": "delete",
}
WRITES = frozenset({"create", "delete", "cancel", "cancel_operation", "delete_operation", "set_iam_policy"})
STREAMS: Mapping[str, StreamHandler] = {"tail_log_entries": cloud_logging.tailed}


class Service:
    """Answers every operation of the book, for every edge; `insight` and `follower` answer what the book has not."""

    audit: AuditLog | None = None
    """Takes a line for every write, where it is set."""
    open_shell: OpenShell | None = None
    """The executor's, where it has that talent."""
    dashboard_ports: PortsOf | None = None
    """The executor's, where it has that talent."""

    def __init__(
        self, *, desk: Desk, logbook: LogBook, kinds: Iterable[Kind], clock: Clock, ids: Ids, access: Access
    ) -> None:
        """Work on these; `access` says who may."""
        self.access = access
        self._keepers = Keepers(desk, {kind.collection: kind for kind in kinds}, clock, ids, logbook)
        self.insight = Insight(desk, logbook, access, self._keepers.kinds)
        self.follower = Follower(self.insight, desk, logbook)
        self._cells = Cells()

    def share_vault(self, vault: Admits) -> None:
        """Take jobs that name a key of this vault."""
        self._keepers = replace(self._keepers, vault=vault)

    def forget(self) -> None:
        """What was said of jobs, in every form: it is not to outlive the key that sealed it."""
        self._keepers.seen.forget()
        self._cells.forget()
        codec.forget()
        for kind in self._keepers.kinds.values():
            if isinstance(kind, Remembers):
                kind.forget()

    def metrics(self, objects: ObjectStore) -> RunMetrics:
        """What jobs write to their event files, which lie in `objects`."""
        return RunMetrics(self.insight, self._keepers.kinds, objects)

    def usage(self) -> RunUsage:
        """What the replicas of jobs use."""
        return RunUsage(self.insight, self._keepers.kinds, self._keepers.logbook)

    def claims(self) -> Claims:
        """The trials of searches that workers take."""
        kind = self._keepers.kinds[trials.PARENT]
        assert isinstance(kind, Searches)
        return Claims(self._keepers.desk, kind, self._keepers.clock, self.access)

    def shells(self) -> Shells:
        """The shells of people beside programs."""
        return Shells(self.insight, self._keepers.kinds, self.access, self._noted(), self.open_shell)

    def dashboards(self) -> Dashboards:
        """The pages that chiefs serve."""
        kept = self._keepers
        return Dashboards(kept.desk, kept.kinds, self.access, self._noted(), self.dashboard_ports)

    def _noted(self) -> Noted:
        return partial(noted, self.audit, self._keepers.clock)

    def _told(self, caller: Caller, what: str, resource: str, result: str) -> None:
        told(self.audit, self._keepers.clock, caller, what, resource, result)

    def reading(self, caller: Caller) -> Reading:
        """Many jobs at one moment, with the rights of this caller; for any thread."""
        return Reading(self._keepers, self._cells, self.access, caller)

    async def call(self, operation: Operation, version: str, request: Any, caller: Caller) -> Any:
        """The answer to one call, as a message of `version`; raises ApiError.

        Takes what `answer` takes.
        """
        return opened(await self.answer(operation, version, request, caller))

    async def answer(self, operation: Operation, version: str, request: Any, caller: Caller) -> Any:
        """As `call`, for an edge that can write out a page in wire bytes (WirePage) as well as a message.

        `request` is a message of `version` too (`v1`, `v1beta1`; `ui` for the mixins, which have no version).
        """
        resource = resource_of(request)
        if operation.verb not in WRITES or self.audit is None:
            return await self._answer(operation, version, request, caller, resource)
        result = "INTERNAL"
        try:
            answer = await self._answer(operation, version, request, caller, resource)
            result, resource = "OK", getattr(answer, "name", "") if operation.verb == "create" else resource
        except ApiError as error:
            result = error.code.name
            raise
        finally:
            what = permission_of(operation, resource).removeprefix("aiplatform.") or operation.method
            self._told(caller, what, resource, result)
        return answer

    async def _answer(self, operation: Operation, version: str, request: Any, caller: Caller, resource: str) -> Any:
        require(self.access, caller, permission_of(operation, resource), resource)
        call = Call(self._keepers, operation, version, caller, self.access)
        if not operation.collection:
            handler = OF_THE_REST.get(operation.verb)
            if handler is None:
                raise _not_here(operation)
            return await handler(call, request)
        answer = await self._of_a_kind(call, operation, versions.widen(request))
        if not self.access.may(caller, f"aiplatform.{operation.collection}.{SEES_SECRETS}", resource):
            hide_env(answer := opened(answer))
        return versions.narrow(answer, version)

    async def _of_a_kind(self, call: Call, operation: Operation, request: Any) -> Any:
        if operation.collection == trials.COLLECTION:
            parent = self._keepers.kinds.get(trials.PARENT)
            if isinstance(parent, Searches):
                return await trials.VERBS[operation.verb](call, parent, request)
        kind, of_kind = self._keepers.kinds.get(operation.collection), OF_A_KIND.get(operation.verb)
        if kind is None or of_kind is None:
            raise _not_here(operation)
        return await of_kind(call, kind, request)

    def stream(self, operation: Operation, requests: AsyncIterator[Any], caller: Caller) -> AsyncGenerator[Any, None]:
        """The answers to one call that is a stream both ways; raises ApiError."""
        call = Call(self._keepers, operation, "", caller, self.access)
        return STREAMS[operation.verb](call, requests)


def permission_of(operation: Operation, resource: str) -> str:
    """What a call needs. A long-running operation is as open as the job that it tells of."""
    verb = OF_OPERATIONS.get(operation.verb)
    if verb is None:
        return operation.permission
    return f"aiplatform.{collection_of(resource) or 'operations'}.{verb}"


def resource_of(request: Any) -> str:
    """The resource that a request is about, for the question whether the caller may."""
    fields = request.DESCRIPTOR.fields_by_name
    if "resource_names" in fields:
        return next(iter(request.resource_names), "")
    name = next((name for name in ("parent", "name", "resource") if name in fields), None)
    return getattr(request, name) if name else ""


def _not_here(operation: Operation) -> Unimplemented:
    return Unimplemented(
        f"{operation.method} is not served by this release of Trainyard; it serves custom jobs, their operations and "
        "locations."
    )
