"""A log query as a tree of plain values, the tree as a predicate over an entry, and what it leaves of jobs and time.

An entry is what its JSON shows, but for times, which are whole nanoseconds. Rules: "Logging query language", Cloud
Logging. Text is compared without regard to case; a comparison with a field that an entry has not fails, `!=` too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from trainyard.core.expressions import And, Not, Or, Tree
from trainyard.core.jobs import Severity

TIMES = frozenset({"timestamp", "receiveTimestamp"})
LEVELS: Mapping[str, int] = {severity.value: 100 * level for level, severity in enumerate(Severity)}
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Is:
    """The field compares so with the value: `op` is one of `=`, `!=`, `<`, `<=`, `>`, `>=` or `:` (has).

    `value` is text, or nanoseconds for a time, or a number for a severity.
    """

    path: tuple[str, ...]
    op: str
    value: str | int


@dataclass(frozen=True, slots=True)
class There:
    """The entry has the field."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Anywhere:
    """Some field of the entry has the text in it."""

    text: str


@dataclass(frozen=True, slots=True)
class LogIs:
    """The entry is of the log with this id, in whatever project."""

    log_id: str


Comparison = Is | There | Anywhere | LogIs
Query: TypeAlias = Tree[Comparison]


def matches(query: Query, entry: Mapping[str, Any]) -> bool:
    """Whether the entry is one that the query asks for."""
    match query:
        case And(terms):
            return all(matches(term, entry) for term in terms)
        case Or(terms):
            return any(matches(term, entry) for term in terms)
        case Not(term):
            return not matches(term, entry)
    return _leaf_holds(query, entry)


def _leaf_holds(leaf: Comparison, entry: Mapping[str, Any]) -> bool:
    match leaf:
        case There(path):
            return any(True for _ in _values(entry, path))
        case Anywhere(text):
            return _has(entry, text.casefold())
        case LogIs(log_id):
            return bool(entry["logName"].rpartition("/logs/")[2] == log_id)
        case Is(path, op, value):
            return any(_holds(path, op, have, value) for have in _values(entry, path))


def _values(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """What stands at the path; of a list, every element in turn."""
    for at, key in enumerate(path):
        if type(value) is not dict:
            if isinstance(value, list):
                for each in value:
                    yield from _values(each, path[at:])
            return
        if key not in value:
            return
        value = value[key]
    if isinstance(value, list):
        for each in value:
            yield from _values(each, ())
    else:
        yield value


def _holds(path: tuple[str, ...], op: str, have: Any, value: str | int) -> bool:
    if path == ("severity",):
        have = LEVELS[have]
    if isinstance(value, int):
        return _COMPARE["=" if op == ":" else op](have, value)
    if op == ":" and not isinstance(have, bool | int | float):
        return _has(have, value.casefold())
    if isinstance(have, Mapping) or have is None:
        return False
    if isinstance(have, str):
        return _COMPARE[op](have.casefold(), value.casefold())
    if isinstance(have, bool):
        return value.casefold() in ("true", "false") and _COMPARE["=" if op == ":" else op](have, value == "true")
    number = number_of(value)
    return number is not None and _COMPARE["=" if op == ":" else op](have, number)


def _has(value: Any, text: str) -> bool:
    """Whether text (case-folded) stands somewhere in the value: in a text, in a key or a value of an object."""
    if isinstance(value, str):
        return text in value.casefold()
    if isinstance(value, Mapping):
        return any(key.casefold() == text or _has(each, text) for key, each in value.items())
    if isinstance(value, list):
        return any(_has(each, text) for each in value)
    return str(value).casefold() == text


def number_of(text: str) -> float | None:
    """The number that a text is; None for any other text, such as nan."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number and "_" not in text else None  # noqa: PLR0124 - only nan is not itself


@dataclass(frozen=True, slots=True)
class Ground:
    """Where entries that match can lie at all. None: anywhere. Times in nanoseconds, both ends included."""

    job_ids: frozenset[str] | None = None
    tasks: frozenset[str] | None = None
    start_ns: int | None = None
    end_ns: int | None = None


def ground(query: Query) -> Ground:
    """What a query rules out without looking at entries; never rules out one that matches."""
    match query:
        case And(terms):
            return _both(ground(term) for term in terms)
        case Or(terms):
            return _either([ground(term) for term in terms])
        case Is(("resource", "labels", "job_id"), "=", str(value)):
            return Ground(job_ids=frozenset({value}))
        case Is(("resource", "labels", "task_name"), "=", str(value)):
            return Ground(tasks=frozenset({value.casefold()}))
        case Is(("timestamp",), op, int(value)):
            return Ground(
                start_ns=value if op in ("=", ">", ">=") else None, end_ns=value if op in ("=", "<", "<=") else None
            )
    return Ground()


def _both(grounds: Iterable[Ground]) -> Ground:
    job_ids, tasks, start, end = None, None, None, None
    for each in grounds:
        job_ids = each.job_ids if job_ids is None else job_ids if each.job_ids is None else job_ids & each.job_ids
        tasks = each.tasks if tasks is None else tasks if each.tasks is None else tasks & each.tasks
        start = each.start_ns if start is None else start if each.start_ns is None else max(start, each.start_ns)
        end = each.end_ns if end is None else end if each.end_ns is None else min(end, each.end_ns)
    return Ground(job_ids, tasks, start, end)


def _either(grounds: list[Ground]) -> Ground:
    job_ids = [each.job_ids for each in grounds if each.job_ids is not None]
    tasks = [each.tasks for each in grounds if each.tasks is not None]
    starts = [each.start_ns for each in grounds if each.start_ns is not None]
    ends = [each.end_ns for each in grounds if each.end_ns is not None]
    every = len(grounds)
    return Ground(
        frozenset().union(*job_ids) if len(job_ids) == every else None,
        frozenset().union(*tasks) if len(tasks) == every else None,
        min(starts) if len(starts) == every else None,
        max(ends) if len(ends) == every else None,
    )
