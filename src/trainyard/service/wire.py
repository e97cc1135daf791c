"""One field cut out of a message on the wire, without reading the rest (protobuf.dev/programming-guides/encoding)."""

from __future__ import annotations


def part_of(message: bytes, number: int) -> bytes:
    """The entries of one field, cut out of a message that was written in the order of its fields.

    The specs of a store are: `Draft` writes them deterministically.
    """
    at, started, size = 0, -1, len(message)
    while at < size:
        begin, tag = at, message[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(message, begin)
        if tag >> 3 == number:
            started = begin if started < 0 else started
        elif started >= 0:
            return message[started:begin]
        if tag & 7 != 2:
            at = _after(message, at, tag & 7)
            continue
        length = message[at]
        at += 1
        if length >= 0x80:
            length, at = _varint(message, at - 1)
        at += length
    return message[started:] if started >= 0 else b""


def _after(message: bytes, at: int, wire_type: int) -> int:
    """Where the number ends that begins here (protobuf.dev/programming-guides/encoding)."""
    if wire_type == 0:
        return _varint(message, at)[1]
    return at + (8 if wire_type == 1 else 4)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    byte = message[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = message[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
