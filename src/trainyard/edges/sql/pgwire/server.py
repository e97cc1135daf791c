"""The port: takes connections up to a limit, gives each a conversation, knows whom a cancel request means, and ends."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from trainyard.edges.port import address_of
from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire.conversation import Conversation, Fatal, welcome
from trainyard.edges.sql.pgwire.greeting import Door, Guest, greet, identified
from trainyard.edges.sql.pgwire.messages import ProtocolFault
from trainyard.edges.sql.pgwire.own_statements import OF_ENGINE
from trainyard.edges.sql.pgwire.reports import error_report
from trainyard.edges.sql.pgwire.running import Runner
from trainyard.edges.sql.pgwire.variables import Variables
from trainyard.edges.sql.pgwire.wire import Gone, Wire
from trainyard.edges.sql.session import Client, Session
from trainyard.service.access import Caller

MOST_CONNECTIONS: Final = 100
STACKQL: Final = "stackql"
"""The database that StackQL's clients name; they are told `OK` after each statement, as by StackQL."""

log = logging.getLogger("trainyard.sql")


class PgServer:
    """PostgreSQL's protocol on a port of its own."""

    def __init__(
        self, session: Callable[[Caller], Session], door: Door, most_connections: int = MOST_CONNECTIONS
    ) -> None:
        """`session` makes one for a caller."""
        self._session = session
        self._door = door
        self._most = most_connections
        self._tasks: dict[asyncio.Task[None], Conversation | None] = {}
        self._running: dict[tuple[int, int], Session] = {}

    def protocol(self) -> Wire:
        """What serves one more connection."""
        return Wire(self._arrived)

    async def stop(self, seconds: float) -> None:
        """Let go of the idle, give the rest so long to finish; nobody new may come by then."""
        for task, conversation in list(self._tasks.items()):
            if conversation is None or conversation.idle:
                task.cancel()
            else:
                conversation.stopping = True
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _arrived(self, wire: Wire) -> None:
        if len(self._tasks) >= 2 * self._most:  # those who have not said yet who they are included
            wire.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(wire))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _serve(self, wire: Wire) -> None:
        try:
            await self._talk(wire)
        except Gone:
            pass
        except Fatal as fatal:
            await _last_words(wire, fatal.error)
        except asyncio.CancelledError:
            await _last_words(wire, SqlError("57P01", "terminating connection due to administrator command"))
        except Exception as error:
            await _last_words(wire, error)
        finally:
            wire.close()

    async def _talk(self, wire: Wire) -> None:
        guest = await greet(wire, self._door, self._cancel)
        if guest is None:
            return
        if len(self._running) >= self._most:
            raise SqlError("53300", f"sorry, too many clients already: {self._most} are connected")
        wire.trust()
        session = self._session(replace(guest.caller, address=address_of(wire.transport) if wire.transport else ""))
        key = secrets.randbelow(2**31), secrets.randbits(32)
        self._running[key] = session
        wire.on_gone = session.cancel
        try:
            variables = _variables(guest)
            session.client = _client(guest, variables)
            await _tell_engine(session, variables)
            runner = Runner(session, variables, lambda: self._check(guest))
            conversation = Conversation(wire, runner, stackql=session.client.database == STACKQL)
            task = asyncio.current_task()
            assert task is not None
            self._tasks[task] = conversation
            await wire.send(welcome(runner, *key))
            await conversation.run()
        finally:
            del self._running[key]
            await session.close()

    def _check(self, guest: Guest) -> None:
        """A credential that was revoked, or whose rights have changed, ends its connections at their next statement."""
        if not self._door.asks:
            return
        try:
            now = identified(self._door, guest.password)
        except SqlError as error:
            raise Fatal(error) from None
        if (now.name, now.role, now.projects) != (guest.caller.name, guest.caller.role, guest.caller.projects):
            raise Fatal(SqlError("57P01", "your rights have changed; connect again"))

    def _cancel(self, process: int, secret: int) -> None:
        session = self._running.get((process, secret))
        if session is not None:
            session.cancel()


def _variables(guest: Guest) -> Variables:
    """The connection's variables as its startup packet wants them. Raises SqlError."""
    variables = Variables(guest.parameters.get("user", ""))
    for name, value in guest.parameters.items():
        if name == "options":
            for each, given in startup_options(value):
                variables.set(each, given)
        elif name not in ("user", "database", "replication"):
            variables.set(name, value)
    return variables


def _client(guest: Guest, variables: Variables) -> Client:
    """Who asks: by the credential's name where there is one, else as they say."""
    nobody = Client()
    user = guest.caller.name or guest.parameters.get("user") or nobody.user
    return Client(user, guest.parameters.get("database") or nobody.database, variables.find)


async def _tell_engine(session: Session, variables: Variables) -> None:
    """What the startup packet asked of the engine. Raises SqlError."""
    for name in OF_ENGINE:
        value = variables[name].replace("'", "''")
        if value not in ("", "0"):
            await session.run(f"SET {name} = '{value}'")


_OPTION: Final = re.compile(r"\s*(?:-c\s*|--)([A-Za-z_][\w.-]*)=((?:\\.|\S)*)")


def startup_options(text: str) -> list[tuple[str, str]]:
    r"""`-c name=value --name=value` as PGOPTIONS has them; a backslash before a blank keeps it. Raises SqlError."""
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _OPTION.match(text, at)
        if match is None:
            raise SqlError("42601", f"{text[at:].strip()!r} is no option of a connection; write -c name=value")
        found.append((match[1].replace("-", "_"), re.sub(r"\\(.)", r"\1", match[2])))
        at = match.end()
    return found


async def _last_words(wire: Wire, error: Exception) -> None:
    if isinstance(error, ProtocolFault):
        log.debug("a client broke the protocol: %s", error)
    try:
        await wire.send(error_report(error, fatal=True))
        await asyncio.wait_for(wire.flush(), 1)
    except (Gone, TimeoutError):
        wire.abort()
