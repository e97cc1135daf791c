"""All jobs at one moment, for readers in any thread: a read transaction on a connection that is lent and given back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from trainyard.core.expressions import And
from trainyard.core.filter_tree import StateIs
from trainyard.core.jobs import Change, Job, ReplicaRecord
from trainyard.core.names import Scope
from trainyard.store import Among
from trainyard.stores.sqlite import rows
from trainyard.stores.sqlite.conditions import Bounds, condition, conjuncts
from trainyard.stores.sqlite.faults import told
from trainyard.stores.sqlite.queries import SQL
from trainyard.stores.sqlite.sealed import Sealing
from trainyard.stores.sqlite.search import Ground, search

_SMALLEST_PART = 64  # often enough for a reader that wants a few
_LARGEST_PART = 2048
_MOST_IDLE = 4
_DETAIL: Final = "CROSS JOIN job_detail AS d ON d.id = job.id"
_BODY: Final = "CROSS JOIN job_body AS b ON b.id = job.id"
_JOINED: Final[Mapping[str, str]] = {
    "error_code": _DETAIL,
    "error_message": _DETAIL,
    "memo": _DETAIL,
    "labels": _BODY,
    "spec": _BODY,
}
_ALIAS: Final = {_DETAIL: "d", _BODY: "b"}
_BY_PLACE: Final = "job INDEXED BY job_by_place"
_COVERING: Final = {"job_by_name": {"id", "display_name"}, "job_by_state": {"id", "state"}}
"""Columns that an index holds itself: reading them there, in its order, takes a quarter of the time."""
_Walk = tuple[str, str, tuple[object, ...]]  # FROM, WHERE, and what is bound in it


class Views:
    """Lends connections: opening one costs more than most looks."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: Path) -> None:
        """`connect` makes one more connection to the store at `path`."""
        self._connect = connect
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self.sealing = Sealing()

    def open(self, skew: Bounds, *, grams: bool) -> SqliteView:
        """The store as it is now."""
        with told(self._path):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            connection.row_factory = self.sealing.row_factory
            connection.execute("BEGIN")
            connection.execute(SQL["tallies"]).fetchone()  # only a read takes the moment hold
        return SqliteView(connection, self._path, Ground(0, skew, grams), self._back)

    def close(self) -> None:
        """Views that are open go on until they are closed."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _back(self, connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        if self._closed or len(self._idle) >= _MOST_IDLE:
            connection.close()
        else:
            self._idle.append(connection)


class SqliteView:
    """Keeps the promise of View."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, ground: Ground, back: Callable[[sqlite3.Connection], None]
    ) -> None:
        """Takes over the connection, in a transaction, until `back` takes it again."""
        self._connection: sqlite3.Connection | None = connection
        self._path = path
        self._ground = ground
        self._back = back

    def close(self) -> None:
        """See View."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with told(self._path):
                self._back(connection)

    def scopes(self, collection: str) -> tuple[Scope, ...]:
        """See View."""
        return tuple(Scope(*row) for row in self._all(SQL["scopes_of_kind"], (collection,)))

    def find(self, job_id: int) -> Job | None:
        """See View."""
        found = self._all(SQL["get_job"], (job_id,))
        if not found:
            return None
        project, location, collection = self._all(SQL["place_of"], (found[0][0],))[0]
        return rows.job_from(found[0], Scope(project, location), collection)

    def jobs(self, among: Among) -> Iterator[Sequence[Job]]:
        """See View."""
        for part in self._ids(among):
            found = self._all(SQL["get_jobs"], (json.dumps(part),))
            yield [rows.job_from(row, among.scope, among.collection) for row in found]

    def columns(
        self, among: Among, names: Sequence[str], *, in_order: bool = True
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """See View."""
        joins, wanted = _wanted(names)
        walk = self._walk(among)
        if walk is not None:
            source, where, parameters = walk
            order = "ORDER BY job.id DESC" if in_order else ""
            if not in_order and not joins and source == _BY_PLACE:
                source = next(
                    (f"job INDEXED BY {index}" for index in _COVERING if _COVERING[index] >= {*names}), source
                )
            statement = f"SELECT {wanted} FROM {source} {joins} WHERE {where} {order}"  # noqa: S608 - only text of ours; values are bound
            yield from self._parts(statement, parameters)
            return
        statement = (
            f"SELECT {wanted} FROM json_each(?) AS wanted CROSS JOIN job ON job.id = wanted.value {joins} "  # noqa: S608 - as above
            "ORDER BY wanted.key"
        )
        for part in self._ids(among):
            yield self._all(statement, (json.dumps(part),))

    def tally(self, among: Among, names: Sequence[str]) -> Iterator[Sequence[tuple[Any, ...]]]:
        """See View."""
        place = self._place(among)
        if place is None:
            return
        joins, wanted = _wanted(names)
        tests = [condition(term, place, "job.id") for term in conjuncts(among.filter)]
        where = " AND ".join(["job.place = ?", *(f"({test.sql})" for test in tests)])
        parameters: list[object] = [place, *(value for test in tests for value in test.parameters)]
        if among.id is not None:
            where, parameters = f"{where} AND job.id = ?", [*parameters, among.id]
        statement = f"SELECT {wanted}, count(*) FROM job {joins} WHERE {where} GROUP BY {wanted}"  # noqa: S608 - as above
        yield from self._parts(statement, tuple(parameters))

    def changes(self, among: Among) -> Iterator[Sequence[tuple[int, Change]]]:
        """See View."""
        for part in self._told(among, "changes_of_jobs"):
            yield [(row[0], rows.change_from(row[1:])) for row in part]

    def replica_records(self, among: Among) -> Iterator[Sequence[tuple[int, ReplicaRecord]]]:
        """See View."""
        for part in self._told(among, "records_of_jobs"):
            yield [(row[0], rows.record_from(row[1:])) for row in part]

    def _told(self, among: Among, query: str) -> Iterator[list[rows.Row]]:
        for part in self._ids(among):
            yield from self._parts(SQL[query], (json.dumps(part),))

    def _ids(self, among: Among) -> Iterator[Sequence[int]]:
        """Ids of the jobs, newest first, in parts."""
        walk = self._walk(among)
        if walk is not None:
            source, where, parameters = walk
            statement = f"SELECT job.id FROM {source} WHERE {where} ORDER BY job.id DESC"  # noqa: S608 - as above
            for part in self._parts(statement, parameters):
                yield [row[0] for row in part]
            return
        place = self._place(among)
        if place is None:
            return
        ground, size, after = Ground(place, self._ground.skew, self._ground.grams), _SMALLEST_PART, None
        while True:
            with told(self._path):
                found = search(self._open(), ground, among.filter, size, after)
            yield found.ids
            if found.next_after is None:
                return
            size, after = min(size * 4, _LARGEST_PART), found.next_after

    def _walk(self, among: Among) -> _Walk | None:
        """How to read the jobs straight off an index; None where the filter needs a search."""
        place = self._place(among)
        if place is None:
            return "job", "0", ()
        if among.id is not None:
            tests = condition(among.filter or And(()), place, "job.id")
            return "job", f"job.id = ? AND job.place = ? AND ({tests.sql})", (among.id, place, *tests.parameters)
        match among.filter:
            case None:
                return _BY_PLACE, "job.place = ?", (place,)
            case StateIs(state):
                return "job INDEXED BY job_by_state", "job.place = ? AND job.state = ?", (place, state)
        return None

    def _place(self, among: Among) -> int | None:
        scope = among.scope
        found = self._all(SQL["find_place"], (scope.project, scope.location, among.collection))
        return int(found[0][0]) if found else None

    def _all(self, statement: str, parameters: tuple[object, ...]) -> list[rows.Row]:
        with told(self._path):
            return self._open().execute(statement, parameters).fetchall()

    def _parts(self, statement: str, parameters: tuple[object, ...]) -> Iterator[list[rows.Row]]:
        size = _SMALLEST_PART
        with told(self._path):
            cursor = self._open().execute(statement, parameters)
        while True:
            with told(self._path):
                part = cursor.fetchmany(size)
            if part:
                yield part
            if len(part) < size:
                return
            size = min(size * 4, _LARGEST_PART)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ValueError("this view of the store has been closed")
        return self._connection


def _wanted(names: Sequence[str]) -> tuple[str, str]:
    """The joins that the columns need, and the columns."""
    joins = dict.fromkeys(_JOINED[name] for name in names if name in _JOINED)
    columns = (f"{_ALIAS[_JOINED[name]]}.{name}" if name in _JOINED else f"job.{name}" for name in names)
    return " ".join(joins), ", ".join(columns)
