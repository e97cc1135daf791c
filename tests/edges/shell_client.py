"""A person at a shell, as the service's clients are: over a WebSocket, by hand."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from edge_server import Api

from trainyard.core.frames import Frames, Opcode, accept_key, frame

KEY = base64.b64encode(b"0123456789abcdef")
ASKS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY.decode(),
}

WAITS = ("sleep", "600")  # and no longer, where a test fails before it has cancelled its job
UP = frozenset({"JOB_STATE_RUNNING"})


def with_shells(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """A job that is up, made with enableWebAccess."""
    body["jobSpec"]["enableWebAccess"] = True
    return api.wait(api.made(body)["name"], UP)


def path_of(uri: str) -> str:
    """The path of an address."""
    return "/" + uri.split("/", 3)[3]


class ShellClient:
    """Types and reads. Left without a word, as a lost client is."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str] | None = None) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in {**ASKS, **(headers or {})}.items()]
        self.connection.sendall("\r\n".join((*lines, "", "")).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = self.connection.recv(4096)
            assert chunk, head
            head += chunk
        head, _, rest = head.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head + rest
        assert b"sec-websocket-accept: " + accept_key(KEY) in head
        self.frames = Frames(masked=False)
        self.seen = ""
        self.said: list[object] = []
        self.closed: bytes | None = None
        self._take(rest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def sends(self, opcode: Opcode, payload: bytes) -> None:
        """One masked frame."""
        self.connection.sendall(frame(opcode, payload, os.urandom(4)))

    def types(self, text: str) -> None:
        """Press these keys."""
        self.sends(Opcode.BINARY, text.encode())

    def resizes(self, rows: int, columns: int) -> None:
        """Another window size."""
        self.sends(Opcode.TEXT, json.dumps({"rows": rows, "columns": columns}).encode())

    def reads(self, words: str) -> str:
        """Everything up to these words, which are dropped."""
        deadline = time.monotonic() + 60
        while words not in self.seen:
            assert time.monotonic() < deadline, f"{words!r} did not come: {self.seen!r}"
            chunk = self.connection.recv(65536)
            assert chunk, f"hung up: {self.seen!r} {self.said}"
            self._take(chunk)
        before, _, self.seen = self.seen.partition(words)
        return before

    def says(self, command: str) -> str:
        """What a command prints."""
        self.types(f"echo 'be''gin'; {command}; echo 'do''ne'\r")
        self.reads("begin\r\n")
        return self.reads("done\r\n").strip()

    def ends(self) -> int | None:
        """The exit code that is told at the end; -1 where none is."""
        while chunk := self.connection.recv(65536):
            self._take(chunk)
        return next((said["exit"] for said in self.said if isinstance(said, dict) and "exit" in said), -1)

    def _take(self, data: bytes) -> None:
        for opcode, payload in self.frames.feed(data):
            if opcode is Opcode.BINARY:
                self.seen += payload.decode(errors="replace")
            elif opcode is Opcode.TEXT:
                self.said.append(json.loads(payload))
            elif opcode is Opcode.CLOSE:
                self.closed = payload
