"""The smallest client of PostgreSQL's protocol, for tests that want to see the messages."""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass, field
from typing import Self

from edge_server import Server


def sql_port(server: Server) -> int:
    """Where a server speaks the protocol."""
    found = re.search(r"postgresql://[^ ]+:(\d+)", server.ready_line)
    assert found, server.ready_line
    return int(found[1])


def message(kind: str, payload: bytes = b"") -> bytes:
    """One message."""
    return kind.encode() + struct.pack("!i", len(payload) + 4) + payload


def query(sql: str) -> bytes:
    """Query."""
    return message("Q", sql.encode() + b"\0")


def parse(sql: str, name: str = "", oids: tuple[int, ...] = ()) -> bytes:
    """Parse."""
    return message("P", name.encode() + b"\0" + sql.encode() + b"\0" + struct.pack(f"!H{len(oids)}i", len(oids), *oids))


def bind(values: tuple[bytes | None, ...] = (), portal: str = "", name: str = "", formats: bytes = b"\0\0") -> bytes:
    """Bind, all values as text; `formats` of the result as they are sent."""
    sent = b"".join(b"\xff\xff\xff\xff" if v is None else struct.pack("!i", len(v)) + v for v in values)
    counted = struct.pack("!H", len(values))
    return message("B", portal.encode() + b"\0" + name.encode() + b"\0" + b"\0\0" + counted + sent + formats)


def execute(portal: str = "", most: int = 0) -> bytes:
    """Execute."""
    return message("E", portal.encode() + b"\0" + struct.pack("!i", most))


SYNC = message("S")


@dataclass
class Said:
    """What a server said up to ReadyForQuery, or to the end of the connection."""

    kinds: str
    rows: list[tuple[bytes | None, ...]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    notices: list[dict[str, str]] = field(default_factory=list)
    names: list[list[str]] = field(default_factory=list)
    oids: list[list[int]] = field(default_factory=list)
    status: str = ""


class Raw:
    """A connection, greeted unless told otherwise."""

    def __init__(self, port: int, greeted: bool = True, **parameters: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.parameters: dict[str, str] = {}
        self.key = (0, 0)
        if greeted:
            self.send(self.startup(**{"user": "me", "database": "google", **parameters}))
            self.greeting = self.said()

    @staticmethod
    def startup(version: int = 196608, **parameters: str) -> bytes:
        """A startup packet."""
        body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
        return struct.pack("!ii", len(body) + 8, version) + body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send as it is."""
        self.socket.sendall(data)

    def ask(self, *messages: bytes) -> Said:
        """Send messages and hear the answer."""
        self.send(b"".join(messages))
        return self.said()

    def exactly(self, count: int) -> bytes:
        """So many bytes; fewer at the end of the connection."""
        found = b""
        while len(found) < count:
            piece = self.socket.recv(count - len(found))
            if not piece:
                break
            found += piece
        return found

    def said(self) -> Said:
        """All messages up to ReadyForQuery."""
        heard = Said("")
        while True:
            head = self.exactly(5)
            if len(head) < 5:
                return heard
            kind, length = chr(head[0]), struct.unpack("!i", head[1:])[0]
            payload = self.exactly(length - 4)
            heard.kinds += kind
            self._take(heard, kind, payload)
            if kind == "Z":
                return heard

    def _take(self, heard: Said, kind: str, payload: bytes) -> None:
        if kind in "EN":
            told = {part[:1].decode(): part[1:].decode() for part in payload.split(b"\0") if part}
            (heard.errors if kind == "E" else heard.notices).append(told)
        elif kind == "C":
            heard.tags.append(payload[:-1].decode())
        elif kind == "D":
            heard.rows.append(_row(payload))
        elif kind == "T":
            names, oids = _described(payload)
            heard.names.append(names)
            heard.oids.append(oids)
        elif kind == "S":
            name, value, _ = payload.split(b"\0")
            self.parameters[name.decode()] = value.decode()
        elif kind == "K":
            self.key = struct.unpack("!iI", payload)
        elif kind == "Z":
            heard.status = payload.decode()


def _row(payload: bytes) -> tuple[bytes | None, ...]:
    count, at, values = struct.unpack_from("!H", payload)[0], 2, list[bytes | None]()
    for _ in range(count):
        length = struct.unpack_from("!i", payload, at)[0]
        at += 4
        values.append(None if length < 0 else payload[at : at + length])
        at += max(length, 0)
    return tuple(values)


def _described(payload: bytes) -> tuple[list[str], list[int]]:
    at, names, oids = 2, [], []
    for _ in range(struct.unpack_from("!H", payload)[0]):
        end = payload.index(b"\0", at)
        names.append(payload[at:end].decode())
        oids.append(struct.unpack_from("!ihi", payload, end + 1)[2])
        at = end + 19
    return names, oids
