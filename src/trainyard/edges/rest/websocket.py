"""The server's end of a WebSocket (RFC 6455), once the request for it has been answered as any other is.

So whatever guards a request guards a WebSocket: who calls, from which page, and what they may do. Each side is read
from only as fast as the other takes it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from trainyard.core.errors import Code
from trainyard.core.frames import BadFrame, Frames, Opcode, accept_key, closing, frame
from trainyard.edges.rest.exchange import Exchange, Refusal

NORMAL, GOING_AWAY, REFUSED = 1000, 1001, 1008
_MOST_WAITING: Final = 16
_VERSION: Final = "13"


class WebSocket(asyncio.Protocol):
    """One connection. Control frames are answered here; messages wait for `receive`."""

    def __init__(self) -> None:
        """Of use once it has a transport."""
        self._transport: asyncio.Transport | None = None
        self._frames = Frames(masked=True)
        self._messages: asyncio.Queue[tuple[Opcode, bytes] | None] = asyncio.Queue()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._paused = False
        self._said_goodbye = False

    @property
    def is_open(self) -> bool:
        """Whether anything that is sent may arrive."""
        return self._transport is not None and not self._transport.is_closing() and not self._said_goodbye

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP's are never less
        """The request was granted."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take messages out, and let a client wait that is faster than whoever reads them."""
        try:
            for opcode, payload in self._frames.feed(data):
                self._take(opcode, payload)
        except BadFrame as fault:
            self.close(fault.code, str(fault))
        if self._messages.qsize() > _MOST_WAITING and not self._paused and self.is_open and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _take(self, opcode: Opcode, payload: bytes) -> None:
        if opcode is Opcode.PING:
            self._write(Opcode.PONG, payload)
        elif opcode is Opcode.CLOSE:
            self.close(NORMAL)
        elif opcode is not Opcode.PONG:
            self._messages.put_nowait((opcode, payload))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client is gone."""
        self._may_write.set()
        self._messages.put_nowait(None)

    def pause_writing(self) -> None:
        """The client takes no more for now."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._may_write.set()

    async def receive(self) -> tuple[Opcode, bytes] | None:
        """The next message; None once the client has left."""
        message = await self._messages.get()
        if self._paused and not self._messages.qsize() and self.is_open and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return message

    async def send(self, opcode: Opcode, payload: bytes) -> None:
        """Send, and wait while the client is slower than we are."""
        self._write(opcode, payload)
        await self._may_write.wait()

    def close(self, code: int = NORMAL, why: str = "") -> None:
        """Say goodbye and hang up; what was sent before still arrives."""
        if self._transport is not None and not self._said_goodbye:
            self._write(Opcode.CLOSE, closing(code, why))
            self._said_goodbye = True
            self._messages.put_nowait(None)
            self._transport.close()

    def _write(self, opcode: Opcode, payload: bytes) -> None:
        if self.is_open and self._transport is not None:
            self._transport.write(frame(opcode, payload))


def is_asked_for(exchange: Exchange) -> bool:
    """Whether the request is for a WebSocket."""
    asked: str = exchange.headers.get("upgrade", "")
    return asked.strip().lower() == "websocket"


def check(exchange: Exchange) -> None:
    """Raises Refusal on a request for a WebSocket that can't be granted for its form."""
    headers = exchange.headers
    if not headers.get("sec-websocket-key") or headers.get("sec-websocket-version") != _VERSION:
        sentence = "A WebSocket needs Sec-WebSocket-Key and Sec-WebSocket-Version: 13."
        raise Refusal(426, Code.INVALID_ARGUMENT, sentence, {"sec-websocket-version": _VERSION, "upgrade": "websocket"})


async def grant(exchange: Exchange) -> WebSocket:
    """Answer the request, which was checked; from now on the connection speaks WebSocket."""
    connection = WebSocket()
    accepted = accept_key(exchange.headers["sec-websocket-key"].encode("latin-1"))
    await exchange.upgrade(connection, (b"upgrade", b"websocket"), (b"sec-websocket-accept", accepted))
    return connection
