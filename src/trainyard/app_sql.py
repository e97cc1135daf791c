"""The composition root's part for SQL: the engine, PostgreSQL's protocol on a port of its own, and `POST /v1/sql`.

Nothing of it is loaded before somebody asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from trainyard.edges.rest.browsers import refuse_foreign_page
from trainyard.edges.secure import Certificate, SecureListener
from trainyard.service.dispatch import Service
from trainyard.settings import SQL_PORT, Settings

if TYPE_CHECKING:
    from trainyard.edges.side_by_side import App
    from trainyard.edges.sql.pgwire.server import PgServer
    from trainyard.edges.sql.session import SqlEngine

ALPN: Final = "postgresql"
_BACKLOG: Final = 128
_PATH: Final = b"/v1/sql"

log = logging.getLogger("trainyard.sql")


@dataclass
class Sql:
    """SQL over one service; its parts are made when they are first needed."""

    service: Service
    settings: Settings
    certificate: Certificate | None = None
    port: int | None = None
    """Where PostgreSQL's protocol is spoken, once it is."""

    @cached_property
    def engine(self) -> SqlEngine:
        """The one engine."""
        made: SqlEngine = import_module("trainyard.edges.sql.session").SqlEngine(self.service, self.settings.data_dir)
        return made

    @cached_property
    def server(self) -> PgServer:
        """Those who speak PostgreSQL's protocol."""
        module = import_module("trainyard.edges.sql.pgwire.server")
        door = import_module("trainyard.edges.sql.pgwire.greeting").Door(
            lambda password: self.service.access.identify(f"Bearer {password}"), self.settings.auth, self.context
        )
        made: PgServer = module.PgServer(self.engine.session, door)
        return made

    @cached_property
    def context(self) -> Any:
        """TLS for it, None where the service speaks clear text."""
        return self.certificate.speaking(ALPN) if self.certificate else None

    @cached_property
    def app(self) -> App:
        """`POST /v1/sql`."""
        guard = partial(refuse_foreign_page, names=self.settings.names())
        made: App = import_module("trainyard.edges.sql.http").SqlApp(self.engine, self.service.access, guard)
        return made

    @staticmethod
    def claims(scope: Any) -> bool:
        """Whether an HTTP request is for SQL."""
        return bool(scope["raw_path"] == _PATH)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer such a request."""
        await self.app(scope, receive, send)

    async def close(self) -> None:
        """Let clients finish for as long as the settings say, then end every session."""
        if "server" in self.__dict__:
            await self.server.stop(self.settings.drain)
        if "engine" in self.__dict__:
            await self.engine.close()


def bind(settings: Settings, taken: Callable[[str, int, str], socket.socket]) -> socket.socket | None:
    """The socket of PostgreSQL's protocol, None where there is to be none.

    `taken` binds to host, port and the flag that names it, or raises. A port that nobody asked for by number is not
    worth the service: where it is taken, SQL is served over HTTP alone.
    """
    match settings.sql_port:
        case "off":
            return None
        case "auto" if settings.port == 0:
            return taken(settings.host, 0, "--sql-port")
        case "auto":
            try:
                return taken(settings.host, SQL_PORT, "--sql-port")
            except Exception:  # app.CannotServe, which a lower floor cannot name; nobody insists on this port
                log.warning("port %d is taken, so SQL is served over HTTP alone; --sql-port N takes another", SQL_PORT)
                return None
    return taken(settings.host, int(settings.sql_port), "--sql-port")


@contextlib.asynccontextmanager
async def serving(sql: Sql, listener: socket.socket | None) -> AsyncIterator[Sql]:
    """PostgreSQL's protocol on the socket, whose port is then `sql.port`; at the end clients get settings.drain."""
    with contextlib.ExitStack() as stack:
        if listener is not None:
            stack.enter_context(contextlib.closing(listener))
            stack.callback((await _served(sql, listener)).close)
            sql.port = listener.getsockname()[1]
        try:
            yield sql
        finally:
            stack.close()
            await sql.close()


async def _served(sql: Sql, listener: socket.socket) -> asyncio.Server | SecureListener:
    def protocol() -> asyncio.Protocol:
        return sql.server.protocol()

    if sql.context is not None:
        secure = SecureListener(listener, sql.context, protocol)
        secure.start()
        return secure
    return await asyncio.get_running_loop().create_server(protocol, sock=listener, backlog=_BACKLOG)
