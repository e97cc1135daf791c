"""TensorBoard's event files give their scalars, whatever else is in them and wherever a writer was torn off.

A file is a row of records: length (u64, little endian), its masked CRC-32C, the data, its masked CRC-32C; the data is
an `Event` message. Sources: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto and
tensorflow/core/framework/{summary,tensor}.proto, of which scalars are read: `simple_value`, or a tensor of one number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

_LENGTH: Final = struct.Struct("<QI")
_FOOTER: Final = struct.Struct("<I")
_MASK_DELTA: Final = 0xA282EAD8
LARGEST_SCALAR_EVENT: Final = 1 << 20
"""Longer records hold pictures, graphs or histograms; they are stepped over unread."""

_YEAR_10000_SECONDS: Final = 253_402_300_800
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_CONTENT: Final = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}  # DataType of a tensor -> one element of tensor_content
_NUMBERS: Final = {5: "<f", 6: "<d"}  # float_val, double_val
_INTEGERS: Final = frozenset({7, 10})  # int_val, int64_val

ReadAt = Callable[[int, int], bytes]
Checksum = Callable[[bytes], int]


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value of one series. `time_us`: microseconds since the epoch, by the writer's clock."""

    tag: str
    step: int
    time_us: int
    value: float


class Damaged(Exception):
    """The file is not as a writer leaves it; the message says where. What was read before counts."""


def scalars(read_at: ReadAt, size: int, checksum: Checksum) -> Iterator[Scalar]:
    """Every scalar of a file of `size` bytes, in the order written.

    `read_at(offset, count)` gives exactly `count` bytes; `checksum` is CRC-32C. A record whose end is not there yet
    ends the file. Raises Damaged at a wrong checksum, or at bytes that are no Event.
    """
    at = 0
    while at + _LENGTH.size <= size:
        head = read_at(at, _LENGTH.size)
        length, length_crc = _LENGTH.unpack(head)
        if _masked(checksum(head[:8])) != length_crc:
            raise Damaged(f"the record at byte {at} has a wrong checksum of its length")
        end = at + _LENGTH.size + length + _FOOTER.size
        if end > size:
            return
        if length <= LARGEST_SCALAR_EVENT:
            body = read_at(at + _LENGTH.size, length + _FOOTER.size)
            if _masked(checksum(body[:length])) != _FOOTER.unpack(body[length:])[0]:
                raise Damaged(f"the record at byte {at} has a wrong checksum")
            try:
                yield from _of_event(body[:length])
            except (IndexError, struct.error, ValueError) as odd:
                raise Damaged(f"the record at byte {at} is no event") from odd
        at = end


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _of_event(data: bytes) -> Iterator[Scalar]:
    time_us, step, summaries = 0, 0, []
    for number, wire, value in _fields(data):
        if number == 1 and wire == _FIXED64:
            time_us = _microseconds(struct.unpack("<d", value)[0])
        elif number == 2 and wire == _VARINT:
            step = _signed(value)
        elif number == 5 and wire == _BYTES:
            summaries.append(value)
    for summary in summaries:
        for number, wire, value in _fields(summary):
            if number == 1 and wire == _BYTES:
                tag, found = _of_value(value)
                if found is not None:
                    yield Scalar(tag, step, time_us, found)


def _microseconds(seconds: float) -> int:
    """Since the epoch; 0 for a time that no calendar has."""
    return round(seconds * 1_000_000) if 0 <= seconds < _YEAR_10000_SECONDS else 0


def _of_value(data: bytes) -> tuple[str, float | None]:
    """Tag and number of a Summary.Value; no number where it holds something else."""
    tag, found = "", None
    for number, wire, value in _fields(data):
        if number == 1 and wire == _BYTES:
            tag = value.decode("utf-8", "replace")
        elif number == 2 and wire == _FIXED32:
            found = struct.unpack("<f", value)[0]
        elif number == 8 and wire == _BYTES:
            found = _of_tensor(value)
    return tag, found


def _of_tensor(data: bytes) -> float | None:
    """The number of a TensorProto of exactly one."""
    kind, content, numbers = 0, b"", []
    for number, wire, value in _fields(data):
        if number == 1 and wire == _VARINT:
            kind = value
        elif number == 4 and wire == _BYTES:
            content = value
        elif number in _NUMBERS:
            numbers += [each[0] for each in struct.iter_unpack(_NUMBERS[number], value)]
        elif number in _INTEGERS:
            numbers += [float(_signed(each)) for each in (_varints(value) if wire == _BYTES else [value])]
    layout = _CONTENT.get(kind)
    if layout is None:
        return None
    if content:
        numbers = [float(each[0]) for each in struct.iter_unpack(layout, content)]
    return numbers[0] if len(numbers) == 1 else None


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """The fields of a message: number, wire type, and an int or bytes. Raises IndexError, ValueError on none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            count, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            count = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + count > len(data):
            raise IndexError
        yield number, wire, data[at : at + count]
        at += count


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number of more than ten bytes")


def _signed(value: int) -> int:
    """An int32 or int64 from its varint."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
