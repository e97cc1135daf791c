"""Programs that name Google's hosts and can be told of nothing but a proxy: CONNECT to such a host ends here, in TLS.

TensorFlow is one. The certificate is of an authority that only those trust who are told to (redirect/cxx.py). No other
host can be reached through this port: it is no proxy.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from trainyard.core.errors import Code
from trainyard.edges.faults import error_body

CONNECT: Final = b"CONNECT "
HANDSHAKE_SECONDS: Final = 10.0
_HEAD: Final = re.compile(rb"CONNECT ([A-Za-z0-9.-]+):443 HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*\r\n\Z")
_HOSTS: Final = re.compile(rb"(www|storage|logging|([a-z0-9-]+-)?aiplatform)\.googleapis\.com\Z")
NAMES: Final = ("*.googleapis.com",)
_YES: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_NO_HEAD: Final = (
    b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/json; charset=UTF-8\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n"
)
_NO: Final = "Trainyard is no proxy: it takes only the hosts of Vertex AI, Cloud Storage and Cloud Logging."

Contexts = Callable[[], Awaitable[ssl.SSLContext]]
"""A server's context for Google's names; made at the first call."""


def is_tunnel(seen: bytes) -> bool:
    """Whether the first bytes of a connection are a whole request for a tunnel."""
    return seen.startswith(CONNECT) and _HEAD.match(seen) is not None


async def tunnel(
    transport: asyncio.Transport, seen: bytes, contexts: Contexts, http: Callable[[], asyncio.Protocol]
) -> None:
    """Answer the request, and hand what comes out of the TLS within to a protocol of `http`."""
    head = _HEAD.match(seen)
    if head is None or _HOSTS.match(head[1].lower()) is None:
        body = error_body(403, Code.PERMISSION_DENIED, _NO)
        transport.write(_NO_HEAD % len(body) + body)
        transport.close()
        return
    holding = _Holding()
    transport.set_protocol(holding)
    try:
        context = await contexts()
        transport.write(_YES)
        inner = await asyncio.get_running_loop().start_tls(
            transport, holding, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
    except (OSError, ssl.SSLError):
        transport.close()  # the client does not trust us, or has left
        return
    if inner is None or holding.lost:
        return
    protocol = http()
    protocol.lenient = True  # type: ignore[attr-defined]  # of our own HTTP (rest/http1.py)
    inner.set_protocol(protocol)
    protocol.connection_made(inner)
    if holding.seen:
        protocol.data_received(holding.seen)


class _Holding(asyncio.Protocol):
    """Keeps what comes until somebody can take it."""

    def __init__(self) -> None:
        self.seen = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        """The client's first request may be here before its protocol is."""
        self.seen += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client has left in between."""
        self.lost = True


def once(make: Callable[[], ssl.SSLContext]) -> Contexts:
    """Contexts of one that is made in a thread when the first client needs it."""
    made: list[ssl.SSLContext] = []
    making = asyncio.Lock()

    async def contexts() -> ssl.SSLContext:
        async with making:
            if not made:
                made.append(await asyncio.to_thread(make))
        return made[0]

    return contexts
