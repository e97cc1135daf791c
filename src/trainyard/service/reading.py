"""Many jobs at one moment as rows of API fields, under the access rights of one caller.

It gives what `get` and `list` give, field for field, but reads only what is asked for and only as far as it is taken.
Unlike the rest of the service it may be used in any thread, by one at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from trainyard.core.clock import MICROSECONDS
from trainyard.core.expressions import And
from trainyard.core.filter_tree import Filter, NameIs, StateIs, TimeIs
from trainyard.core.filters import STATE_VALUES, parse_filter
from trainyard.core.names import Scope, project_number
from trainyard.service.access import require
from trainyard.service.access_roles import SEES_SECRETS
from trainyard.service.cells import Cell, Cells, as_it_is, cell, whole
from trainyard.service.essences import ESSENCE
from trainyard.store import Among

if TYPE_CHECKING:
    from trainyard.core.jobs import Change, Job, ReplicaRecord
    from trainyard.kind import Kind
    from trainyard.service.access import Access, Caller
    from trainyard.service.call import Keepers
    from trainyard.store import View

Row = tuple[Cell, ...]
_Combine = Callable[[Sequence[tuple[Any, ...]]], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which jobs: of a kind (`customJobs`), project (id or number) and location.

    Of these the one of this id, where one is given, and those that meet the filter (AIP-160 text, as `list` takes it).
    """

    collection: str
    project: str
    location: str
    id: str | None = None
    filter: str = ""
    equal: tuple[tuple[str, str], ...] = ()  # of FILTERED fields: (field, value)
    created: tuple[tuple[str, str], ...] = ()  # (`>` or `<`, text): createTime, as text, is at least or at most this


_NO_STATE = -1
_TIME_PREFIX = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}))?)?)?")
RANGED = "createTime"
"""The field of whose values the store can find a range."""
FILTERED = frozenset({"state", "displayName"})
"""Fields whose value the store can look for."""


class Reading:
    """All jobs as they were when it was first asked. Close it soon."""

    def __init__(self, keepers: Keepers, cells: Cells, access: Access, caller: Caller) -> None:
        """Read with the rights of this caller."""
        self._keepers = keepers
        self._access = access
        self._caller = caller
        self._cells = cells
        self._view: View | None = None

    def __enter__(self) -> Self:
        """Closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go."""
        self.close()

    def close(self) -> None:
        """Let go of the moment; may be repeated. What is asked afterwards is of a new one."""
        view, self._view = self._view, None
        if view is not None:
            view.close()

    def kinds(self) -> frozenset[str]:
        """The collections whose jobs can be read."""
        return frozenset(self._keepers.kinds)

    def within(self, collection: str, project: str, location: str, anything: str) -> list[tuple[str, str]]:
        """Projects (numbers) and locations where the caller may list jobs of this kind, and there are or were some.

        Only of this project and location, unless they are `anything`.
        """
        permission = f"aiplatform.{collection}.list"
        number = project if project == anything else project_number(project)
        return [
            (scope.project, scope.location)
            for scope in self._opened().scopes(collection)
            if number in (anything, scope.project) and location in (anything, scope.location)
            if self._access.may(self._caller, permission, str(scope))
        ]

    def fieldwise(self, collection: str, fields: Sequence[str]) -> bool:
        """Whether these fields can be had one by one; `get` may say more of the others than `rows` does."""
        kind, anywhere = self._keepers.kinds[collection], Scope("0", "a")
        return all(self._cells.field(kind, name, anywhere, secrets=True) is not None for name in fields)

    def rows(self, asked: Asked, fields: Sequence[str], *, in_order: bool = True) -> Iterator[Sequence[Row]]:
        """These fields (`createTime`) of each job, newest first unless any order will do, in parts; at least one field.

        Raises PermissionDenied, and InvalidArgument on a malformed scope or filter; a job that is not there is no row.
        """
        kind, among = self._checked(asked)
        if among is None:
            return
        made = self._made(kind, among.scope, fields)
        if made is None:
            secrets = self._secrets(kind, among.scope)
            for jobs in self._opened().jobs(among):
                yield [_of_whole(kind, job, fields, secrets=secrets) for job in jobs]
            return
        names, combine = made
        for part in self._columns(kind, among, names, in_order=in_order):
            if part:
                made_rows = combine(part)
                yield made_rows if isinstance(made_rows, list) else list(made_rows)

    def tally(self, asked: Asked, fields: Sequence[str]) -> Iterator[Sequence[Row]]:
        """As `rows`, but each row has the number of jobs that it stands for as one more value.

        The same fields may come again in another row, as often as it saves work.
        """
        kind, among = self._checked(asked)
        if among is None:
            return
        made = self._made(kind, among.scope, fields)
        if made is None or "id" in made[0]:
            for rows in self.rows(asked, fields):
                yield [(*row, 1) for row in rows]
            return
        names, combine = made
        if ESSENCE in names:
            for part in self._columns(kind, among, names, in_order=False):
                counted = Counter(combine(part))
                yield [(*row, count) for row, count in counted.items()]
            return
        for part in self._opened().tally(among, names):
            if part and combine is _as_they_are:
                yield part
            elif part:
                yield [(*row, old[-1]) for row, old in zip(combine(part), part, strict=True)]

    def changes(self, asked: Asked) -> Iterator[Sequence[tuple[int, Change]]]:
        """The history of each job, with the job's id."""
        _, among = self._checked(asked)
        return iter(()) if among is None else self._opened().changes(among)

    def replica_records(self, asked: Asked) -> Iterator[Sequence[tuple[int, ReplicaRecord]]]:
        """How the incarnations of each job's replicas ended, with the job's id."""
        _, among = self._checked(asked)
        return iter(()) if among is None else self._opened().replica_records(among)

    def _checked(self, asked: Asked) -> tuple[Kind, Among | None]:
        """Rights first, then what to look at; None where there can be no such job."""
        kind = self._keepers.kinds[asked.collection]
        scope = Scope.of(asked.project, asked.location)
        if asked.id is None:
            require(self._access, self._caller, f"aiplatform.{asked.collection}.list", str(scope))
            tree = _tree(asked)
            return kind, Among(scope, asked.collection, tree)
        resource = f"{scope}/{asked.collection}/{asked.id}"
        require(self._access, self._caller, f"aiplatform.{asked.collection}.get", resource)
        if not asked.id.isascii() or not asked.id.isdecimal() or len(asked.id) > 19 or int(asked.id) >= 2**63:
            return kind, None
        return kind, Among(scope, asked.collection, _tree(asked), int(asked.id))

    def _made(self, kind: Kind, scope: Scope, fields: Sequence[str]) -> tuple[list[str], _Combine] | None:
        """The store's columns for these fields, and what makes rows of them; None where whole jobs are needed."""
        secrets, found = self._secrets(kind, scope), []
        for name in fields:
            field = self._cells.field(kind, name, scope, secrets=secrets)
            if field is None:
                return None
            found.append(field)
        names = list(dict.fromkeys(source for field in found for source in field.sources))
        if len(names) == len(found) and all(field.cells is as_it_is for field in found):
            return names, _as_they_are
        return names, partial(
            _combined, [(field.cells, [names.index(each) for each in field.sources]) for field in found]
        )

    def _columns(
        self, kind: Kind, among: Among, names: Sequence[str], *, in_order: bool
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        if ESSENCE not in names:
            return self._opened().columns(among, names, in_order=in_order)
        return self._cells.essences.columns(self._opened(), kind, among, names, in_order=in_order)

    def _secrets(self, kind: Kind, scope: Scope) -> bool:
        return self._access.may(self._caller, f"aiplatform.{kind.collection}.{SEES_SECRETS}", str(scope))

    def _opened(self) -> View:
        if self._view is None:
            self._view = self._keepers.desk.view()
        return self._view


def _tree(asked: Asked) -> Filter | None:
    """Everything that the store is to look for; raises InvalidArgument on a bad filter."""
    tree = parse_filter(asked.filter)
    terms: list[Filter] = [] if tree is None else [tree]
    for field, value in asked.equal:
        terms.append(NameIs(value) if field == "displayName" else StateIs(STATE_VALUES.get(value, _NO_STATE)))
    terms += (bound for op, text in asked.created if (bound := _created(op, text)) is not None)
    return And(tuple(terms)) if len(terms) > 1 else terms[0] if terms else None


def _created(op: str, text: str) -> Filter | None:
    """A bound on the creation that leaves out no job whose createTime compares so with the text; None: not a time."""
    found = _TIME_PREFIX.match(text)
    if found is None:
        return None
    day, *more = found.groups()
    known = [part for part in more if part is not None]
    try:
        begin = datetime.strptime(" ".join((day, *known, *("00",) * (3 - len(known)))), "%Y-%m-%d %H %M %S")
    except ValueError:
        return None
    begin_us = int(begin.replace(tzinfo=UTC).timestamp()) * MICROSECONDS
    unit_us = (86_400, 3_600, 60, 1)[len(known)] * MICROSECONDS
    return TimeIs("create_time", ">=", begin_us) if op == ">" else TimeIs("create_time", "<=", begin_us + unit_us)


def _as_they_are(part: Sequence[tuple[Any, ...]]) -> Sequence[Row]:
    return part


def _combined(
    made: Sequence[tuple[Callable[..., Iterable[Cell]], Sequence[int]]], part: Sequence[tuple[Any, ...]]
) -> Iterable[Row]:
    """The rows of a part, made column by column."""
    columns = list(zip(*part, strict=True))
    return zip(*(cells(*(columns[index] for index in indexes)) for cells, indexes in made), strict=True)


def _of_whole(kind: Kind, job: Job, fields: Sequence[str], *, secrets: bool) -> Row:
    shown = whole(kind, job, secrets=secrets)
    return tuple(cell(shown.get(field)) for field in fields)
