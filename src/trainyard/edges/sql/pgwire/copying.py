"""COPY (query) TO STDOUT, the bulk way out: what psql copies to a file and ADBC reads; text, csv and binary.

COPY into a table is refused by the engine, as everything that reads or writes files: rows come in by INSERT.
"""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire.answers import Feed
from trainyard.edges.sql.pgwire.values import encoded, encoders
from trainyard.edges.sql.session import Row

_COPY: Final = re.compile(
    r"COPY\s+(?:\((?P<query>.*)\)|(?P<table>[\w.\"]+))\s+TO\s+STDOUT\b\s*(?:WITH\b)?\s*(?P<options>.*?)\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
_OPTION: Final = re.compile(
    r"[(,\s]*(?P<name>FORMAT|HEADER|DELIMITER|NULL|QUOTE|CSV|BINARY)\b\s*(?:AS\b)?\s*"
    r"(?P<value>'(?:[^']|'')*'|TRUE|FALSE|ON|OFF|TEXT|CSV|BINARY|1|0)?[\s,)]*",
    re.IGNORECASE,
)
_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_ESCAPES: Final = {
    b"\\": b"\\\\",
    b"\t": b"\\t",
    b"\n": b"\\n",
    b"\r": b"\\r",
    b"\b": b"\\b",
    b"\f": b"\\f",
    b"\v": b"\\v",
}
_SPECIAL: Final = re.compile(rb"[\\\t\n\r\b\f\v]")
_DEFAULTS: Final[Mapping[str, tuple[str, str]]] = {"text": ("\t", "\\N"), "csv": (",", ""), "binary": ("", "")}


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are written: `format` is text, csv or binary."""

    format: str
    header: bool
    delimiter: bytes
    null: bytes


def read_copy(text: str) -> tuple[str, Form] | None:
    """The query of a COPY … TO STDOUT and its form; None for every other statement. Raises SqlError on an option."""
    match = _COPY.match(text)
    if match is None:
        return None
    query = match["query"] or f"SELECT * FROM {match['table']}"  # noqa: S608 - names and dots, by the pattern
    return query, _form(_options(match["options"]))


def _options(text: str) -> dict[str, str]:
    """Both spellings: `(FORMAT csv, HEADER)` and `CSV HEADER`."""
    found, at = dict[str, str](), 0
    while at < len(text):
        match = _OPTION.match(text, at)
        if match is None:
            raise SqlError("42601", f"syntax error: {text[at:]!r} is no option of COPY … TO STDOUT")
        name, value = match["name"].lower(), match["value"] or ""
        if name in ("csv", "binary"):
            found["format"] = name
        else:
            found[name] = value[1:-1].replace("''", "'") if value.startswith("'") else value.lower()
        at = match.end()
    return found


def _form(options: Mapping[str, str]) -> Form:
    chosen = options.get("format", "text").lower()
    if chosen not in _DEFAULTS:
        raise SqlError("22023", f'COPY format "{chosen}" not recognized: text, csv and binary are')
    delimiter, null = _DEFAULTS[chosen]
    delimiter = options.get("delimiter", delimiter)
    if chosen != "binary" and (len(delimiter.encode()) != 1 or delimiter in '\n\r"\\'):
        raise SqlError("22023", f"COPY delimiter must be a single one-byte character, not {delimiter!r}")
    if options.get("quote", '"') != '"':
        raise SqlError("0A000", 'COPY quotes with " alone here')
    header = options.get("header", "off") not in ("off", "false", "0")
    return Form(chosen, header, delimiter.encode(), options.get("null", null).encode())


@dataclass
class CopyOut:
    """A COPY under way: an answer without columns, whose rows go out as data."""

    feed: Feed
    form: Form
    count: int = 0
    columns: None = None
    messages: Sequence[tuple[str, str]] = field(default=())

    @property
    def tag(self) -> str:
        """How many rows went out."""
        return f"COPY {self.count}"

    @property
    def names(self) -> list[str]:
        """Of the query's columns."""
        return [column.name for column in self.feed.answer.columns or ()]

    async def batches(self) -> AsyncIterator[Sequence[Row]]:
        """No rows: they go out as data."""
        return
        yield ()

    async def close(self) -> None:
        """Stop reading."""
        await self.feed.close()

    async def pieces(self, oids: Sequence[int]) -> AsyncIterator[bytes]:
        """The data, a piece a row, as clients count on; raises SqlError, and Mixed."""
        binary = self.form.format == "binary"
        encode = encoders(oids, [int(binary)] * len(oids))
        head = _SIGNATURE if binary else b""  # comes with the first row, as from PostgreSQL
        if not binary and self.form.header:
            yield self._line([name.encode() for name in self.names])
        while rows := await self.feed.take(0):
            for row in rows:
                values = encoded(row, encode)
                yield head + (_tuple(values) if binary else self._line(values))
                head = b""
            self.count += len(rows)
        if binary:
            yield head + struct.pack("!h", -1)

    def _line(self, values: Sequence[bytes | None]) -> bytes:
        write: Callable[[bytes], bytes] = self._quoted if self.form.format == "csv" else _escaped
        cells = (self.form.null if value is None else write(value) for value in values)
        return self.form.delimiter.join(cells) + b"\n"

    def _quoted(self, value: bytes) -> bytes:
        plain = value != self.form.null and not set(value) & set(b'"\r\n' + self.form.delimiter)
        return value if plain else b'"' + value.replace(b'"', b'""') + b'"'


def _escaped(value: bytes) -> bytes:
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value)


def _tuple(values: Sequence[bytes | None]) -> bytes:
    parts = [struct.pack("!h", len(values))]
    for value in values:
        parts.append(struct.pack("!i", -1 if value is None else len(value)))
        parts.append(value or b"")
    return b"".join(parts)
