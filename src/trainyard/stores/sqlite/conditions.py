"""A filter tree as an SQL condition over a row of `job` that agrees with `core.filter_tree.matches` for every job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from trainyard.core.expressions import And, Not, Or
from trainyard.core.filter_tree import (
    Filter,
    LabelHas,
    LabelIs,
    NameIs,
    NameLike,
    StateIs,
    TimeHas,
    TimeIs,
)
from trainyard.core.ids import lowest_id_at
from trainyard.core.states import JobState

_COLUMNS = {name: f"job.{name}_us" for name in ("create_time", "update_time", "start_time", "end_time")}
ALL_STATES = frozenset(state.value for state in JobState)
_HIGHEST = 2**63 - 1
_ROW = "job.id"


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL text of ours, and the values for its question marks in order."""

    sql: str
    parameters: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far ids and creation times are apart at most, in microseconds (see the table `tally`)."""

    ahead_us: int = 0
    behind_us: int = 0


def condition(tree: Filter, place: int, key: str) -> Condition:
    """The condition, true or false for every row and never NULL.

    `key` is the column that holds the job's id soonest: what labels and state decide is settled before the row is read.
    """
    match tree:
        case And(terms):
            found = _joined([condition(term, place, key) for term in _cheap_first(terms)], " AND ", "1")
        case Or(terms):
            found = _joined([condition(term, place, key) for term in _cheap_first(terms)], " OR ", "0")
        case Not(term):
            inner = condition(term, place, key)
            found = Condition(f"NOT ({inner.sql})", inner.parameters)
        case LabelIs() | LabelHas():
            found = _label(tree, place, key)
        case StateIs(state) if key != _ROW:
            # Entries of a rare state lie close together; the rows of jobs do not.
            among = f"job AS s INDEXED BY job_by_state WHERE s.place = ? AND s.state = ? AND s.id = {key}"
            found = Condition(f"EXISTS (SELECT 1 FROM {among})", (place, state))  # noqa: S608 - values are bound
        case _:
            found = _leaf(tree)
    return found


def conjuncts(tree: Filter | None) -> tuple[Filter, ...]:
    """The terms that all have to hold, nested ANDs opened."""
    if tree is None:
        return ()
    if isinstance(tree, And):
        return tuple(inner for term in tree.terms for inner in conjuncts(term))
    return (tree,)


def possible_states(tree: Filter | None) -> frozenset[int]:
    """The states that a matching job can be in, as far as the filter speaks of nothing else in that term."""
    known = [found for term in conjuncts(tree) if (found := _states(term)) is not None]
    return ALL_STATES.intersection(*known)


def id_bounds(terms: Sequence[Filter], skew: Bounds) -> tuple[int, int]:
    """`lowest <= id < below` for every job that meets the terms on its creation time."""
    lowest, below = 0, _HIGHEST
    for term in terms:
        if isinstance(term, TimeIs) and term.field == "create_time":
            if term.op in (">", ">=", "="):
                lowest = max(lowest, lowest_id_at(term.time_us - skew.behind_us))
            if term.op in ("<", "<=", "="):
                below = min(below, lowest_id_at(term.time_us + skew.ahead_us + 1))
    return min(lowest, _HIGHEST), max(below, 0)


def _states(term: Filter) -> frozenset[int] | None:
    """The states that make the term true, where nothing but the state decides; None where something else does."""
    match term:
        case StateIs(state):
            return frozenset({state}) & ALL_STATES
        case Not(inner):
            found = _states(inner)
            return None if found is None else ALL_STATES - found
        case And(terms) | Or(terms):
            sets = [_states(inner) for inner in terms]
            known = [found for found in sets if found is not None]
            if len(known) < len(sets):
                return None
            return frozenset.union(frozenset(), *known) if isinstance(term, Or) else ALL_STATES.intersection(*known)
        case _:
            return None


def _cheap_first(terms: Sequence[Filter]) -> list[Filter]:
    return sorted(terms, key=lambda term: not isinstance(term, StateIs))


def _joined(parts: Sequence[Condition], word: str, nothing: str) -> Condition:
    if not parts:
        return Condition(nothing)
    return Condition(
        word.join(f"({part.sql})" for part in parts), tuple(value for part in parts for value in part.parameters)
    )


def _label(leaf: LabelIs | LabelHas, place: int, key: str) -> Condition:
    if isinstance(leaf, LabelHas):
        among = f"label WHERE label.job = {key} AND label.k = ?"
        return Condition(f"EXISTS (SELECT 1 FROM {among})", (leaf.key,))  # noqa: S608 - values are bound
    among = f"label WHERE label.place = ? AND label.k = ? AND label.v = ? AND label.job = {key}"
    return Condition(f"EXISTS (SELECT 1 FROM {among})", (place, leaf.key, leaf.value))  # noqa: S608 - values are bound


def _leaf(leaf: NameIs | NameLike | StateIs | TimeIs | TimeHas) -> Condition:
    match leaf:
        case NameIs(name):
            found = Condition("job.display_name = ?", (name,))
        case NameLike(pieces):
            found = _like(pieces)
        case StateIs(state):
            found = Condition("job.state = ?", (state,))
        case TimeHas(field):
            found = Condition(f"{_COLUMNS[field]} IS NOT NULL")
        case TimeIs(field, op, time_us):
            column = _COLUMNS[field]
            found = Condition(f"{column} IS NOT NULL AND {column} {op} ?", (time_us,))
    return found


def _like(pieces: tuple[str, ...]) -> Condition:
    """Pieces in order. Compared as bytes: SQLite's text functions stop at a NUL, and names may hold one."""
    first, *middle, last = pieces
    tests: list[Condition] = []
    if first:
        end = after_prefix(first)
        tests.append(Condition("job.display_name >= ?", (first,)))
        tests += [Condition("job.display_name < ?", (end,))] if end else []
    if last:
        # The substr of an empty blob is NULL.
        tests.append(Condition("ifnull(substr(CAST(job.display_name AS BLOB), -?), x'') = ?", _sized(last)))
    inner = [piece for piece in middle if piece]
    tests += [Condition("instr(job.display_name, ?) > 0", (piece,)) for piece in inner]
    if inner and (first or last or len(inner) > 1):
        tests.append(Condition("name_like(job.display_name, ?)", (json.dumps(pieces),)))
    elif first and last:
        tests.append(Condition("length(CAST(job.display_name AS BLOB)) >= ?", (_sized(first)[0] + _sized(last)[0],)))
    if not tests:
        return Condition("1")
    return Condition(" AND ".join(test.sql for test in tests), tuple(v for test in tests for v in test.parameters))


def _sized(text: str) -> tuple[int, bytes]:
    encoded = text.encode()
    return len(encoded), encoded


def after_prefix(prefix: str) -> str | None:
    """The least text above every text that starts with `prefix`, in the order of code points; None: there is none."""
    trimmed = prefix.rstrip("\U0010ffff")
    if not trimmed:
        return None
    last = ord(trimmed[-1]) + 1
    return trimmed[:-1] + chr(0xE000 if 0xD800 <= last <= 0xDFFF else last)
