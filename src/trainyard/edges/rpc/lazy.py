"""The gRPC server behind the one port, started by the first client that needs it: grpcio is not loaded before."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trainyard.edges.rpc.server import Call, RpcServer, Stream

FULL_QUEUE_PAUSE_SECONDS: Final = 0.01


class LazyRpc:
    """At most one gRPC server, reachable over a private socket and, if asked for, on a port of its own.

    The socket's name is in Linux's abstract namespace: nothing is left behind on disk, whatever kills us.
    """

    def __init__(self, call: Call, stream: Stream) -> None:
        """Nothing is loaded yet."""
        self._call = call
        self._stream = stream
        self._socket = f"trainyard-{secrets.token_hex(16)}"
        self._server: RpcServer | None = None
        self._starting = asyncio.Lock()
        self._count = itertools.count()

    async def connect(self, make: Callable[[], asyncio.Protocol], client: str = "") -> object:
        """Open a connection to the server on behalf of `client`'s address, starting it where it does not run yet.

        The server sees the address as the name of this end of the connection (server.address_of): it has no other way
        to learn who calls.
        """
        await self.start()
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            sock.bind(f"\0{self._socket}/{next(self._count)}/{client}")
            await _join(sock, f"\0{self._socket}")
            return await asyncio.get_running_loop().create_unix_connection(make, sock=sock)
        except BaseException:
            sock.close()
            raise

    async def start(
        self, address: str | None = None, certificate: Callable[[], tuple[bytes, bytes]] | None = None
    ) -> int | None:
        """Have a server; `address` (`host:port`) counts at the first start only and gives its port. Raises OSError.

        `certificate` makes that address speak TLS (server.RpcServer.add_address).
        """
        async with self._starting:
            if self._server is not None:
                return None
            loop = asyncio.get_running_loop()
            module = await loop.run_in_executor(None, import_module, "trainyard.edges.rpc.server")
            server: RpcServer = module.RpcServer(self._call, self._stream)
            port = server.add_address(address, certificate) if address is not None else None
            server.add_address(f"unix-abstract:{self._socket}")
            await server.start()
            self._server = server
            return port

    async def stop(self, grace_seconds: float) -> None:
        """Say goodbye to all clients; calls under way get the grace."""
        if self._server is not None:
            await self._server.stop(grace_seconds)


async def _join(sock: socket.socket, address: str) -> None:
    """Connect at once, or as soon as the server has taken those who came before (EAGAIN: its queue is full)."""
    while True:
        try:
            sock.connect(address)
        except BlockingIOError:
            await asyncio.sleep(FULL_QUEUE_PAUSE_SECONDS)
        else:
            return
