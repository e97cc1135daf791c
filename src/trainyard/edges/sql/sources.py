"""Where a table's rows come from: jobs straight from the store's columns, everything else by calls, page after page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from trainyard.contract import codec
from trainyard.contract.json_faults import JsonFaults
from trainyard.contract.json_text import snake
from trainyard.contract.operations import versioned
from trainyard.contract.pool import message_class
from trainyard.core.errors import NotFound
from trainyard.edges.sql.errors import WRONG_TYPE, SqlError
from trainyard.edges.sql.resources import API_VERSION, Method, Resource
from trainyard.edges.sql.work import Scan, Work
from trainyard.service.cells import IDENTITY, cell
from trainyard.service.reading import FILTERED, RANGED, Asked

Row = tuple[Any, ...]
_OF_A_JOB: Final = 3  # ids in the path of a job, whose own is a number that no other job has
ANY: Final = "-"
"""In place of a project or location: every one in which the caller may list (https://google.aip.dev/159)."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place to read, by one method: the ids of its path, the other parameters, what columns are to be."""

    method: Method
    ids: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    equal: tuple[tuple[str, str], ...] = ()
    within: tuple[tuple[str, str], ...] = ()  # of the column that `ranges` names: (`>` or `<`, text)


class Source(Protocol):
    """Gives rows of the columns asked for; `id` stands for the resource's own id, the last of its path.

    IDENTITY is a number that the row has in every read of the statement, and no other row.
    """

    ranges: str
    """The column of which it can leave out what is above or below a text; empty for none."""

    def settles(self, column: str) -> bool:
        """Whether it gives no row where this column differs from the target's `equal`."""

    def is_key(self, name: str) -> bool:
        """Whether this column or parameter finds the rows so quickly that they need not be kept for a join."""

    def takes(self, options: frozenset[str]) -> bool:
        """Whether it knows what these parameters mean; the API itself knows all."""

    def targets(self, target: Target, work: Work) -> Sequence[Target]:
        """The places that a target means, where its project or location is ANY."""

    def rows(
        self, target: Target, columns: Sequence[str], scan: Scan, work: Work, *, in_order: bool = True
    ) -> Iterator[Sequence[Row]]:
        """The rows in parts, counted in `scan`; in the API's order, unless any will do. Raises ApiError, SqlError."""

    def tally(self, target: Target, columns: Sequence[str], scan: Scan, work: Work) -> Iterator[Sequence[Row]]:
        """As `rows`, with the number of jobs that a row stands for as one more value."""


class JobSource:
    """Jobs of a kind that the service keeps."""

    ranges = RANGED

    def __init__(self, resource: Resource) -> None:
        """Read this resource."""
        self._resource = resource
        self._own = resource.path[-1]
        self._by_call = CallSource(resource)

    def settles(self, column: str) -> bool:
        """See Source."""
        return column in FILTERED

    def is_key(self, name: str) -> bool:  # noqa: ARG002 - the promise's signature
        """See Source."""
        return False

    def takes(self, options: frozenset[str]) -> bool:
        """See Source."""
        return options <= {"filter"}

    def targets(self, target: Target, work: Work) -> Sequence[Target]:
        """See Source."""
        project, location = (target.ids[name] for name in self._resource.path[:2])
        if ANY not in (project, location):
            return [target]
        return [
            replace(target, ids={**target.ids, **dict(zip(self._resource.path, scope, strict=False))})
            for scope in work.reading.within(self._resource.collection, project, location, ANY)
        ]

    def rows(
        self, target: Target, columns: Sequence[str], scan: Scan, work: Work, *, in_order: bool = True
    ) -> Iterator[Sequence[Row]]:
        """See Source."""
        if target.method.name == "get" and not work.reading.fieldwise(self._resource.collection, columns):
            return self._wanted(target, columns, self._by_call.rows(target, columns, scan, work))
        return self._counted(work.reading.rows(self._asked(target), columns, in_order=in_order), scan, work)

    def tally(self, target: Target, columns: Sequence[str], scan: Scan, work: Work) -> Iterator[Sequence[Row]]:
        """See Source."""
        return self._counted(work.reading.tally(self._asked(target), columns), scan, work)

    def _asked(self, target: Target) -> Asked:
        project, location = (target.ids[name] for name in self._resource.path[:2])
        own = target.ids[self._own] if self._own in target.method.required else None
        return Asked(
            self._resource.collection,
            project,
            location,
            own,
            target.options.get("filter", ""),
            target.equal,
            target.within,
        )

    @staticmethod
    def _wanted(target: Target, columns: Sequence[str], parts: Iterator[Sequence[Row]]) -> Iterator[Sequence[Row]]:
        """What `equal` asks for, of rows that were made without it."""
        places = [(columns.index(name), value) for name, value in target.equal]
        for part in parts:
            yield [row for row in part if all(row[at] == value for at, value in places)]

    @staticmethod
    def _counted(parts: Iterator[Sequence[Row]], scan: Scan, work: Work) -> Iterator[Sequence[Row]]:
        scan.calls += 1
        for part in parts:
            work.check()
            scan.pages += 1
            scan.rows += len(part)
            yield part


class CallSource:
    """Resources of any kind, as the API's get and list give them."""

    ranges = ""

    def __init__(self, resource: Resource) -> None:
        """Read this resource."""
        self._resource = resource

    def settles(self, column: str) -> bool:  # noqa: ARG002 - the promise's signature
        """See Source."""
        return False

    def is_key(self, name: str) -> bool:  # noqa: ARG002 - the promise's signature
        """See Source."""
        return False

    def takes(self, options: frozenset[str]) -> bool:  # noqa: ARG002 - the promise's signature
        """See Source."""
        return True

    def targets(self, target: Target, work: Work) -> Sequence[Target]:  # noqa: ARG002 - the promise's signature
        """See Source: here ANY is a name like any other."""
        return [target]

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
        for items in self._pages(target, scan, work):
            scan.rows += len(items)
            yield [tuple(self._value(item, column) for column in columns) for item in items]

    def _value(self, item: Mapping[str, Any], column: str) -> Any:
        if column not in ("id", IDENTITY):
            return cell(item.get(column))
        name = str(item.get("name", ""))
        own = name.rpartition("/")[2]
        if column == "id":
            return own
        return int(own) if len(self._resource.path) == _OF_A_JOB and own.isdecimal() else hash(name)

    def _pages(self, target: Target, scan: Scan, work: Work) -> Iterator[Sequence[dict[str, Any]]]:
        method, options = target.method, dict(target.options)
        scan.calls += 1
        while True:
            scan.pages += 1
            request = request_for(method, target.ids, options)
            try:
                answer = codec.render(work.door.call(method.operation, request, work))
            except NotFound:
                if method.name == "get":
                    return
                raise
            if method.name == "get":
                yield [answer]
                return
            yield answer.get(self._resource.collection, [])
            if not answer.get("nextPageToken"):
                return
            options["pageToken"] = answer["nextPageToken"]


def request_for(
    method: Method, ids: Mapping[str, str], options: Mapping[str, str], body: Mapping[str, Any] | None = None
) -> Any:
    """The request message of a method; raises SqlError where a parameter or the body is not of its type."""
    path = "/".join(f"{name.removesuffix('Id')}/{ids[name]}" for name in method.required)
    operation = method.operation
    cls = message_class(versioned(operation.request, API_VERSION))
    value: dict[str, Any] = {snake(name): text for name, text in options.items()}
    value["parent" if "parent" in cls.DESCRIPTOR.fields_by_name else "name"] = path
    if method.body == "*":
        value = {**(body or {}), **value}
    elif method.body:
        value[method.body] = body or {}
    try:
        return codec.parse(cls, value)
    except JsonFaults as error:
        raise SqlError(WRONG_TYPE, str(error)) from None
