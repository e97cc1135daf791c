"""A list filter becomes SQL in which every value is a bound parameter, and every page is found in bounded work.

SQLite's planner does not weigh labels against states, so the choice is made here. A search walks down the ids in
windows. For each window every index that the filter could use (a *driver*) says how far down its next few thousand
entries reach, and the one that reaches furthest is read. A search that still finds nothing for long hands back what it
has and where it stopped, instead of letting one caller hold a thread (AIP-158 allows short pages).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainyard.core.expressions import And
from trainyard.core.filter_tree import Filter, LabelHas, LabelIs, NameIs, NameLike
from trainyard.stores.sqlite import grams
from trainyard.stores.sqlite.conditions import (
    ALL_STATES,
    Bounds,
    Condition,
    after_prefix,
    condition,
    conjuncts,
    id_bounds,
    possible_states,
)

_FIRST_WINDOW = 500
_WINDOW_TO_STOP_AFTER = 2000
_LARGEST_WINDOW = 4000
_GROWTH = 4  # of a window to the next
_ENOUGH_SECONDS = 0.008
_FEW = 2000  # a set this small is read and sorted whole
_ALL_IDS = 2**63 - 1

Key = tuple[int, int]
"""A job's id and revision."""


@dataclass(frozen=True, slots=True)
class Found:
    """Ids and revisions of the page, newest first; go on below `next_after`, None at the end."""

    keys: Sequence[Key]
    next_after: int | None

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids alone."""
        return tuple(job_id for job_id, _ in self.keys)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where to search and what may be relied on there: ids against times, and whether names are indexed by pieces."""

    place: int
    skew: Bounds
    grams: bool


@dataclass(frozen=True, slots=True)
class _Driver:
    """One way to walk: `source` gives rows of `job` in the order of `key`, bound by `parameters`."""

    source: str
    index: str  # the same walk over the index alone, to see how far it reaches
    key: str
    parameters: tuple[object, ...]
    more_parameters: tuple[object, ...] = ()  # of `source` alone, after the others
    term: Filter | None = None  # the term that the walk itself settles
    whole: bool = False  # a small set, not in the order of ids: read at once
    costly: bool = False  # its walk takes several times as long as the others: only where they find little


def search(connection: sqlite3.Connection, ground: Ground, tree: Filter | None, size: int, after: int | None) -> Found:
    """Up to `size` ids below `after` in one place, within the caller's transaction."""
    terms = conjuncts(tree)
    lowest, below = id_bounds(terms, ground.skew)
    below = min(below, _ALL_IDS if after is None else after)
    drivers = list(_drivers(connection, ground, tree))
    among = [driver for driver in drivers if not driver.costly]
    found: list[Key] = []
    window, started = _FIRST_WINDOW, time.monotonic()
    while True:
        driver, reach = _furthest(connection, among, below, window)
        wanted = condition(And(tuple(term for term in terms if term is not driver.term)), ground.place, driver.key)
        found += _window(connection, driver, wanted, (max(reach, lowest), below), size + 1 - len(found))
        if len(found) > size:
            return Found(found[:size], found[size - 1][0])
        if reach <= lowest:
            return Found(found, None)
        if time.monotonic() - started > _ENOUGH_SECONDS and window >= _WINDOW_TO_STOP_AFTER:
            return Found(found, reach)
        below = reach
        if len(among) < len(drivers) and len(found) * (_GROWTH + 1) <= size:
            among = drivers  # a next window of the others would not fill the page
        else:
            window = min(window * _GROWTH, _LARGEST_WINDOW)


def _window(
    connection: sqlite3.Connection, driver: _Driver, wanted: Condition, bounds: tuple[int, int], limit: int
) -> list[Key]:
    lowest, below = bounds
    where = f"{driver.key} >= ? AND {driver.key} < ? AND ({wanted.sql}) ORDER BY {driver.key} DESC LIMIT ?"
    statement = f"SELECT job.id, job.revision FROM {driver.source} AND {where}"  # noqa: S608 - only text of ours; values are bound
    parameters = (*driver.parameters, *driver.more_parameters, lowest, below, *wanted.parameters, limit)
    return connection.execute(statement, parameters).fetchall()


def _furthest(connection: sqlite3.Connection, drivers: list[_Driver], below: int, window: int) -> tuple[_Driver, int]:
    """The driver whose next `window` entries reach the lowest id, and that id (0: to the very end)."""
    best, lowest = drivers[0], _ALL_IDS
    for driver in drivers:
        if driver.whole:
            return driver, 0
        walk = f"SELECT {driver.key} FROM {driver.index} AND {driver.key} < ?"  # noqa: S608 - as above
        statement = f"{walk} ORDER BY {driver.key} DESC LIMIT 1 OFFSET ?"
        row = connection.execute(statement, (*driver.parameters, below, window)).fetchone()
        reach = row[0] if row else 0
        if reach < lowest:
            best, lowest = driver, reach
    return best, lowest


def _drivers(connection: sqlite3.Connection, ground: Ground, tree: Filter | None) -> Iterator[_Driver]:
    """Every walk that cannot miss a match, the plain one last."""
    place = ground.place
    for term in conjuncts(tree):
        match term:
            case NameIs(name):
                yield _walk("job_by_name", "job.place = ? AND job.display_name = ?", (place, name), term=term)
            case LabelIs(key, value):
                yield _label("l.place = ? AND l.k = ? AND l.v = ?", (place, key, value), term)
            case LabelHas(key):
                yield from _if_few(connection, _label("l.place = ? AND l.k = ?", (place, key), term, whole=True))
            case NameLike():
                yield from _by_name(connection, ground, term)
    states = possible_states(tree)
    if len(states) == 1:
        yield _walk("job_by_state", "job.place = ? AND job.state = ?", (place, *states))
    elif states != ALL_STATES:
        where = f"job.place = ? AND job.state IN ({', '.join('?' * len(states))})"
        yield from _if_few(connection, _walk("job_by_state", where, (place, *sorted(states)), whole=True))
    yield _walk("job_by_place", "job.place = ?", (place,))


def _label(where: str, parameters: tuple[object, ...], term: Filter, *, whole: bool = False) -> _Driver:
    source = f"label AS l CROSS JOIN job ON job.id = l.job WHERE {where}"
    return _Driver(source, f"label AS l WHERE {where}", "l.job", parameters, term=term, whole=whole)


def _by_name(connection: sqlite3.Connection, ground: Ground, wanted: NameLike) -> Iterator[_Driver]:
    first = wanted.pieces[0]
    if first:
        end = after_prefix(first)
        where = "job.place = ? AND job.display_name >= ?" + (" AND job.display_name < ?" if end else "")
        values = (ground.place, first, end) if end else (ground.place, first)
        yield from _if_few(connection, _walk("job_by_name", where, values, whole=True))
    asked = grams.query(wanted) if ground.grams else None
    if asked:
        index = "name_gram WHERE name_gram MATCH ?"
        source = "name_gram CROSS JOIN job ON job.id = name_gram.rowid WHERE name_gram MATCH ? AND job.place = ?"
        yield _Driver(source, index, "name_gram.rowid", (asked,), (ground.place,), costly=True)


def _walk(
    index: str, where: str, parameters: tuple[object, ...], *, term: Filter | None = None, whole: bool = False
) -> _Driver:
    source = f"job INDEXED BY {index} WHERE {where}"
    return _Driver(source, source, "job.id", parameters, term=term, whole=whole)


def _if_few(connection: sqlite3.Connection, driver: _Driver) -> Iterator[_Driver]:
    statement = f"SELECT 1 FROM {driver.index} LIMIT 1 OFFSET ?"  # noqa: S608 - as above
    if connection.execute(statement, (*driver.parameters, _FEW - 1)).fetchone() is None:
        yield driver
