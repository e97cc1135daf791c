"""Containers with a network of their own reach the service, which listens on loopback only, at their gateway's address.

Only who has an address of that network is let through; what passes is not looked at. A run's ticket stays its key.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from typing import Final

_FREE_BIND: Final = 15  # IP_FREEBIND (ip(7)): the bridge gets its address with the first container
_MOST_AT_ONCE: Final = 1 << 16
_log = logging.getLogger(__name__)


class Relay:
    """The service at the gateways of networks. Used in one event loop."""

    def __init__(self, service: str) -> None:
        """`service` is host:port as programs on this machine have it; empty: there is nothing to reach."""
        self.service = service
        host, _, port = service.rpartition(":")
        self._target = (host.strip("[]"), int(port or 0))
        self._servers: dict[str, asyncio.Server] = {}
        self._opening = asyncio.Lock()

    async def at(self, gateway: str, first: int, size: int) -> dict[str, str]:
        """The service's address as a network has it, by the address here; empty where it can't be reached from there.

        Members of the network have `size` addresses from the number `first` on.
        """
        if not self.service or not gateway:
            return {}
        async with self._opening:
            if gateway not in self._servers:
                try:
                    self._servers[gateway] = await self._open(gateway, range(first, first + size))
                except OSError as error:
                    _log.warning("containers behind %s can't reach the service: %s", gateway, error)
                    return {}
        return {self.service: f"{gateway}:{self._target[1]}"}

    def leave(self, gateway: str) -> None:
        """The network is gone, or there may be none of it."""
        if server := self._servers.pop(gateway, None):
            server.close()

    def close(self) -> None:
        """Leave all."""
        for gateway in list(self._servers):
            self.leave(gateway)

    async def _open(self, gateway: str, members: range) -> asyncio.Server:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IP, _FREE_BIND, 1)
            listener.bind((gateway, self._target[1]))
        except OSError:
            listener.close()
            raise

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError), contextlib.closing(writer):
                if int(ipaddress.ip_address(writer.get_extra_info("peername")[0])) in members:
                    await self._pass(reader, writer)

        return await asyncio.start_server(serve, sock=listener)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both ways until both have said all; raises OSError."""
        inner_reader, inner_writer = await asyncio.open_connection(*self._target)
        with contextlib.closing(inner_writer):
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_MOST_AT_ONCE):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
