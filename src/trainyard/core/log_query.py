"""Queries over log entries: every text becomes a tree or is refused with the place and the way out.

The language is that of Cloud Logging ("Logging query language"): the grammar of `expressions.py`, and `--` starts a
comment. Regular expressions are refused: the original's engine runs in linear time, Python's does not, and a query must
not be able to stop the service.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from trainyard.core.expressions import And, Not, Reader, refused
from trainyard.core.log_query_tree import LEVELS, TIMES, Anywhere, Comparison, Is, LogIs, Query, There, number_of
from trainyard.core.severity import named_severity

LONGEST_QUERY = 20_000  # as the original

FIELDS = (
    "logName", "resource", "protoPayload", "textPayload", "jsonPayload", "timestamp", "receiveTimestamp", "severity",
    "insertId", "httpRequest", "labels", "operation", "trace", "spanId", "traceSampled", "sourceLocation", "split",
)  # fmt: skip
"""The fields of a LogEntry (google/logging/v2/log_entry.proto)."""

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SPELLINGS = {spelling: name for name in FIELDS for spelling in (name, _HUMP.sub("_", name).lower())}
_WORD = re.compile(r"""[^\s().:=<>!~",]+""")
_VALUE = re.compile(r"""[^\s()=<>!~",]+""")
_OPERATOR = re.compile(r"=~|!~|<=|>=|!=|<|>|=|:")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:?[0-5]\d)?)?\Z", re.ASCII
)


def parse_log_query(text: str) -> Query:
    """Read a query; a blank one matches everything. Raises InvalidArgument, with the position, on all that is none."""
    if len(text) > LONGEST_QUERY:
        raise refused(f"Unparseable filter: it has {len(text)} characters; at most {LONGEST_QUERY} are read.")
    return _Reader(text).whole()


class _Reader(Reader[Comparison]):
    space = re.compile(r"(?:\s+|--[^\n]*)*")
    most_comparisons = 200
    refusal = "Unparseable filter: at position {},"

    def whole(self) -> Query:
        """As every expression; a blank one is no comparison at all."""
        self._space()
        return And(()) if self._position == len(self._text) else super().whole()

    def _comparison(self) -> Query:
        start = self._position
        quoted = self._at('"')
        path = [self._quoted() if quoted else self._word()]
        while self._at("."):
            self._position += 1
            path.append(self._quoted() if self._at('"') else self._word())
        if self._at("(") and len(path) == 1:
            return self._function(path[0], start)
        end = self._position
        self._space()
        found = _OPERATOR.match(self._text, self._position)
        if found is None:
            self._count()
            return Anywhere(path[0] if quoted and len(path) == 1 else self._text[start:end])
        if found.group() in ("=~", "!~"):
            self._fail('regular expressions are not served here; ":" finds text within a field')
        name = _SPELLINGS.get(path[0])
        if name is None:
            self._fail(f"{path[0]!r} is not a field of a log entry; there are {', '.join(FIELDS)}", start)
        self._position = found.end()
        return self._right_side((name, *path[1:]), found.group())

    def _right_side(self, path: tuple[str, ...], op: str) -> Query:
        def simple() -> Query:
            self._space()
            return self._parenthesised(value) if self._at("(") else self._restriction(path, op)

        def value() -> Query:
            return Not(simple()) if self._keyword("NOT") else simple()

        return simple()

    def _restriction(self, path: tuple[str, ...], op: str) -> Query:
        self._count()
        start, quoted = self._position, self._at('"')
        text = self._quoted() if quoted else self._bare()
        if op == ":" and text == "*" and not quoted:
            return There(path)
        if len(path) == 1 and path[0] in TIMES:
            if op == ":":
                self._fail(f"{path[0]} can be compared with =, !=, <, <=, > and >=", start)
            time_ns = _nanoseconds(text)
            if time_ns is None:
                self._fail(f'{path[0]} needs a time such as "2026-11-21T10:00:00Z"', start)
            return Is(path, op, time_ns)
        if path == ("severity",):
            level = named_severity(text)
            if level is None:
                self._fail(f"{text!r} is not a severity; there are {', '.join(LEVELS)}", start)
            return Is(path, op, LEVELS[level.value])
        if op in ("<", "<=", ">", ">=") and path[0] == "jsonPayload" and not quoted and number_of(text) is None:
            self._fail("a number is expected here; text is put in double quotes", start)
        return Is(path, op, text)

    def _function(self, name: str, start: int) -> Query:
        if name != "log_id":
            self._fail(f'{name}() is not served here; log_id("workerpool0-0") is', start)
        self._position += 1
        self._space()
        self._count()
        text = self._quoted() if self._at('"') else self._bare()
        self._space()
        if not self._at(")"):
            self._fail("log_id() takes one name and is closed by a parenthesis")
        self._position += 1
        return LogIs(text)

    def _word(self) -> str:
        return self._take(_WORD, "a field or a text is expected here")

    def _bare(self) -> str:
        return self._take(_VALUE, "a value is expected here; put it in double quotes")

    def _quoted(self) -> str:
        """The text between double quotes; a backslash takes the next character as it is."""
        opened, pieces, position = self._position, [], self._position + 1
        while (character := self._text[position : position + 1]) != '"':
            if not character:
                self._fail("this quote is never closed", opened)
            position += character == "\\"
            pieces.append(self._text[position : position + 1])
            position += 1
        self._position = position + 1
        return "".join(pieces)


def _nanoseconds(text: str) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 time or a date (UTC where it does not say); None for neither."""
    found = _TIME.match(text)
    if found is None:
        return None
    day, time, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time or '00:00'}{(zone or 'Z').upper()}")
        seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
