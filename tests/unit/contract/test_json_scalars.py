"""Single values from JSON: what is read as what, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainyard.contract import codec
from trainyard.contract.pool import message_class


def read(kind: str, value: Any) -> Any:
    message: Any = codec.parse(message_class(f"google.protobuf.{kind}"), value)
    return message.value


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("DoubleValue", "1.5", 1.5),
        ("DoubleValue", "-1e3", -1000.0),
        ("DoubleValue", 7, 7.0),
        ("DoubleValue", "Infinity", math.inf),
        ("FloatValue", "-Infinity", -math.inf),
        ("FloatValue", 3.4028235e38, 3.4028234663852886e38),
        ("Int32Value", "-5", -5),
        ("Int32Value", 3.0, 3),
        ("Int64Value", "9223372036854775807", 2**63 - 1),
        ("UInt64Value", 2**64 - 1, 2**64 - 1),
        ("BytesValue", "-_8", b"\xfb\xff"),
        ("BytesValue", "+/8=", b"\xfb\xff"),
    ],
)
def test_a_value_is_read_in_each_of_its_forms(kind: str, value: Any, result: Any) -> None:
    """Numbers as numbers or as text, bytes in both alphabets, padded or not."""
    assert read(kind, value) == result


@pytest.mark.parametrize("value", [0.1, 1116162142240768.0, 3.4028234663852886e38, 1e-45, -0.0])
def test_a_32_bit_float_is_written_as_short_as_it_can_be(value: float) -> None:
    """0.1 stays 0.1, and what is written reads back as the same float."""
    message: Any = message_class("google.protobuf.FloatValue")(value=value)
    written = codec.render(message)
    assert codec.parse(type(message), written) == message
    assert len(str(written)) <= len(str(message.value))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DoubleValue", "1_0"),
        ("DoubleValue", "1e999"),
        ("DoubleValue", 10**400),
        ("DoubleValue", "nan"),
        ("DoubleValue", []),
        ("FloatValue", 1e39),
        ("Int32Value", 2**31),
        ("Int32Value", "2147483648"),
        ("Int32Value", 1.5),
        ("Int32Value", "+1"),
        ("Int32Value", " 1"),
        ("Int32Value", "Infinity"),
        ("UInt32Value", -1),
        ("UInt64Value", True),
        ("BytesValue", "a"),
        ("BytesValue", "a b="),
        ("BytesValue", 5),
        ("StringValue", 5),
        ("BoolValue", "true"),
    ],
)
def test_what_has_no_exact_meaning_is_refused(kind: str, value: Any) -> None:
    """Nothing is rounded, wrapped or stripped."""
    with pytest.raises(codec.JsonFaults):
        read(kind, value)
