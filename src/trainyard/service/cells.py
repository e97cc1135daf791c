"""API fields as table cells: which of the store's columns a field needs, and how many jobs' values are made at once.

A cell is None where the API's answer lacks the field, JSON text for objects and lists, 0 or 1 for booleans, otherwise
text or a number as proto3 JSON has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import orjson

from trainyard.contract import codec, versions
from trainyard.contract.json_text import write_timestamp
from trainyard.core.clock import MICROSECONDS
from trainyard.core.jobs import Job, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.states import JobState
from trainyard.kind import Kind, ShowsSpec
from trainyard.service.essences import ESSENCE, Essences
from trainyard.service.hiding import hide_env
from trainyard.service.rendering import listed, snake
from trainyard.service.wire import part_of

Cell = str | int | float | None
_Key = TypeVar("_Key")

IDENTITY: Final = "#"
"""A number that only this job has."""

VERSION: Final = "v1"
"""The API version that tables show."""

_MOST_REMEMBERED = 4096
_STATES: Final = {state.value: state.api_name for state in JobState}


class Memo(dict[_Key, Cell]):
    """What a function said, asked again and again by the same few values; forgets everything once it knows many."""

    def __init__(self, make: Callable[[_Key], Cell]) -> None:
        """Remember what `make` says."""
        super().__init__()
        self._make = make

    def __missing__(self, key: _Key) -> Cell:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        value = self[key] = self._make(key)
        return value


def cell(value: Any) -> Cell:
    """The cell of a JSON value."""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return int(value) if isinstance(value, bool) else value


class Field:
    """One field of a kind: `sources` are the store's columns (COLUMNS), `cells` makes their values into cells."""

    def __init__(self, sources: Sequence[str], cells: Callable[..., Iterable[Cell]]) -> None:
        """Made by `field_of`."""
        self.sources = tuple(sources)
        self.cells = cells


def as_it_is(values: Iterable[Cell]) -> Iterable[Cell]:
    """The store's values are the cells."""
    return values


def whole(kind: Kind, job: Job, *, secrets: bool) -> dict[str, Any]:
    """The JSON object of a job as the API shows it."""
    message = listed(kind, job)
    if not secrets:
        hide_env(message)
    found: dict[str, Any] = codec.render(versions.narrow(message, VERSION))
    return found


class Cells:
    """The fields of every kind; one per service, so that what it remembers serves all."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._known: dict[tuple[str, str, bool], Callable[[Scope], Field | None]] = {}
        self.essences = Essences()

    def forget(self) -> None:
        """What was said of any job: it may have been sealed, and its key gone."""
        self._known, self.essences = {}, Essences()

    def field(self, kind: Kind, name: str, scope: Scope, *, secrets: bool) -> Field | None:
        """How a field (`createTime`) of jobs of a scope is made; None where it takes the whole job."""
        key = (kind.collection, name, secrets)
        if key not in self._known:
            self._known[key] = _maker_of(kind, name, secrets=secrets)
        return self._known[key](scope)


def _maker_of(kind: Kind, name: str, *, secrets: bool) -> Callable[[Scope], Field | None]:
    """What makes the field for jobs of a scope."""
    if name == "name":
        return partial(_named, kind)
    if isinstance(kind, ShowsSpec) and snake(name) in kind.fields_while_running:
        return partial(_while_running, kind, name)
    field = _field_of(kind, name, secrets=secrets)
    return lambda _: field


def _named(kind: Kind, scope: Scope) -> Field:
    prefix = f"{scope}/{kind.collection}/"
    return Field(["id"], lambda ids: [f"{prefix}{each}" for each in ids])


def _field_of(kind: Kind, name: str, *, secrets: bool) -> Field | None:
    if name in _OF_EVERY_JOB:
        return _OF_EVERY_JOB[name]
    if isinstance(kind, ShowsSpec):
        if snake(name) in kind.fields_never_set:
            return Field(["id"], lambda ids: [None] * len(ids))
        if snake(name) in kind.fields_of_spec:
            return _of_spec(kind, name, secrets=secrets)
    return None


def _of_spec(kind: Kind, name: str, *, secrets: bool) -> Field:
    number = kind.render(_bare(kind, b"")).DESCRIPTOR.fields_by_name[snake(name)].number

    def shown(part: bytes) -> Cell:
        return cell(whole(kind, _bare(kind, part), secrets=secrets).get(name)) if part else None

    memo: Memo[bytes] = Memo(lambda essence: shown(part_of(essence, number)))
    return Field([ESSENCE], lambda essences: [memo[essence] for essence in essences])


def _while_running(kind: Kind, name: str, scope: Scope) -> Field:
    """What most jobs do not have at the moment, and few ever had."""

    def shown(job_id: int, state: int, memo: str, essence: bytes) -> Cell:
        if state != JobState.RUNNING:
            return None
        status = Status(JobState.RUNNING, 0, run_id="", memo=memo)
        job = replace(_bare(kind, essence), name=JobName(scope, kind.collection, job_id), status=status)
        return cell(whole(kind, job, secrets=True).get(name))

    return Field(["id", "state", "memo", ESSENCE], lambda *columns: map(shown, *columns))


def _bare(kind: Kind, spec: bytes) -> Job:
    return Job(JobName(Scope("0", "a"), kind.collection, 0), 0, "", {}, spec, Status(JobState.QUEUED, 0))


def _time(time_us: int | None) -> Cell:
    if time_us is None:
        return None
    seconds, micros = divmod(time_us, MICROSECONDS)
    return write_timestamp(seconds, micros * 1000)


def _labels(text: str) -> Cell:
    """Keys in their own order, as the API's answers have them."""
    return None if text == "{}" else orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()


def _error(code: int | None, message: str | None) -> Cell:
    if code is None:
        return None
    return cell({key: value for key, value in (("code", code), ("message", message)) if value})


def _one_source(column: str, make: Callable[[Any], Cell]) -> Field:
    return Field([column], lambda values: map(make, values))


_OF_EVERY_JOB: Final = {
    "id": _one_source("id", str),
    IDENTITY: Field(["id"], as_it_is),
    "displayName": Field(["display_name"], as_it_is),
    "state": _one_source("state", _STATES.__getitem__),
    "createTime": _one_source("create_time_us", _time),
    "updateTime": _one_source("update_time_us", _time),
    "startTime": _one_source("start_time_us", _time),
    "endTime": _one_source("end_time_us", _time),
    "labels": _one_source("labels", _labels),
    "error": Field(["error_code", "error_message"], lambda codes, messages: map(_error, codes, messages)),
}
