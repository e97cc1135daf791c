"""PostgreSQL's types in text and binary, both ways."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime

import pytest

from trainyard.edges.sql.pgwire import values
from trainyard.edges.sql.pgwire.messages import ProtocolFault
from trainyard.edges.sql.pgwire.values import BOOL, BYTEA, FLOAT8, INT8, JSON, TEXT, Mixed, encoded, encoders, parameter


@pytest.mark.parametrize(
    ("oid", "value", "text", "binary"),
    [
        (INT8, -5, b"-5", struct.pack("!q", -5)),
        (FLOAT8, 2.5, b"2.5", struct.pack("!d", 2.5)),
        (FLOAT8, 3, b"3", struct.pack("!d", 3.0)),
        (FLOAT8, float("inf"), b"Infinity", struct.pack("!d", float("inf"))),
        (FLOAT8, float("-inf"), b"-Infinity", struct.pack("!d", float("-inf"))),
        (BOOL, 1, b"t", b"\x01"),
        (BOOL, "false", b"f", b"\x00"),
        (TEXT, "é", "é".encode(), "é".encode()),
        (TEXT, 7, b"7", b"7"),
        (TEXT, b"raw", b"raw", b"raw"),
        (JSON, '{"a":1}', b'{"a":1}', b'{"a":1}'),
        (BYTEA, b"\x00\xff", b"\\x00ff", b"\x00\xff"),
        (INT8, None, None, None),
    ],
)
def test_values_go_out(oid: int, value: values.Value, text: bytes | None, binary: bytes | None) -> None:
    """In text, and in binary where that is asked for."""
    assert encoded([value], encoders([oid], [0])) == [text]
    assert encoded([value], encoders([oid], [1])) == [binary]


def test_not_a_number_goes_out() -> None:
    """NaN has a word of its own."""
    assert encoded([float("nan")], encoders([FLOAT8], [0])) == [b"NaN"]


@pytest.mark.parametrize(("oid", "value"), [(INT8, "x"), (INT8, 1.5), (FLOAT8, "x"), (BOOL, 2), (BOOL, "perhaps")])
def test_a_value_of_another_type_is_no_wrong_number(oid: int, value: values.Value) -> None:
    """It is an error that names the column."""
    for form in (0, 1):
        with pytest.raises(Mixed) as caught:
            encoded([1 if oid != BOOL else 0, value], encoders([oid, oid], [form, form]))
        assert (caught.value.column, caught.value.value) == (1, value)


@pytest.mark.parametrize(
    ("raw", "oid", "binary", "value"),
    [
        (None, INT8, 0, None),
        (b"7", 23, 0, 7),
        (b"2.5", FLOAT8, 0, 2.5),
        (b"12", 1700, 0, 12),
        (b"1.25", 1700, 0, 1.25),
        (b"t", BOOL, 0, 1),
        (b"FALSE", BOOL, 0, 0),
        (b"\\x00ff", BYTEA, 0, b"\x00\xff"),
        (b"x", 0, 0, "x"),
        (b"2026-11-21 13:00:00+02:00", 1184, 0, "2026-11-21T11:00:00Z"),
        (b"2026-11-21T13:00:00", 1114, 0, "2026-11-21T13:00:00Z"),
        (b"{a,NULL}", 1009, 0, '["a", null]'),
        (b"{1,2}", 1016, 0, "[1, 2]"),
        (struct.pack("!h", -2), 21, 1, -2),
        (struct.pack("!q", 5), INT8, 1, 5),
        (struct.pack("!I", 2**31), 26, 1, 2**31),
        (struct.pack("!d", 0.5), FLOAT8, 1, 0.5),
        (b"\x01", BOOL, 1, 1),
        (b"\x00\xff", BYTEA, 1, b"\x00\xff"),
        (b"text", 1043, 1, "text"),
        (b'\x01{"a":1}', 3802, 1, '{"a":1}'),
        (bytes(range(16)), 2950, 1, "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (struct.pack("!iiiii", 1, 0, 23, 2, 1) + struct.pack("!ii", 4, 7) + b"\xff" * 4, 1007, 1, "[7, null]"),
        (struct.pack("!iii", 0, 0, 23), 1007, 1, "[]"),
    ],
)
def test_parameters_come_in(raw: bytes | None, oid: int, binary: int, value: values.Value) -> None:
    """As SQLite takes them: arrays as JSON, times in RFC 3339 and UTC, so that they compare with the API's."""
    assert parameter(raw, oid, binary) == value


def test_a_time_in_binary() -> None:
    """Microseconds since 2000."""
    when = datetime(2026, 11, 21, 13, 0, 0, 250_000, tzinfo=UTC)
    since = int((when - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    assert parameter(struct.pack("!q", since), 1184, 1) == "2026-11-21T13:00:00.250000Z"


@pytest.mark.parametrize(
    ("raw", "oid", "binary"),
    [
        (b"x", INT8, 0),
        (b"perhaps", BOOL, 0),
        (b"zz", BYTEA, 0),
        (b"yesterday", 1184, 0),
        (b"\xff", TEXT, 0),
        (b"abc", INT8, 1),
        (b"", 1700, 1),
        (b"{", 1009, 0),
        (struct.pack("!iiiiiii", 2, 0, 23, 1, 1, 1, 1), 1007, 1),
        (struct.pack("!i", 1), 1007, 1),
    ],
)
def test_a_bad_parameter_is_a_fault_of_the_client(raw: bytes, oid: int, binary: int) -> None:
    """08P01, never a crash and never a guess."""
    with pytest.raises(ProtocolFault):
        parameter(raw, oid, binary)


def test_kinds_have_types() -> None:
    """JSON is text unless it is wished otherwise; sizes are told where they are fixed."""
    assert [values.type_of(kind) for kind in ("text", "bigint", "double", "boolean", "bytes", "json")] == [
        TEXT, INT8, FLOAT8, BOOL, BYTEA, TEXT,
    ]  # fmt: skip
    assert values.type_of("json", json_typed=True) == JSON
    assert (values.size_of(INT8), values.size_of(TEXT)) == (8, -1)
    assert json.loads(str(parameter(b'{"a b"}', 1009, 0))) == ["a b"]
