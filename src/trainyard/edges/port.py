"""One port for REST and gRPC: the first bytes of a connection decide who serves it, once and for good.

A client that opens with HTTP/2's preface (RFC 9113, 3.4) is joined to the gRPC server's private socket, byte by byte
with pressure passed on both ways; everybody else gets the HTTP/1.1 protocol. Whatever arrives (nothing, half a
preface, noise) ends with that connection and disturbs no other. Under TLS (secure.py) the client may have said by ALPN
what it speaks; in clear text it then gets HTTP/1.1 or nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from trainyard.edges.secure import SecureListener
from trainyard.edges.tunnel import Contexts, is_tunnel, tunnel

HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FIRST_BYTES_SECONDS: Final = 10.0
BACKLOG: Final = 1024

log = logging.getLogger("trainyard.port")

Connector = Callable[[Callable[[], asyncio.Protocol], str], Awaitable[object]]
"""Opens a connection to the gRPC server for a protocol, on behalf of an address; starts that server where need be."""


class Port:
    """A listening socket and the connections that came through it."""

    def __init__(self, http: Callable[[], asyncio.Protocol], connect_rpc: Connector) -> None:
        """`http` makes the protocol of one HTTP/1.1 connection; `connect_rpc` reaches the gRPC server."""
        self.http = http
        self.connect_rpc = connect_rpc
        self.first_bytes_seconds = FIRST_BYTES_SECONDS
        self.waiting: set[FirstBytes] = set()
        self.spliced: set[Splice] = set()
        self.secure = False
        self.tunnels: Contexts | None = None
        self._tunnelling: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | SecureListener | None = None

    async def listen(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """Accept connections from now on, over TLS where there is a context."""
        if context is not None:
            self.secure = True
            self._server = SecureListener(listener, context, lambda: FirstBytes(self))
            self._server.start()
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: FirstBytes(self), sock=listener, backlog=BACKLOG)

    def stop_listening(self) -> None:
        """Accept nobody any more, and let go of those who have said nothing yet."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.waiting):
            connection.close()

    def cut(self) -> None:
        """End the joined connections that outstayed the drain; the gRPC server has said goodbye on them."""
        for splice in list(self.spliced):
            splice.close()

    def dig(self, transport: asyncio.Transport, seen: bytes, contexts: Contexts) -> None:
        """Serve what comes through a tunnel of the client's (tunnel.py)."""
        task = asyncio.ensure_future(tunnel(transport, seen, contexts, self.http))
        self._tunnelling.add(task)
        task.add_done_callback(self._tunnelling.discard)


class FirstBytes(asyncio.Protocol):
    """Reads until it can tell HTTP/2 from the rest, then hands the connection over."""

    def __init__(self, port: Port) -> None:
        """Belong to `port` until the decision."""
        self._port = port
        self._seen = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP's are never less
        """Start the clock: who opens a connection has a few seconds to say something."""
        self._transport = transport
        self._port.waiting.add(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._port.first_bytes_seconds, self.close)
        tls = transport.get_extra_info("ssl_object") if self._port.secure else None
        self._joins_rpc = not self._port.secure or tls is not None
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self._let_go()
            Splice(self._port, transport, b"")

    def data_received(self, data: bytes) -> None:
        """Decide as soon as the bytes allow it; keep waiting while they could still become a preface."""
        self._seen += data
        if len(self._seen) < len(HTTP2_PREFACE) and HTTP2_PREFACE.startswith(self._seen):
            return
        self._let_go()
        if self._seen.startswith(HTTP2_PREFACE) and self._joins_rpc:
            Splice(self._port, self._transport, self._seen)
            return
        if self._port.tunnels is not None and is_tunnel(self._seen):
            self._port.dig(self._transport, self._seen, self._port.tunnels)
            return
        protocol = self._port.http()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._seen)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """A scanner, or a client that changed its mind."""
        self._let_go()

    def close(self) -> None:
        """Too slow, or the server is stopping."""
        self._let_go()
        self._transport.close()

    def _let_go(self) -> None:
        self._deadline.cancel()
        self._port.waiting.discard(self)


class Splice:
    """Two ends that pass each other's bytes on, each reading only as fast as the other takes."""

    def __init__(self, port: Port, transport: asyncio.Transport, seen: bytes) -> None:
        """Join the client's `transport` to the gRPC server, beginning with the bytes already `seen`."""
        self._port = port
        self._near = End(self.close)
        self._far = End(self.close)
        self._near.transport = transport
        self._near.other, self._far.other = self._far, self._near
        transport.pause_reading()
        transport.set_protocol(self._near)
        port.spliced.add(self)
        self._joining = asyncio.ensure_future(self._join(seen, address_of(transport)))

    async def _join(self, seen: bytes, client: str) -> None:
        try:
            await self._port.connect_rpc(lambda: self._far, client)
        except Exception:
            log.exception("gRPC cannot be served; the client's connection is closed")
            self.close()
            return
        near, far = self._near.transport, self._far.transport
        if near is None or near.is_closing() or far is None:
            self.close()
            return
        far.write(seen)
        near.resume_reading()

    def close(self) -> None:
        """End both sides; what was accepted from one is still written to the other."""
        self._port.spliced.discard(self)
        for end in (self._near, self._far):
            if end.transport is not None:
                end.transport.close()


def address_of(transport: asyncio.BaseTransport) -> str:
    """`127.0.0.1:43512` or `[::1]:43512`: who is at the other end; empty where nobody is any more."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return ""
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class End(asyncio.Protocol):
    """One of two sides that are joined; `other` is set by who joins them."""

    other: End

    def __init__(self, close: Callable[[], None]) -> None:
        """`close` ends both sides; the transport comes with the connection."""
        self._close = close
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a socket's are never less
        """The side is there."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """This side takes no more for now, so the other reads no more."""
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """There is room again."""
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Whichever side goes takes the other with it."""
        self._close()
