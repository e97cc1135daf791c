"""One HTTP request and its answer, over ASGI: bodies of known size in, whole or streamed answers out.

Whatever is wrong with the request as HTTP (too large, unknown encoding, cut short) is a Refusal; what is wrong with
its meaning is an ApiError from further in.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from trainyard.contract.system_parameters import Query, SystemParameters, read_query, system_parameters
from trainyard.core.errors import Code
from trainyard.edges.side_by_side import UPGRADE, WHOLE

MOST_BODY_BYTES: Final = 8 * 1024 * 1024
MOST_DRAINED_BYTES: Final = 64 * 1024 * 1024
JSON: Final = b"application/json; charset=UTF-8"
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Refusal(Exception):
    """The request is refused as HTTP; `status` is HTTP's, `code` names it in the envelope."""

    def __init__(self, status: int, code: Code, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep the sentence and the headers that explain it, such as Allow."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


class Disconnected(Exception):
    """The client left before it had said everything; there is nobody to answer."""


class Exchange:
    """A request with what is needed to answer it. Header names are lower case."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Wrap one ASGI call of type http.

        `headers`: of a repeated one the last counts. `method`: X-HTTP-Method-Override honoured on POST, as Google's
        front end does. `path`: as it came, percent-encoded. Plain attributes, because every request needs them all.
        """
        self.scope = scope
        self._receive = receive
        self._send = send
        self._query: Query | None = None
        self._system: SystemParameters | None = None
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.path: str = scope["raw_path"].decode("latin-1")
        self.method: str = scope["method"]
        if self.method == "POST" and "x-http-method-override" in self.headers:
            self.method = self.headers["x-http-method-override"].upper()
        self.started = False
        self.written = 0

    @property
    def query(self) -> Query:
        """The query's pairs in order, decoded; raises JsonFaults."""
        if self._query is None:
            self._query = read_query(self.scope["query_string"].decode("latin-1"))
        return self._query

    @property
    def system(self) -> SystemParameters:
        """How the answer is to look; raises JsonFaults."""
        if self._system is None:
            self._system = system_parameters(self.query, self.headers.get("x-goog-fieldmask", ""))
        return self._system

    async def body(self) -> bytes:
        """The whole request body, decompressed. Raises Refusal, or Disconnected."""
        declared = self.headers.get("content-length")
        if declared is None and "transfer-encoding" not in self.headers:
            return b""
        if declared is not None and int(declared) > MOST_BODY_BYTES:
            await self._refuse_size(0, more=True)
        piece, more = await self._piece()
        pieces, size = [piece], len(piece)
        while more and size <= MOST_BODY_BYTES:
            piece, more = await self._piece()
            pieces.append(piece)
            size += len(piece)
        if size > MOST_BODY_BYTES:
            await self._refuse_size(size, more)
        body = piece if len(pieces) == 1 else b"".join(pieces)
        return decoded(body, self.headers.get("content-encoding", ""))

    async def gone(self) -> None:
        """Wait until the client has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, status: int, body: bytes, content_type: bytes = JSON, *extra: tuple[bytes, bytes]) -> None:
        """The whole answer at once."""
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *extra]
        if WHOLE not in self.scope.get("extensions", ()):
            await self.start(status, headers)
            await self._send({"type": "http.response.body", "body": body})
            return
        self.started = True
        await self._send({"type": WHOLE, "status": status, "headers": (*headers, _NO_SNIFFING), "body": body})

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of an answer; `write` and `finish` follow."""
        self.started = True
        headers.append(_NO_SNIFFING)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, piece: bytes) -> None:
        """One piece of the body; waits while the client is slower than we are."""
        self.written += len(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def finish(self) -> None:
        """The end of a streamed answer."""
        await self._send({"type": "http.response.body", "body": b""})

    async def upgrade(self, protocol: asyncio.Protocol, *headers: tuple[bytes, bytes]) -> None:
        """Answer 101 and hand the connection to another protocol. Raises Refusal where it can't be had."""
        if UPGRADE not in self.scope.get("extensions", ()):
            raise Refusal(426, Code.INVALID_ARGUMENT, "The request does not say `Connection: Upgrade`.")
        self.started = True
        await self._send({"type": UPGRADE, "headers": headers, "protocol": protocol})

    async def _piece(self) -> tuple[bytes, bool]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message["body"], message["more_body"]

    async def _refuse_size(self, size: int, more: bool) -> None:
        """Refuse, after having let a client of good faith finish its sentence, so that it reads ours."""
        if self.headers.get("expect", "").lower() != "100-continue":
            while more and size <= MOST_DRAINED_BYTES:
                piece, more = await self._piece()
                size += len(piece)
        sentence = f"The request's body is larger than {MOST_BODY_BYTES} bytes."
        raise Refusal(413, Code.INVALID_ARGUMENT, sentence, {"connection": "close"})


def decoded(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding; a small body that unpacks to a huge one is refused like a huge one."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _gunzip(body)
    sentence = f"Content-Encoding {encoding!r} is not known here; send gzip, or nothing."
    raise Refusal(415, Code.INVALID_ARGUMENT, sentence, {"accept-encoding": "gzip, identity"})


def _gunzip(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, MOST_BODY_BYTES + 1)
    except zlib.error as error:
        raise Refusal(400, Code.INVALID_ARGUMENT, f"The request's body is not gzip, as it claims: {error}.") from None
    if len(plain) > MOST_BODY_BYTES:
        raise Refusal(413, Code.INVALID_ARGUMENT, f"The request's body unpacks to more than {MOST_BODY_BYTES} bytes.")
    if not unpacker.eof or unpacker.unused_data:
        raise Refusal(400, Code.INVALID_ARGUMENT, "The request's body is not one whole gzip member, as it claims.")
    return plain
