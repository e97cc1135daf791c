"""Event files, byte by byte; tests/live/frameworks holds the reader against TensorFlow's own writer."""

from __future__ import annotations

import struct
from contextlib import suppress

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.event_files import LARGEST_SCALAR_EVENT, Damaged, Scalar, scalars


def masked(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, wire: int, content: bytes) -> bytes:
    return varint(number << 3 | wire) + content


def sized(number: int, content: bytes) -> bytes:
    return field(number, 2, varint(len(content)) + content)


def event(step: int, *values: bytes, seconds: float = 1.5) -> bytes:
    summary = b"".join(sized(1, value) for value in values)
    return field(1, 1, struct.pack("<d", seconds)) + field(2, 0, varint(step)) + sized(5, summary)


def simple(tag: str, value: float) -> bytes:
    return sized(1, tag.encode()) + field(2, 5, struct.pack("<f", value))


def tensor(tag: str, kind: int, content: bytes) -> bytes:
    return sized(1, tag.encode()) + sized(8, field(1, 0, varint(kind)) + content)


def read(data: bytes) -> list[Scalar]:
    return list(scalars(lambda offset, count: data[offset : offset + count], len(data), google_crc32c.value))


def test_simple_values_and_their_steps_and_times() -> None:
    """What PyTorch's and older writers leave: `simple_value`, several to an event, steps below zero too."""
    first = record(field(1, 1, struct.pack("<d", 1.0)) + sized(3, b"brain.Event:2"))
    data = first + record(event(7, simple("loss", 0.5), simple("acc", 2.0))) + record(event(-1, simple("loss", 0.25)))
    assert read(data) == [
        Scalar("loss", 7, 1_500_000, 0.5),
        Scalar("acc", 7, 1_500_000, 2.0),
        Scalar("loss", -1, 1_500_000, 0.25),
    ]


@pytest.mark.parametrize(
    ("kind", "content", "value"),
    [
        (1, sized(4, struct.pack("<f", 0.5)), 0.5),
        (2, sized(4, struct.pack("<d", 0.1)), 0.1),
        (3, sized(4, struct.pack("<i", -3)), -3.0),
        (9, sized(4, struct.pack("<q", 1 << 40)), float(1 << 40)),
        (1, field(5, 5, struct.pack("<f", 0.25)), 0.25),
        (1, sized(5, struct.pack("<f", 0.25)), 0.25),
        (2, field(6, 1, struct.pack("<d", 0.1)), 0.1),
        (3, field(7, 0, varint(-4)), -4.0),
        (9, sized(10, varint(6)), 6.0),
    ],
)
def test_tensors_of_one_number(kind: int, content: bytes, value: float) -> None:
    """What TensorFlow 2 writes, in every form that a TensorProto has for one number."""
    assert read(record(event(1, tensor("m", kind, content)))) == [Scalar("m", 1, 1_500_000, value)]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_time_that_no_calendar_has_is_none(seconds: float) -> None:
    """The value counts all the same."""
    assert read(record(event(1, simple("a", 1.0), seconds=seconds))) == [Scalar("a", 1, 0, 1.0)]


@pytest.mark.parametrize(
    "value",
    [
        tensor("text", 7, sized(8, b"hello")),
        tensor("histogram", 2, sized(4, struct.pack("<6d", *range(6)))),
        tensor("empty", 1, b""),
        sized(1, b"picture") + sized(4, b"\x08\x01"),
    ],
)
def test_what_is_no_scalar_is_passed_over(value: bytes) -> None:
    """Text, histograms and pictures stand beside scalars in every real file."""
    assert read(record(event(1, value, simple("loss", 1.0)))) == [Scalar("loss", 1, 1_500_000, 1.0)]


def test_a_large_record_is_stepped_over_unread() -> None:
    """A picture of megabytes costs no memory."""
    large = b"\0" * (LARGEST_SCALAR_EVENT + 1)
    asked: list[int] = []
    data = record(large) + record(event(2, simple("a", 1.0)))

    def read_at(offset: int, count: int) -> bytes:
        asked.append(count)
        return data[offset : offset + count]

    assert [found.step for found in scalars(read_at, len(data), google_crc32c.value)] == [2]
    assert max(asked) < 200


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_end_ends_the_file(cut: int) -> None:
    """A writer that is still writing, or was killed: all whole records count."""
    whole = record(event(1, simple("a", 1.0)))
    assert len(read(whole + whole[:-cut])) == 1


def test_damage_is_told_with_its_place() -> None:
    """A flipped bit in a length, in the data, or bytes that are no event at all; what came before has been given."""
    good = record(event(1, simple("a", 1.0)))
    flipped = bytearray(good)
    flipped[0] ^= 1
    with pytest.raises(Damaged, match=f"the record at byte {len(good)} has a wrong checksum of its length"):
        read(good + bytes(flipped))
    flipped = bytearray(good)
    flipped[20] ^= 1
    with pytest.raises(Damaged, match="the record at byte 0 has a wrong checksum"):
        read(bytes(flipped))
    for nonsense in (b"\xff" * 12, b"\x0b", b"\x2a\x7f", b"\x09\x01", sized(5, sized(1, sized(8, sized(5, b"odd"))))):
        with pytest.raises(Damaged, match="at byte 0 is no event"):
            read(record(nonsense))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Any record with right checksums gives scalars or Damaged, never another error."""
    with suppress(Damaged):
        read(record(data))
