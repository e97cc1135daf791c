"""WebSocket's framing (RFC 6455, 5), for both ends: bytes in, messages out, and the other way round; no I/O."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

MOST_BYTES: Final = 1 << 20  # of one message
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FINAL, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_SHORT, _MEDIUM, _LONG = 125, 126, 127
_FIRST_CONTROL: Final = 8


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class BadFrame(Exception):
    """The other end does not keep to the protocol; `code` is the status to close with (RFC 6455, 7.4.1)."""

    def __init__(self, code: int, why: str) -> None:
        """Keep both."""
        super().__init__(why)
        self.code = code


def accept_key(key: bytes) -> bytes:
    """What the server answers to a client's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())


def frame(opcode: Opcode, payload: bytes, mask: bytes = b"") -> bytes:
    """One whole message as a frame; a client gives four random bytes as `mask`."""
    size, masked = len(payload), _MASKED if mask else 0
    head = bytes((_FINAL | opcode,))
    if size <= _SHORT:
        head += bytes((masked | size,))
    elif size <= 0xFFFF:
        head += struct.pack("!BH", masked | _MEDIUM, size)
    else:
        head += struct.pack("!BQ", masked | _LONG, size)
    return head + mask + (_masked(payload, mask) if mask else payload)


def closing(code: int, why: str = "") -> bytes:
    """The payload of a CLOSE frame."""
    return struct.pack("!H", code) + why.encode()[: _SHORT - 2]


class Frames:
    """What one end has heard so far. `masked`: whether the frames must be, as those of clients are."""

    def __init__(self, *, masked: bool) -> None:
        """Nothing yet."""
        self._masked = masked
        self._buffer = bytearray()
        self._opcode = Opcode.CONTINUATION  # of the message that is in pieces
        self._pieces = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, bytes]]:
        """The messages that are whole by now, control frames among them. Raises BadFrame."""
        self._buffer += data
        while (taken := self._frame()) is not None:
            final, opcode, payload = taken
            if opcode >= _FIRST_CONTROL:
                if not final or len(payload) > _SHORT:
                    raise BadFrame(1002, "a control frame is short and in one piece")
                yield opcode, payload
                continue
            if (opcode is Opcode.CONTINUATION) != (self._opcode is not Opcode.CONTINUATION):
                raise BadFrame(1002, "a message begins once, and goes on until it ends")
            self._opcode = opcode or self._opcode
            self._pieces += payload
            if len(self._pieces) > MOST_BYTES:
                raise BadFrame(1009, f"a message has at most {MOST_BYTES} bytes")
            if final:
                whole = self._opcode, bytes(self._pieces)
                self._opcode = Opcode.CONTINUATION
                self._pieces.clear()
                yield whole

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        """The next frame that is here as a whole, unmasked."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & _RESERVED or bool(buffer[1] & _MASKED) is not self._masked:
            raise BadFrame(1002, "no extension was agreed on, and clients mask their frames")
        size, at = buffer[1] & 0x7F, 2
        for marker, form in ((_MEDIUM, "!H"), (_LONG, "!Q")):
            if size == marker:
                end = at + struct.calcsize(form)
                if len(buffer) < end:
                    return None
                size, at = int(struct.unpack(form, buffer[at:end])[0]), end
                break
        if size > MOST_BYTES:
            raise BadFrame(1009, f"a message has at most {MOST_BYTES} bytes")
        start = at + (4 if self._masked else 0)
        if len(buffer) < start + size:
            return None
        try:
            opcode = Opcode(buffer[0] & 0x0F)
        except ValueError:
            raise BadFrame(1002, f"there are no frames of type {buffer[0] & 0x0F}") from None
        final, payload = bool(buffer[0] & _FINAL), bytes(buffer[start : start + size])
        mask = bytes(buffer[at:start])
        del buffer[: start + size]
        return final, opcode, _masked(payload, mask) if mask else payload


def _masked(payload: bytes, mask: bytes) -> bytes:
    """Masking and unmasking are the same (RFC 6455, 5.3)."""
    size = len(payload)
    stretched = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")).to_bytes(size, "big")
