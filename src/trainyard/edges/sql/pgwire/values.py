"""Between PostgreSQL's types and SQLite's values: which type a column is given, and every value's text and binary form.

SQLite has five kinds of value and columns that may mix them; PostgreSQL's clients want one type per column before the
first row. A value that its column's type cannot hold is an error with a way out, never a wrong number.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from trainyard.edges.sql.arrays import array_items
from trainyard.edges.sql.pgwire.messages import Payload, ProtocolFault

Value = str | int | float | bytes | None

BOOL: Final = 16
BYTEA: Final = 17
INT8: Final = 20
TEXT: Final = 25
JSON: Final = 114
FLOAT8: Final = 701
_SIZES: Final[Mapping[int, int]] = {BOOL: 1, INT8: 8, FLOAT8: 8}
_OF_KIND: Final[Mapping[str, int]] = {"text": TEXT, "boolean": BOOL, "bigint": INT8, "double": FLOAT8, "bytes": BYTEA}
_ARRAYS: Final[Mapping[int, int]] = {
    1000: BOOL, 1005: 21, 1007: 23, 1016: INT8, 1009: TEXT, 1015: TEXT, 1002: TEXT, 1003: TEXT, 1021: 700, 1022: FLOAT8,
    1028: 26, 1231: 1700, 199: JSON, 2951: 2950,
}  # fmt: skip
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Mixed(Exception):
    """A column holds a value that its type cannot; `column` counts from 0."""

    def __init__(self, column: int, value: object) -> None:
        """Keep what was found where."""
        super().__init__(column, value)
        self.column = column
        self.value = value


def type_of(kind: str, *, json_typed: bool = False) -> int:
    """The type of a column of this kind; JSON is text, as StackQL has it, unless the client wants it typed."""
    return (JSON if json_typed else TEXT) if kind == "json" else _OF_KIND[kind]


def size_of(oid: int) -> int:
    """Bytes of a value, -1 where it varies."""
    return _SIZES.get(oid, -1)


Encoder = Callable[[Any], bytes]


def encoders(oids: Sequence[int], formats: Sequence[int]) -> list[Encoder]:
    """One function per column; each raises ValueError or TypeError on a value that is not of its type."""
    return [(_BINARY if each else _TEXT)[oid] for oid, each in zip(oids, formats, strict=True)]


def encoded(row: Sequence[object], columns: Sequence[Encoder]) -> list[bytes | None]:
    """A row's values as they are sent; raises Mixed."""
    out: list[bytes | None] = []
    for value, encode in zip(row, columns, strict=True):
        try:
            out.append(None if value is None else encode(value))
        except (TypeError, ValueError, KeyError, struct.error):
            raise Mixed(len(out), value) from None
    return out


def _text(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return value if isinstance(value, bytes) else _number(value)


def _number(value: Any) -> bytes:
    if isinstance(value, float):
        return repr(value).encode() if value - value == 0 else _not_finite(value)
    if isinstance(value, int):
        return b"%d" % value
    raise TypeError(value)


def _not_finite(value: float) -> bytes:
    return b"NaN" if value != value else b"Infinity" if value > 0 else b"-Infinity"  # noqa: PLR0124 - NaN's own test


def _whole(value: Any) -> bytes:
    if isinstance(value, int):
        return b"%d" % value
    raise TypeError(value)


_TRUTHS: Final[Mapping[Any, bool]] = {1: True, 0: False, "true": True, "false": False}


def _hex(value: bytes) -> bytes:
    return b"\\x" + value.hex().encode()


_TEXT: Final[Mapping[int, Encoder]] = {
    BOOL: lambda value: b"t" if _TRUTHS[value] else b"f",
    BYTEA: _hex,
    INT8: _whole,
    TEXT: _text,
    JSON: _text,
    FLOAT8: _number,
}
_BINARY: Final[Mapping[int, Encoder]] = {
    BOOL: lambda value: b"\x01" if _TRUTHS[value] else b"\x00",
    BYTEA: bytes,
    INT8: struct.Struct("!q").pack,
    TEXT: _text,
    JSON: _text,
    FLOAT8: struct.Struct("!d").pack,
}


def parameter(raw: bytes | None, oid: int, binary: int) -> Value:
    """A bound value as SQLite takes it. Arrays become JSON; times become RFC 3339 in UTC, as the API writes them.

    Raises ProtocolFault on what is not of its type, or is of a type in a binary form that we do not read.
    """
    if raw is None:
        return None
    try:
        if oid in _ARRAYS:
            items = _binary_array(raw) if binary else array_items(raw.decode())
            if not binary:
                items = [None if item is None else _from_text(str(item), _ARRAYS[oid]) for item in items]
            return json.dumps(items, ensure_ascii=False)
        return _from_binary(raw, oid) if binary else _from_text(raw.decode(), oid)
    except (ValueError, struct.error, OverflowError) as error:
        raise ProtocolFault(f"a parameter of type {oid} cannot be read: {error}") from None


def _from_text(text: str, oid: int) -> Value:
    read = _READERS.get(oid)
    return read(text) if read else text


def _truth(text: str) -> int:
    if text.lower() not in ("t", "true", "1", "f", "false", "0"):
        raise ValueError(f"{text!r} is neither true nor false")
    return int(text.lower() in ("t", "true", "1"))


_READERS: Final[Mapping[int, Callable[[str], Value]]] = {
    **dict.fromkeys((INT8, 21, 23, 26), int),
    **dict.fromkeys((700, FLOAT8), float),
    1700: lambda text: int(text) if re.fullmatch(r"-?\d{1,18}", text) else float(text),
    BOOL: _truth,
    BYTEA: lambda text: bytes.fromhex(text.removeprefix("\\x")),
    **dict.fromkeys((1114, 1184), lambda text: _moment(datetime.fromisoformat(text))),
}


def _moment(when: datetime) -> str:
    """RFC 3339 in UTC; a time without zone is taken as UTC."""
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return when.isoformat().removesuffix("+00:00") + "Z"


_STRUCTS: Final[Mapping[int, str]] = {INT8: "!q", 21: "!h", 23: "!i", 26: "!I", 700: "!f", FLOAT8: "!d", BOOL: "!?"}


def _from_binary(raw: bytes, oid: int) -> Value:
    if oid in _STRUCTS:
        value = struct.unpack(_STRUCTS[oid], raw)[0]
        return int(value) if oid == BOOL else value
    if oid == BYTEA:
        return raw
    if oid in (1114, 1184):
        return _moment(_EPOCH + timedelta(microseconds=struct.unpack("!q", raw)[0]))
    if oid == 3802:
        return raw[1:].decode()
    if oid == 2950:
        return "-".join((raw[:4].hex(), raw[4:6].hex(), raw[6:8].hex(), raw[8:10].hex(), raw[10:].hex()))
    if oid in (0, 18, 19, TEXT, 705, 1042, 1043, JSON):
        return raw.decode()
    raise ValueError("its binary form is not known here; send it as text")


def _binary_array(raw: bytes) -> list[Value]:
    """The elements of a one-dimensional array."""
    payload = Payload(raw)
    dimensions, _, element = payload.int32(), payload.int32(), payload.int32()
    if dimensions == 0:
        return []
    if dimensions != 1:
        raise ValueError("it has more than one dimension")
    count, _ = payload.int32(), payload.int32()
    found: list[Value] = []
    for _ in range(count):
        piece = payload.sized()
        found.append(None if piece is None else _from_binary(piece, element))
    return found
