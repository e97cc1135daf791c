"""List filters in AIP-160's grammar: every text becomes a tree or is refused with the place and the way out.

The grammar (https://google.aip.dev/160) is read as `expressions.py` has it; what each comparison means stands in
`filter_tree.py`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from trainyard.core.expressions import Not, Or, Reader, refused
from trainyard.core.filter_tree import (
    TIME_FIELDS,
    Comparison,
    Filter,
    LabelHas,
    LabelIs,
    NameIs,
    NameLike,
    StateIs,
    TimeHas,
    TimeIs,
    matches,
)

__all__ = ["Filter", "matches", "parse_filter"]

LONGEST_FILTER = 8192
MOST_COMPARISONS = 100

STATE_VALUES = {
    f"JOB_STATE_{name}": value
    for value, name in enumerate(
        (
            "UNSPECIFIED",
            "QUEUED",
            "PENDING",
            "RUNNING",
            "SUCCEEDED",
            "FAILED",
            "CANCELLING",
            "CANCELLED",
            "PAUSED",
            "EXPIRED",
            "UPDATING",
            "PARTIALLY_SUCCEEDED",
        )
    )
}
"""Every JobState of the API (google/cloud/aiplatform/v1/job_state.proto), also those that no job here enters."""

_ALLOWED = "use display_name, state, create_time, update_time, start_time, end_time or labels.KEY"
_FIELDS = {
    "displayName": "display_name",
    "createTime": "create_time",
    "updateTime": "update_time",
    "startTime": "start_time",
    "endTime": "end_time",
}
_WORD = re.compile(r"""[^\s()"'.,:=<>!]+""")
_VALUE = re.compile(r"""[^\s()"',:=<>!]+""")
_TIME_VALUE = re.compile(r"""[^\s()"',=<>!]+""")
_COMPARATOR = re.compile(r"<=|>=|!=|<|>|=|:")
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):([0-5]\d))\Z", re.ASCII
)
_Texts = tuple[str, ...]
_Places = tuple[int, int, int]  # where the path, the comparator and the value begin
_EPOCH = datetime(1970, 1, 1)  # offsets are reckoned by hand, in whole numbers


def parse_filter(text: str) -> Filter | None:
    """Read a filter; None where it is blank. Raises InvalidArgument, with the position, on all that is not one."""
    if len(text) > LONGEST_FILTER:
        raise refused(f"Invalid filter: it has {len(text)} characters; at most {LONGEST_FILTER} are read.")
    if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
        raise refused("Invalid filter: it is not valid Unicode text.")
    if not text.strip():
        return None
    return _Reader(text).whole()


class _Reader(Reader[Comparison]):
    space = re.compile(r"\s*")
    most_comparisons = MOST_COMPARISONS
    refusal = "Invalid filter at position {}:"

    def _comparison(self) -> Filter:
        self._count()
        start = self._position
        path = self._path()
        self._space()
        comparator = _COMPARATOR.match(self._text, self._position)
        if comparator is None:
            self._fail(_no_comparator(path), start)
        operator_at = self._position
        self._position = comparator.end()
        self._space()
        field = _FIELDS.get(path[0], path[0])
        value_at = self._position
        pieces = self._value(_TIME_VALUE if field in TIME_FIELDS else _VALUE)
        places = (start, operator_at, value_at)
        operator = comparator.group()
        if operator == "!=":
            return Not(self._restriction(path, "=", pieces, places))
        return self._restriction(path, operator, pieces, places)

    def _restriction(self, path: _Texts, operator: str, pieces: _Texts, places: _Places) -> Filter:
        field, start = _FIELDS.get(path[0], path[0]), places[0]
        if field == "labels":
            return self._label(path, operator, pieces, places)
        if len(path) > 1 or field not in ("display_name", "state", *TIME_FIELDS):
            self._fail(f'Field "{".".join(path)}" is not filterable; {_ALLOWED}', start)
        if field in TIME_FIELDS:
            return self._time(field, operator, pieces, places)
        if operator not in ("=", ":"):
            self._fail(f"{field} can be compared with =, != and : only", places[1])
        if field == "display_name":
            if operator == "=" or len(pieces) == 1:
                return NameIs("*".join(pieces))
            return NameLike(pieces)
        name = "*".join(pieces)
        if operator == ":" or name not in STATE_VALUES:
            self._fail(f'write state="JOB_STATE_…" with one of {", ".join(STATE_VALUES)}', places[2])
        return StateIs(STATE_VALUES[name])

    def _label(self, path: _Texts, operator: str, pieces: _Texts, places: _Places) -> Filter:
        text = "*".join(pieces)
        if operator not in ("=", ":"):
            self._fail("labels can be compared with =, != and : only", places[1])
        if len(path) > 2:
            self._fail('a label key with a dot needs quotes: labels."a.b"=value', places[0])
        if len(path) == 1:
            if operator == "=" or len(pieces) > 1:
                self._fail("name the label: labels.KEY=VALUE, labels.KEY:* or labels:KEY", places[0])
            return LabelHas(text)
        if operator == "=" or len(pieces) == 1:
            return LabelIs(path[1], text)
        if text != "*":
            self._fail("labels know = with a whole value, and :* for any value", places[2])
        return LabelHas(path[1])

    def _time(self, field: str, operator: str, pieces: _Texts, places: _Places) -> Filter:
        text = "*".join(pieces)
        if operator == ":":
            if pieces != ("", ""):
                self._fail(f"{field} can be compared with =, !=, <, <=, > and >=, or asked for with :*", places[1])
            return TimeHas(field)
        found = _RFC3339.match(text)
        read = None if found is None else _microseconds(found)
        if read is None:
            self._fail(f'{field} needs a quoted RFC 3339 time such as "2026-11-21T10:00:00Z"', places[2])
        time_us, beyond = read
        if not beyond:
            return TimeIs(field, operator, time_us)
        # Ours are whole microseconds: between this one and the next there is nothing to be equal to.
        return Or(()) if operator == "=" else TimeIs(field, {"<": "<=", ">=": ">"}.get(operator, operator), time_us)

    def _path(self) -> _Texts:
        parts = [self._path_part()]
        while self._text.startswith(".", self._position):
            self._position += 1
            parts.append(self._path_part())
        return tuple(parts)

    def _path_part(self) -> str:
        if self._text[self._position : self._position + 1] in ('"', "'"):
            return "*".join(self._quoted())
        return self._take(_WORD, f"a comparison is expected here; {_ALLOWED}")

    def _value(self, bare: re.Pattern[str]) -> _Texts:
        if self._text[self._position : self._position + 1] in ('"', "'"):
            return self._quoted()
        return tuple(self._take(bare, "a value is expected here; put it in double quotes").split("*"))

    def _quoted(self) -> _Texts:
        """The text between quotes, cut at each `*`; a backslash takes the next character as it is."""
        opened = self._position
        quote, pieces, position = self._text[opened], [""], opened + 1
        while (character := self._text[position : position + 1]) != quote:
            if not character:
                self._fail("this quote is never closed", opened)
            if character == "*":
                pieces.append("")
            else:
                position += character == "\\"
                pieces[-1] += self._text[position : position + 1]
            position += 1
        self._position = position + 1
        return tuple(pieces)


def _no_comparator(path: tuple[str, ...]) -> str:
    word = ".".join(path)
    if word.upper() in ("AND", "OR", "NOT"):
        return f'"{word}" does not stand between or before comparisons here; AND, OR and NOT are written in capitals'
    return f'"{word}" is not followed by a comparator; write display_name:"*{word}*" to search in names'


def _microseconds(found: re.Match[str]) -> tuple[int, bool] | None:
    """Microseconds since the epoch, and whether there was something beyond them; None for no such day or hour."""
    day, time, fraction, sign, hours, minutes = found.groups()
    try:
        whole = datetime.strptime(f"{day} {time}", "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    if int(hours or 0) > 23:
        return None
    seconds = (whole - _EPOCH) // timedelta(seconds=1)
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += offset if sign == "-" else -offset
    nanoseconds = int((fraction or "").ljust(9, "0"))
    return seconds * 1_000_000 + nanoseconds // 1000, bool(nanoseconds % 1000)
