"""One client's bytes: read no faster than they are used, written no faster than they are taken; over TLS or not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

from trainyard.edges.sql.pgwire.messages import MOST_MESSAGE_BYTES, Inbox, ProtocolFault

MOST_WAITING_BYTES: Final = 256 * 1024
STALLED_SECONDS: Final = 300.0
HANDSHAKE_SECONDS: Final = 10.0
ENOUGH_BYTES: Final = 32 * 1024
SOON_SECONDS: Final = 0.02


T = TypeVar("T")


class Gone(Exception):
    """The client has left, or takes nothing any more; there is nobody to answer."""


class Wire(asyncio.Protocol):
    """The connection as something to read messages from and to send bytes to; for one task."""

    def __init__(self, arrived: Callable[[Wire], None]) -> None:
        """`arrived` is called once there is a connection."""
        self._arrived = arrived
        self._inbox = Inbox()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._paused = False
        self._gone = False
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._later: asyncio.TimerHandle | None = None
        self.stalled_seconds = STALLED_SECONDS
        self.on_gone: Callable[[], None] = _nothing
        self.transport: asyncio.Transport | None = None

    @property
    def secure(self) -> bool:
        """Whether what is said here is encrypted."""
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a socket's are never less
        """A client has come."""
        self.transport = transport
        self._arrived(self)

    def data_received(self, data: bytes) -> None:
        """Keep it until it is asked for; with much of it waiting, stop reading."""
        self._inbox.feed(data)
        self._news.set()
        if len(self._inbox) > MOST_WAITING_BYTES and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Wake whoever reads or writes."""
        self._gone = True
        self._news.set()
        self._room.set()
        self.on_gone()

    def pause_writing(self) -> None:
        """The client is slower than we are."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._room.set()

    async def startup(self) -> bytes:
        """The next packet without a type; raises Gone, ProtocolFault."""
        return await self._next(self._inbox.startup)

    async def message(self) -> tuple[int, bytes]:
        """The next message; raises Gone, ProtocolFault."""
        return await self._next(self._inbox.message)

    async def _next(self, read: Callable[[], T | None]) -> T:
        while True:
            self._news.clear()
            found = read()
            if found is not None:
                return found
            if self._gone or self.transport is None:
                raise Gone
            if self._paused:  # what is half here may be larger than what may wait
                self._paused = False
                self.transport.resume_reading()
            await self._news.wait()

    def trust(self) -> None:
        """The client is let in: from now on its messages may be long."""
        self._inbox.most_bytes = MOST_MESSAGE_BYTES

    async def send(self, data: bytes) -> None:
        """Write soon: with what follows, or after a moment. Raises Gone where the client takes nothing for long."""
        self._outgoing.append(data)
        self._outgoing_bytes += len(data)
        if self._outgoing_bytes >= ENOUGH_BYTES:
            await self.flush()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(SOON_SECONDS, self._write)

    async def flush(self) -> None:
        """Write now, and wait while the client takes nothing; raises Gone."""
        self._write()
        if self._gone or self.transport is None or self.transport.is_closing():
            raise Gone
        if not self._room.is_set():
            try:
                await asyncio.wait_for(self._room.wait(), self.stalled_seconds)
            except TimeoutError:
                self.transport.abort()
                raise Gone from None

    def _write(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._outgoing and self.transport is not None and not self._gone:
            self.transport.write(b"".join(self._outgoing))
        self._outgoing.clear()
        self._outgoing_bytes = 0

    async def upgrade(self, context: ssl.SSLContext) -> None:
        """TLS from here on. Raises Gone; ProtocolFault where bytes came before they could be encrypted."""
        self._write()
        if len(self._inbox) or self.transport is None:
            raise ProtocolFault("received unencrypted data after SSL request", fatal=True)
        loop = asyncio.get_running_loop()
        try:
            self.transport = await loop.start_tls(
                self.transport, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError:
            raise Gone from None
        if self.transport is None:
            raise Gone

    def close(self) -> None:
        """Hang up after what was written has gone."""
        self._write()
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        if self.transport is not None:
            self.transport.abort()


def _nothing() -> None:
    """Nobody waits for the client's end."""
