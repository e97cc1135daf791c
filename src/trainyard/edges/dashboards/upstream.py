"""One connection to a chief's program for one request: HTTP/1.1, each side read as fast as the other takes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import httptools

from trainyard.edges.dashboards.heads import Header

CONNECT_SECONDS: Final = 10.0
_LOOPBACK: Final = ("127.0.0.1", "::1")  # what a program takes localhost for is its own choice
_MOST_WAITING_BYTES: Final = 256 * 1024
_MOST_HEAD_BYTES: Final = 256 * 1024


class NoAnswer(Exception):
    """Nobody listens there, or whoever does hung up before saying anything; the text is a clause."""


class CutShort(Exception):
    """The program's answer ended before its end, or is no HTTP."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer; names are lower case. `early`: what came behind a 101."""

    status: int
    headers: tuple[Header, ...]
    early: bytes = b""


class Upstream(asyncio.Protocol):
    """The program's end. Made by `connect`; whoever has it closes it."""

    def __init__(self, method: str) -> None:
        """`method`: an answer to HEAD has no body, whatever its head says."""
        self.transport: asyncio.Transport
        self.is_joined = False  # another protocol has the connection
        self._is_head = method == "HEAD"
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._status = 0
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._complete = False
        self._fault: Exception | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    async def send(self, data: bytes) -> None:
        """Send, and wait while the program is slower; what it will not hear any more is dropped."""
        if not self.transport.is_closing():
            self.transport.write(data)
            await self._may_write.wait()

    async def head(self) -> Head:
        """Its answer's head. Raises NoAnswer, CutShort."""
        return await asyncio.shield(self._head)

    async def piece(self) -> bytes:
        """The next piece of the body; empty at its end. Raises CutShort."""
        while not self._pieces:
            if self._fault is not None:
                raise self._fault
            if self._complete:
                return b""
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._waiting_bytes -= len(piece)
        if self._waiting_bytes <= _MOST_WAITING_BYTES and not self.transport.is_closing():
            self.transport.resume_reading()
        return piece

    def close(self) -> None:
        """Hang up at once, and keep nothing: the parser and this hold each other until the collector comes round."""
        self.transport.abort()
        self._pieces.clear()
        if self._head.done() and not self._head.cancelled():
            self._head.exception()  # heard
        self._head.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP's are never less
        """The program has accepted."""
        self.transport = transport

    def pause_writing(self) -> None:
        """It takes no more for now."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Parse; nothing behind the answer's end counts."""
        if self._complete or self._fault is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.transport.pause_reading()
            self._told(Head(101, tuple(self._headers), data[upgrade.args[0] :]))
        except (httptools.HttpParserError, CutShort) as fault:
            if not self._complete:
                self._fail(CutShort(f"what it answers is no HTTP ({fault})"))
        if self._waiting_bytes > _MOST_WAITING_BYTES:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """That is the end of an answer which does not say how long it is, and too early for any other."""
        self._may_write.set()
        if not self._head.done():
            self._fail(NoAnswer("it hung up without an answer"))
        elif not self._complete and self._has_length():
            self._fail(CutShort("it hung up in the middle of its answer"))
        self._complete = True
        self._news.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's: one line of a head, or of a trailer, which is not passed on."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _MOST_HEAD_BYTES:
            raise CutShort("its head is too long")
        if not self._head.done():
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The parser's: a head is here, of an answer or of a note before it (1xx)."""
        self._status = self._parser.get_status_code()
        if self._status == 101:
            return
        if self._status < 200:
            self._headers.clear()
            return
        self._told(Head(self._status, tuple(self._headers)))
        if self._is_head:
            self._finish()

    def on_body(self, body: bytes) -> None:
        """The parser's: a piece of a body."""
        if not self._complete:
            self._pieces.append(body)
            self._waiting_bytes += len(body)
            self._news.set()

    def on_message_complete(self) -> None:
        """The parser's: the end."""
        if self._status >= 200:
            self._finish()

    def _told(self, head: Head) -> None:
        if not self._head.done():
            self._head.set_result(head)

    def _finish(self) -> None:
        self._complete = True
        self._news.set()

    def _fail(self, fault: Exception) -> None:
        self._fault = fault
        self._news.set()
        if not self._head.done():
            self._head.set_exception(fault)

    def _has_length(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)


async def connect(port: int, method: str) -> Upstream:
    """A connection to a port of this machine's loopback. Raises NoAnswer."""
    loop = asyncio.get_running_loop()
    for host in _LOOPBACK:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                made: tuple[Any, Upstream] = await loop.create_connection(lambda: Upstream(method), host, port)
            return made[1]
    raise NoAnswer("nobody listens there")
