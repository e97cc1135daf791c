"""One HTTP request to the endpoint and its answer, over ASGI: bodies of any size come and go in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Final

import orjson

from trainyard.edges.side_by_side import WHOLE
from trainyard.edges.storage.calls import MOST_METADATA_BYTES, Call, Reply, read_query, read_segments
from trainyard.edges.storage.faults import HttpFault

JSON: Final = b"application/json; charset=UTF-8"
CHUNK_BYTES: Final = 1024 * 1024
MOST_DRAINED_BYTES: Final = 64 * 1024 * 1024

_AS_WRITTEN: Final = {b"location": b"Location", b"range": b"Range"}
"""TensorFlow looks for these letter by letter."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Disconnected(Exception):
    """The client left in the middle; there is nobody to answer."""


class Exchange:
    """A request with what is needed to answer it."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send, *, uniform: bool = False) -> None:
        """Wrap one ASGI call of type http; `uniform` as Call has it."""
        self.scope = scope
        self._uniform = uniform
        self._receive = receive
        self._send = send
        self._more = True
        self.started = False
        self.who = ""  # the caller's name, once it is known

    @cached_property
    def headers(self) -> dict[str, str]:
        """By lower-case name; of a repeated header the last one counts."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}

    @cached_property
    def method(self) -> str:
        """The verb, X-HTTP-Method-Override honoured on POST."""
        verb = str(self.scope["method"])
        override = self.headers.get("x-http-method-override") if verb == "POST" else None
        return override.upper() if override else verb

    @cached_property
    def call(self) -> Call:
        """Path and parameters, decoded. Raises InvalidArgument."""
        host = self.headers.get("host") or "127.0.0.1"
        return Call(
            self.method,
            read_segments(self.scope["raw_path"].decode("latin-1")),
            read_query(self.scope["query_string"].decode("latin-1")),
            self.headers,
            f"{self.scope.get('scheme', 'http')}://{host}",
            uniform=self._uniform,
        )

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Disconnected where it is cut short."""
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            self._more = message["more_body"]
            if message["body"]:
                yield message["body"]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces worth a trip to the disk."""
        gathered: list[bytes] = []
        size = 0
        cut: Disconnected | None = None
        try:
            async for piece in self.pieces():
                gathered.append(piece)
                size += len(piece)
                if size >= CHUNK_BYTES:
                    yield b"".join(gathered)
                    gathered, size = [], 0
        except Disconnected as left:
            cut = left
        if gathered:
            yield gathered[0] if len(gathered) == 1 else b"".join(gathered)
        if cut is not None:
            raise cut  # after what came before it: a resumable upload keeps that

    async def body(self, most: int = MOST_METADATA_BYTES) -> bytes:
        """The whole body of a request that has no media. Raises HttpFault where it is larger than `most`."""
        gathered: list[bytes] = []
        size = 0
        async for piece in self.pieces():
            size += len(piece)
            if size > most:
                raise HttpFault(413, "uploadTooLarge", f"The request's body is larger than {most} bytes.")
            gathered.append(piece)
        return b"".join(gathered)

    async def drain(self) -> None:
        """Let a client finish its sentence, so that it reads our answer; a long one is cut off."""
        size = 0
        async for piece in self.pieces():
            size += len(piece)
            if size > MOST_DRAINED_BYTES:
                return

    async def gone(self) -> None:
        """Wait until the client has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, reply: Reply) -> None:
        """The whole answer at once."""
        body = b"" if reply.body is None else reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
        headers = [*reply.headers]
        if reply.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        if body and not any(name == b"content-type" for name, _ in headers):
            headers.append((b"content-type", JSON))
        await self.whole(reply.status, headers, body)

    async def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Head and body at once, in one write where the server can; of HEAD the head alone."""
        if WHOLE not in self.scope.get("extensions", ()):
            await self.start(status, headers)
            await self.finish(b"" if self.scope["method"] == "HEAD" else body)
            return
        self.started = True
        await self._send({"type": WHOLE, "status": status, "headers": self._headers(status, headers), "body": body})

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of an answer; `write` and `finish` follow."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": self._headers(status, headers)})

    def _headers(self, status: int, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        close = [(b"connection", b"close")] if self._more and status >= 400 else []
        named = [(_AS_WRITTEN.get(name, name), value) for name, value in headers]
        return [*named, *close, (b"x-content-type-options", b"nosniff")]

    async def write(self, piece: bytes) -> None:
        """One piece; waits while the client is slower than we are."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def finish(self, piece: bytes = b"") -> None:
        """The last piece."""
        await self._send({"type": "http.response.body", "body": piece})
