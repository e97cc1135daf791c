"""An HTTP/1.1 connection: uvicorn's protocol with limits on how long and how large a request may be.

What cannot be parsed is answered in the same JSON envelope as every other error.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from trainyard.core.errors import Code
from trainyard.edges.faults import error_body
from trainyard.edges.side_by_side import CUT, UPGRADE, WHOLE

MOST_HEAD_BYTES: Final = 64 * 1024
REQUEST_SECONDS: Final = 60.0
LEAST_PROGRESS_BYTES: Final = 1024 * 1024
EXTENSIONS: Final[dict[str, dict[object, object]]] = {WHOLE: {}, CUT: {}}
_WITH_UPGRADE: Final[dict[str, dict[object, object]]] = {**EXTENSIONS, UPGRADE: {}}
_LENGTH: Final = re.compile(rb"\r\nContent-Length: \d+(?=\r|\Z)")
KEEP_ALIVE_SECONDS: Final = 180  # longer than any client's pool keeps a connection: we are never the first to hang up

App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Connections(ServerState):
    """What uvicorn's protocols share; also tells the date for every answer."""

    def __init__(self) -> None:
        """Start with no connection."""
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The Date header (RFC 9110, 6.6.1), made at most once a second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._headers = [(b"date", formatdate(second, usegmt=True).encode())]
        return self._headers

    @default_headers.setter
    def default_headers(self, value: list[tuple[bytes, bytes]]) -> None:
        self._headers = value

    def shut_down(self) -> None:
        """Let every connection finish the request that it is in, and no further one."""
        for connection in list(self.connections):
            connection.shutdown()


class Cycle(RequestResponseCycle):
    """One request. An answer that is there as a whole leaves in one write, which saves a system call and a packet."""

    watched = False
    """Whether the application waits for the client to leave."""
    hand_over: Callable[[asyncio.Protocol], None]
    """Where the request asks for another protocol: what takes leave of the connection."""

    async def receive(self) -> Any:
        """ASGI's; whoever asks on when the request is there wants to know when its client is not."""
        self.watched = not self.more_body and not self.message_event.is_set()
        return await super().receive()

    async def send(self, message: Any) -> None:
        """ASGI's, and WHOLE, with `status`, `headers` (content-length among them) and `body`, and UPGRADE, and CUT."""
        if message["type"] == UPGRADE:
            self._upgrade(message)
            return
        if message["type"] == CUT:
            self.response_complete = True
            self.message_event.set()
            self.transport.close()
            return
        if message["type"] != WHOLE:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.response_started, self.waiting_for_100_continue = True, False
        parts = [STATUS_LINE[message["status"]]]
        for name, value in (*self.default_headers, *message["headers"]):
            if name == b"connection":
                self.keep_alive = False
            else:
                parts.append(_line(name, value))
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        if self.scope["method"] != "HEAD":
            parts.append(message["body"])
        self.transport.write(b"".join(parts))
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _upgrade(self, message: Any) -> None:
        if self.disconnected:
            return
        self.response_started = self.response_complete = True
        parts = [STATUS_LINE[101], b"connection: Upgrade\r\n"]
        for name, value in (*self.default_headers, *message["headers"]):
            parts += (name, b": ", value, b"\r\n")
        self.transport.write(b"".join((*parts, b"\r\n")))
        self.hand_over(message["protocol"])


@lru_cache(maxsize=256)
def _line(name: bytes, value: bytes) -> bytes:
    """One line of an answer's head; most answers have the same ones."""
    if HEADER_VALUE_RE.search(value):
        raise RuntimeError(f"The header {name!r} would not be one line.")
    return b"%b: %b\r\n" % (name, value)


def _one_length(data: bytes) -> bytes:
    """A request's head that says its length once, where TensorFlow's says it twice: a transfer coding counts."""
    head, end, body = data.partition(b"\r\n\r\n")
    head = head.replace(b"\r\nTransfer-Encoding: identity", b"", 1)  # no coding any more, and none in its time
    if b"\r\nTransfer-Encoding: chunked" in head:
        head = _LENGTH.sub(b"", head)
    return head + end + body


class HttpConnection(HttpToolsProtocol):
    """One client. `request_seconds` is for one whole request to arrive, or for a good piece of a long one."""

    request_seconds = REQUEST_SECONDS
    lenient = False  # what else is refused as two requests in one (request smuggling) is taken from a tunnel's client
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _body_bytes = 0
    _in_head = True
    _arriving = False
    _early: bytes | None = None  # what came behind a request for another protocol

    def data_received(self, data: bytes) -> None:
        """Parse, unless the head of the request has grown beyond all reason."""
        if self._early is not None:
            self._early += data
            if len(self._early) > MOST_HEAD_BYTES:  # nobody speaks a protocol before it is granted (RFC 6455, 4.1)
                self.transport.close()
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self.lenient and not self._arriving:
                data = _one_length(data)
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._arriving and self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.request_seconds, self._too_slow)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.refuse(431, Code.INVALID_ARGUMENT, f"The request's head is larger than {MOST_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A request starts: it has a while to arrive, unless it is here already."""
        self._in_head = self._arriving = True
        self._body_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()
        self.cycle.__class__ = Cycle  # uvicorn can't be told which class to make
        self.scope["extensions"] = EXTENSIONS
        if self.parser.should_upgrade() and self._get_upgrade() == b"websocket":
            self.scope["extensions"] = _WITH_UPGRADE
            cycle = cast(Cycle, self.cycle)
            cycle.keep_alive = False  # whatever the answer is, nothing behind this request is HTTP
            cycle.hand_over = self._hand_over
            self._early = b""

    def on_body(self, body: bytes) -> None:
        """A piece of the body is here."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has arrived as a whole."""
        self._arriving = False
        self._disarm()
        self._in_head = True
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio.Protocol allows a bool, uvicorn returns none
        """A client that has said all it wants (`nc -N`) still gets its answer; one whose leaving is watched is gone."""
        self._disarm()
        cycle = self.cycle
        if not isinstance(cycle, Cycle) or cycle.watched or cycle.response_complete or cycle.response_started:
            return False
        if cycle.more_body:
            return False
        cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone, for whatever reason."""
        self._disarm()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in JSON as everything else."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        self.refuse(400, Code.INVALID_ARGUMENT, f"{msg} This port speaks HTTP/1.1 (REST) and HTTP/2 (gRPC).")

    def refuse(self, status: int, code: Code, message: str) -> None:
        """Answer without asking the application, and hang up."""
        body = error_body(status, code, message)
        head = [STATUS_LINE[status], b"content-type: application/json; charset=UTF-8\r\n", b"connection: close\r\n"]
        self.transport.write(b"".join((*head, b"content-length: %d\r\n\r\n" % len(body), body)))
        self.transport.close()

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        """Another protocol has the connection from now on."""
        self.connections.discard(self)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self._early:
            protocol.data_received(self._early)

    def _too_slow(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._body_bytes >= LEAST_PROGRESS_BYTES:  # an upload of many gigabytes is slow only where it stands still
            self._body_bytes = 0
            self._deadline = self.loop.call_later(self.request_seconds, self._too_slow)
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        sentence = f"The request did not arrive as a whole within {self.request_seconds:g} seconds."
        self.refuse(408, Code.DEADLINE_EXCEEDED, sentence)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def connection_factory(app: App, connections: Connections) -> Callable[[], HttpConnection]:
    """What makes the protocol for each new client of `app`."""
    config = Config(
        app,
        http=HttpConnection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    config.load()
    return lambda: HttpConnection(config, connections, {})
