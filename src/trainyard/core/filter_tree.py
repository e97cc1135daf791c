"""A list filter as a tree of plain values, and the tree as a predicate over a job.

`filters.py` reads the text. Stores turn the tree into a query of their own, which must agree with `matches` for every
job. Where the service's own pages are silent: `:` on a name compares the whole name, case-sensitive, with `*` standing
for anything; `!=` is exactly NOT `=`; a time that a job does not have yet fails every comparison.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from trainyard.core.expressions import And, Not, Or, Tree
from trainyard.core.jobs import Job

TIME_FIELDS = ("create_time", "update_time", "start_time", "end_time")

_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class NameIs:
    """The display name is exactly this."""

    name: str


@dataclass(frozen=True, slots=True)
class NameLike:
    """The display name is these pieces (two or more) in order, with anything between neighbours."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StateIs:
    """The state has this wire value."""

    state: int


@dataclass(frozen=True, slots=True)
class TimeIs:
    """A time, in microseconds since the epoch, compares so: `op` is one of `=`, `<`, `<=`, `>`, `>=`."""

    field: str
    op: str
    time_us: int


@dataclass(frozen=True, slots=True)
class TimeHas:
    """The job has this time already."""

    field: str


@dataclass(frozen=True, slots=True)
class LabelIs:
    """There is a label of this key, with exactly this value."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class LabelHas:
    """There is a label of this key."""

    key: str


Comparison = NameIs | NameLike | StateIs | TimeIs | TimeHas | LabelIs | LabelHas
Filter: TypeAlias = Tree[Comparison]


def matches(tree: Filter, job: Job) -> bool:
    """Whether the job is one that the filter asks for."""
    match tree:
        case And(terms):
            return all(matches(term, job) for term in terms)
        case Or(terms):
            return any(matches(term, job) for term in terms)
        case Not(term):
            return not matches(term, job)
        case _:
            return _holds(tree, job)


def name_like(name: str, pieces: tuple[str, ...]) -> bool:
    """Whether `name` is the pieces in order with anything between neighbours."""
    first, *middle, last = pieces
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    position, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def _holds(leaf: Comparison, job: Job) -> bool:
    holds: bool
    match leaf:
        case NameIs(name):
            holds = job.display_name == name
        case NameLike(pieces):
            holds = name_like(job.display_name, pieces)
        case StateIs(state):
            holds = job.status.state == state
        case LabelIs(key, value):
            holds = job.labels.get(key) == value
        case LabelHas(key):
            holds = key in job.labels
        case TimeHas(field):
            holds = _time_of(job, field) is not None
        case TimeIs(field, op, wanted):
            have = _time_of(job, field)
            holds = have is not None and _COMPARE[op](have, wanted)
    return holds


def _time_of(job: Job, field: str) -> int | None:
    if field == "create_time":
        return job.create_time_us
    status = job.status
    times = {"update_time": status.update_time_us, "start_time": status.start_time_us, "end_time": status.end_time_us}
    return times[field]
