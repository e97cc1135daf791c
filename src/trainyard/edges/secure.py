"""TLS on the one port: what is encrypted is decrypted, and clear text is told apart before a byte of it is taken.

A connection that opens with TLS's handshake (content type 22; RFC 8446, 5.1) gets TLS, with ALPN (RFC 7301) for
HTTP/1.1 and HTTP/2, in that order: whoever offers both gets HTTP/1.1, and gRPC clients offer HTTP/2 alone. Everything
else is served in clear text by a protocol that knows it: a client hears a sentence, not a broken handshake.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ALPN: Final = ("http/1.1", "h2")
HANDSHAKE: Final = b"\x16"
HANDSHAKE_SECONDS: Final = 10.0
LOOK_AT_FILES_SECONDS: Final = 3600.0
BACKLOG: Final = 1024
_MOST_AT_ONCE: Final = 128
_FULL_PAUSE_SECONDS: Final = 0.5

log = logging.getLogger("trainyard.tls")


class BadCertificate(Exception):
    """The certificate cannot be used; the message says which file, why, and what would do."""


class Certificate:
    """A server's key and chain, and the context that serves with them; renewed while it serves."""

    def __init__(self, source: Callable[[], tuple[Path, Path]]) -> None:
        """`source` gives the files of chain and key as they are to be now. Raises BadCertificate."""
        self._source = source
        self.context = _context(ALPN)
        self._contexts = [self.context]
        self.chain = self.key = b""
        self.reload()

    def speaking(self, *protocols: str) -> ssl.SSLContext:
        """A further context, for these ALPN protocols, which is renewed with the first. Raises BadCertificate."""
        self._contexts.append(_context(protocols))
        self.chain = self.key = b""
        self.reload()
        return self._contexts[-1]

    def reload(self) -> bool:
        """Read the files; True where they have changed. New connections get the new one. Raises BadCertificate."""
        try:
            chain_path, key_path = self._source()
            chain, key = chain_path.read_bytes(), key_path.read_bytes()
        except OSError as error:
            raise BadCertificate(f"The certificate cannot be read: {error}.") from None
        if (chain, key) == (self.chain, self.key):
            return False
        try:
            for context in self._contexts:
                context.load_cert_chain(chain_path, key_path, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise BadCertificate(
                f"The certificate {chain_path} with the key {key_path} cannot be used: {error}. Both are PEM, the key "
                "has no password and belongs to the first certificate of the file."
            ) from None
        self.chain, self.key = chain, key
        return True

    async def keep(self) -> None:
        """Renew for ever; what cannot be read now is looked at again, and the old one serves on meanwhile."""
        while True:
            await asyncio.sleep(LOOK_AT_FILES_SECONDS)
            try:
                if await asyncio.to_thread(self.reload):
                    log.info("new connections get the new certificate")
            except BadCertificate as error:
                log.error("%s The one that was read before is served on.", error)


def _context(protocols: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    return context


def _no_password() -> bytes:
    raise ValueError("the key has a password")


class SecureListener:
    """Accepts connections and gives each a protocol over TLS, or in clear text where that is what the client speaks."""

    def __init__(self, listener: socket.socket, context: ssl.SSLContext, make: Callable[[], asyncio.Protocol]) -> None:
        """`make` gives one protocol per connection, which finds `ssl_object` in its transport, or does not."""
        self._listener = listener
        self._context = context
        self._make = make
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._joining: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self.handshake_seconds = HANDSHAKE_SECONDS

    def start(self) -> None:
        """Accept from now on."""
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept nobody any more, and let go of those who have said nothing yet."""
        self._closed = True
        self._loop.remove_reader(self._listener.fileno())
        for connection in list(self._silent):
            self._let_go(connection).close()
        for task in self._joining:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptors, no memory: to ask again at once would only spin
                log.error("no further connection can be taken now: %s", error.strerror)
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(_FULL_PAUSE_SECONDS, self._accept_again)
                return
            connection.setblocking(False)
            self._silent[connection] = self._loop.call_later(self.handshake_seconds, self._too_slow, connection)
            self._loop.add_reader(connection.fileno(), self._look, connection)

    def _accept_again(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _look(self, connection: socket.socket) -> None:
        """The first byte is here, or the client has gone."""
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            first = b""
        self._let_go(connection)
        if not first:
            connection.close()
            return
        task = self._loop.create_task(self._join(connection, self._context if first == HANDSHAKE else None))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _join(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        patience = self.handshake_seconds if context else None
        try:
            await self._loop.connect_accepted_socket(
                self._make, connection, ssl=context, ssl_handshake_timeout=patience
            )
        except (OSError, asyncio.CancelledError):  # a client that does not trust us, a scanner, or the end
            connection.close()

    def _too_slow(self, connection: socket.socket) -> None:
        self._let_go(connection).close()

    def _let_go(self, connection: socket.socket) -> socket.socket:
        self._silent.pop(connection).cancel()
        self._loop.remove_reader(connection.fileno())
        return connection
