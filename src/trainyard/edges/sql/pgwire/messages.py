"""The protocol's bytes, and nothing else: what a client may send is read within limits, what we say is written.

Source: PostgreSQL 17's "Message Formats" (protocol 3.0, which every client of the last twenty years speaks). A message
is a type byte, a length that counts itself, and a payload; the first one of a connection has no type byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

MOST_STARTUP_BYTES: Final = 10_000  # PostgreSQL's own limit
MOST_MESSAGE_BYTES: Final = 16 * 1024 * 1024
MOST_STRANGERS_BYTES: Final = 64 * 1024  # of who has not been let in yet

PROTOCOL_3: Final = 196_608
CANCEL_REQUEST: Final = 80_877_102
SSL_REQUEST: Final = 80_877_103
GSS_REQUEST: Final = 80_877_104

AUTHENTICATION_OK: Final = b"R\x00\x00\x00\x08\x00\x00\x00\x00"
AUTHENTICATION_PASSWORD: Final = b"R\x00\x00\x00\x08\x00\x00\x00\x03"
PARSE_COMPLETE: Final = b"1\x00\x00\x00\x04"
BIND_COMPLETE: Final = b"2\x00\x00\x00\x04"
CLOSE_COMPLETE: Final = b"3\x00\x00\x00\x04"
NO_DATA: Final = b"n\x00\x00\x00\x04"
EMPTY_QUERY: Final = b"I\x00\x00\x00\x04"
COPY_DONE: Final = b"c\x00\x00\x00\x04"
PORTAL_SUSPENDED: Final = b"s\x00\x00\x00\x04"

_INT16: Final = struct.Struct("!h")
_COUNT: Final = struct.Struct("!H")
_INT32: Final = struct.Struct("!i")
_NULL: Final = b"\xff\xff\xff\xff"


class ProtocolFault(Exception):
    """The client broke the protocol; the message says how. SQLSTATE 08P01; where `fatal`, nothing can follow."""

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        """Keep the sentence."""
        super().__init__(message)
        self.fatal = fatal


class Inbox:
    """Bytes as they come, messages as they are whole. Never holds more than one message and what came along with it."""

    def __init__(self) -> None:
        """Empty; the first message is a startup packet."""
        self._bytes = bytearray()
        self.most_bytes = MOST_STRANGERS_BYTES

    def __len__(self) -> int:
        """How many bytes wait."""
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._bytes += data

    def startup(self) -> bytes | None:
        """The payload of a packet without a type, or None until it is whole. Raises ProtocolFault."""
        if len(self._bytes) < 4:
            return None
        length = _INT32.unpack_from(self._bytes)[0]
        if not 8 <= length <= MOST_STARTUP_BYTES:
            raise ProtocolFault("invalid length of startup packet", fatal=True)
        return self._take(4, length)

    def message(self) -> tuple[int, bytes] | None:
        """Type and payload, or None until it is whole. Raises ProtocolFault."""
        if len(self._bytes) < 5:
            return None
        length = _INT32.unpack_from(self._bytes, 1)[0]
        if not 4 <= length <= self.most_bytes:
            raise ProtocolFault(
                f"a message says that it has {length} bytes; from 4 to {self.most_bytes} are allowed", fatal=True
            )
        kind = self._bytes[0]
        payload = self._take(5, length + 1)
        return (kind, payload) if payload is not None else None

    def _take(self, start: int, end: int) -> bytes | None:
        if len(self._bytes) < end:
            return None
        payload = bytes(self._bytes[start:end])
        del self._bytes[:end]
        return payload


class Payload:
    """Reads a message's fields in order. Whatever is missing or too much is a ProtocolFault."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first byte."""
        self._data = data
        self._at = 0

    def text(self) -> str:
        """A string that ends with a zero byte, in UTF-8."""
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise ProtocolFault("a string of the message has no end")
        raw, self._at = self._data[self._at : end], end + 1
        return _decoded(raw)

    def byte(self) -> bytes:
        """One byte."""
        return self.take(1)

    def int16(self) -> int:
        """Two bytes, signed."""
        return int(_INT16.unpack(self.take(2))[0])

    def count(self) -> int:
        """Two bytes, unsigned: how many follow."""
        return int(_COUNT.unpack(self.take(2))[0])

    def int32(self) -> int:
        """Four bytes, signed."""
        return int(_INT32.unpack(self.take(4))[0])

    def sized(self) -> bytes | None:
        """A length and as many bytes; None where the length is -1."""
        length = self.int32()
        return None if length == -1 else self.take(length)

    def take(self, count: int) -> bytes:
        """That many bytes."""
        end = self._at + count
        if count < 0 or end > len(self._data):
            raise ProtocolFault("the message ends before it has said everything")
        piece, self._at = self._data[self._at : end], end
        return piece

    @property
    def left(self) -> int:
        """How many bytes are unread."""
        return len(self._data) - self._at

    def end(self) -> None:
        """Raises ProtocolFault where something is left."""
        if self.left:
            raise ProtocolFault(f"the message has {self.left} bytes too many")


def startup_parameters(payload: Payload) -> dict[str, str]:
    """`user`, `database`, `options` and the rest of a startup packet, behind its protocol version."""
    found = {}
    while payload.left > 1:
        name = payload.text()
        if not name:
            break
        found[name] = payload.text()
    return found


def parameter_status(name: str, value: str) -> bytes:
    """ParameterStatus: the client is told what a variable is now."""
    return _message(b"S", _cstring(name) + _cstring(value))


def backend_key(process: int, secret: int) -> bytes:
    """BackendKeyData: what a CancelRequest must bring. `secret` is 32 bits."""
    return _message(b"K", struct.pack("!iI", process, secret))


def ready(status: bytes) -> bytes:
    """ReadyForQuery; `status` is I (idle), T (in a block) or E (in a failed block)."""
    return _message(b"Z", status)


def protocol_version(unknown: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: 3.0 it is, and these options are not known."""
    return _message(b"v", _INT32.pack(0) + _INT32.pack(len(unknown)) + b"".join(map(_cstring, unknown)))


def row_description(columns: Iterable[tuple[str, int, int]], formats: Sequence[int]) -> bytes:
    """RowDescription; each column is name, type OID and type size; `formats` one per column (0 text, 1 binary)."""
    fields = [
        _cstring(name) + struct.pack("!ihihih", 0, 0, oid, size, -1, each)
        for (name, oid, size), each in zip(columns, formats, strict=True)
    ]
    return _message(b"T", _COUNT.pack(len(fields)) + b"".join(fields))


def parameter_description(oids: Sequence[int]) -> bytes:
    """ParameterDescription."""
    return _message(b"t", struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def data_row(values: Sequence[bytes | None]) -> bytes:
    """DataRow of values that are encoded already."""
    parts = [_COUNT.pack(len(values))]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(_INT32.pack(len(value)))
            parts.append(value)
    return _message(b"D", b"".join(parts))


def copy_out(columns: int, *, binary: bool) -> bytes:
    """CopyOutResponse: so many columns, all in one format."""
    form = int(binary)
    return _message(b"H", struct.pack(f"!bH{columns}h", form, columns, *[form] * columns))


def copy_data(data: bytes) -> bytes:
    """CopyData."""
    return _message(b"d", data)


def command_complete(tag: str) -> bytes:
    """CommandComplete: `SELECT 3`, `INSERT 0 1`, or what else has been done."""
    return _message(b"C", _cstring(tag))


def report(kind: bytes, fields: Mapping[str, str]) -> bytes:
    """ErrorResponse (kind E) or NoticeResponse (kind N), by the one-letter names of its fields."""
    told = b"".join(name.encode() + _cstring(text) for name, text in fields.items() if text)
    return _message(kind, told + b"\0")


def _message(kind: bytes, payload: bytes) -> bytes:
    return kind + _INT32.pack(len(payload) + 4) + payload


def _cstring(text: str) -> bytes:
    return text.replace("\0", "").encode("utf-8", "replace") + b"\0"


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ProtocolFault(f"invalid byte sequence for encoding UTF8: byte {raw[error.start]:#04x}") from None
