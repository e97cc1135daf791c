"""One client from its greeting to its end: every message it sends is answered in order, whatever becomes of it.

An error ends the statement and nothing else; in the extended protocol what follows is skipped until Sync. Only who
breaks the protocol itself, or may no longer be here, is shown the door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire import messages
from trainyard.edges.sql.pgwire.answers import Feed
from trainyard.edges.sql.pgwire.copying import CopyOut
from trainyard.edges.sql.pgwire.messages import Payload, ProtocolFault
from trainyard.edges.sql.pgwire.own_statements import IDLE
from trainyard.edges.sql.pgwire.portals import Portal, Prepared, parameter_types
from trainyard.edges.sql.pgwire.reports import error_report, notice
from trainyard.edges.sql.pgwire.running import Runner
from trainyard.edges.sql.pgwire.values import Mixed, encoded, encoders, parameter, size_of, type_of
from trainyard.edges.sql.pgwire.variables import REPORTED
from trainyard.edges.sql.pgwire.wire import Wire
from trainyard.edges.sql.session import Column

MIXED: Final = "42804"
_IDLE: Final = ("idle_session_timeout", "57P05")
_IDLE_IN_BLOCK: Final = ("idle_in_transaction_session_timeout", "25P03")
_LONG_TEXT: Final = 64 * 1024
_SILENT: Final = frozenset(b"dcf")  # the end of a COPY that was refused


class Fatal(Exception):
    """The conversation is over; `error` is what the client is told."""

    def __init__(self, error: Exception) -> None:
        """Keep what to tell."""
        super().__init__(str(error))
        self.error = error


class Conversation:
    """What is said after the greeting."""

    def __init__(self, wire: Wire, runner: Runner, *, stackql: bool) -> None:
        """`stackql`: each statement's tag is `OK`, as StackQL's clients expect."""
        self._wire = wire
        self._runner = runner
        self._stackql = stackql
        self._skipping = False
        self._split = runner.session.split
        self.idle = False
        self.stopping = False

    async def run(self) -> None:
        """Until the client says goodbye. Raises Gone, Fatal; CancelledError where the service stops."""
        await self._wire.flush()
        while not self.stopping:
            kind, payload = await self._next()
            if kind == ord("X"):
                return
            answer = _ANSWERS.get(kind)
            if answer is None:
                raise Fatal(ProtocolFault(f"invalid frontend message type {kind}"))
            if self._skipping and kind != ord("S"):
                continue
            try:
                await answer(self, Payload(payload))
            except (SqlError, ProtocolFault) as error:
                await self._failed(error)
                self._skipping = kind != ord("Q")
                if kind == ord("Q"):
                    await self._ready()
        raise Fatal(SqlError("57P01", "terminating connection due to administrator command"))

    async def _next(self) -> tuple[int, bytes]:
        self.idle = True
        try:
            return await self._awaited()
        except ProtocolFault as error:
            raise Fatal(error) from None
        finally:
            self.idle = False

    async def _awaited(self) -> tuple[int, bytes]:
        """The next message, in the time that the client has given itself."""
        name, sqlstate = _IDLE if self._runner.block.status == IDLE else _IDLE_IN_BLOCK
        if self._runner.variables[name] == "0":
            return await self._wire.message()
        try:
            async with asyncio.timeout(self._runner.variables.seconds(name) or None):
                return await self._wire.message()
        except TimeoutError:
            raise Fatal(SqlError(sqlstate, f"terminating connection due to {name}")) from None

    async def _failed(self, error: Exception, position: int = 0) -> None:
        if isinstance(error, ProtocolFault) and error.fatal:
            raise Fatal(error)
        self._runner.block.failed()
        await self._wire.send(error_report(error, position=position))

    async def _ready(self) -> None:
        if self._runner.block.status == IDLE:
            await self._runner.close_portals()
        for name in self._runner.own.reports:
            await self._wire.send(messages.parameter_status(name, self._runner.variables[name]))
        self._runner.own.reports.clear()
        await self._wire.send(messages.ready(self._runner.block.status))
        await self._wire.flush()

    async def _simple(self, payload: Payload) -> None:
        """Query: every statement of the text, up to the first that fails."""
        text = payload.text()
        payload.end()
        self._runner.names.statements.pop("", None)
        statements = await self._statements(text)
        if not statements:
            await self._wire.send(messages.EMPTY_QUERY)
        at = 0
        for statement in statements:
            at = max(text.find(statement, at), at)
            try:
                await self._whole(statement)
            except SqlError as error:
                await self._failed(error, at)
                break
            at += len(statement)
        await self._ready()

    async def _whole(self, statement: str) -> None:
        portal = Portal(Prepared(statement, ()), (), ())
        feed = await self._runner.start(portal)
        try:
            if portal.columns is not None:
                await self._wire.send(self._described(portal.columns, portal.formats_of(len(portal.columns))))
            await self._rows(portal, feed, 0)
            await self._done(feed)
        finally:
            await feed.close()

    async def _statements(self, text: str) -> Sequence[str]:
        if len(text) > _LONG_TEXT:
            return await asyncio.to_thread(self._split, text)
        return self._split(text)

    async def _parse(self, payload: Payload) -> None:
        name, text = payload.text(), payload.text()
        oids = [payload.int32() & 0xFFFFFFFF for _ in range(payload.count())]
        payload.end()
        statements = await self._statements(text)
        if len(statements) > 1:
            raise SqlError("42601", "cannot insert multiple commands into a prepared statement")
        prepared = Prepared(statements[0] if statements else "", parameter_types(text, oids, len(oids)))
        self._runner.names.prepare(name, prepared)
        await self._wire.send(messages.PARSE_COMPLETE)

    async def _bind(self, payload: Payload) -> None:
        portal_name, prepared = payload.text(), self._runner.names.statement(payload.text())
        formats = [payload.int16() for _ in range(payload.count())]
        raw = [payload.sized() for _ in range(payload.count())]
        wanted = tuple(payload.int16() for _ in range(payload.count()))
        payload.end()
        if not set(formats) | set(wanted) <= {0, 1}:
            raise ProtocolFault("a format code is neither 0 nor 1")
        if len(formats) not in (0, 1, len(raw)):
            raise ProtocolFault(f"bind message has {len(formats)} parameter formats but {len(raw)} parameters")
        each = formats if len(formats) == len(raw) else (formats or [0]) * len(raw)
        oids = parameter_types(prepared.text, prepared.oids, len(raw))
        values = [parameter(value, oid, binary) for value, oid, binary in zip(raw, oids, each, strict=False)]
        portal = Portal(prepared, values, wanted, columns=prepared.columns)
        old = self._runner.names.bind(portal_name, portal)
        if old is not None and old.feed is not None:
            await old.feed.close()
        await self._wire.send(messages.BIND_COMPLETE)

    async def _describe(self, payload: Payload) -> None:
        kind, name = payload.byte(), payload.text()
        payload.end()
        if kind == b"S":
            prepared = self._runner.names.statement(name)
            count = await self._runner.describe(prepared) if prepared.text else 0
            prepared.oids = parameter_types(prepared.text, prepared.oids, count)
            await self._wire.send(messages.parameter_description(prepared.oids))
            columns, formats = prepared.columns, (0,) * len(prepared.columns or ())
        elif kind == b"P":
            portal = self._runner.names.portal(name)
            columns = await self._portal_columns(portal)
            formats = portal.formats_of(len(columns)) if columns is not None else ()
        else:
            raise ProtocolFault(f"describe takes S or P, not {kind!r}")
        await self._wire.send(messages.NO_DATA if columns is None else self._described(columns, formats))

    async def _portal_columns(self, portal: Portal) -> tuple[Column, ...] | None:
        if portal.feed is None and not portal.prepared.described and portal.prepared.text:
            if self._runner.harmless(portal.prepared.text):
                await self._runner.start(portal)
            else:
                await self._runner.describe(portal.prepared)
                portal.columns = portal.prepared.columns
        return portal.columns

    async def _execute(self, payload: Payload) -> None:
        portal, most = self._runner.names.portal(payload.text()), payload.int32()
        payload.end()
        if not portal.prepared.text:
            await self._wire.send(messages.EMPTY_QUERY)
            return
        feed = await self._runner.start(portal)
        if await self._rows(portal, feed, max(most, 0)):
            await self._done(feed)
        else:
            await self._wire.send(messages.PORTAL_SUSPENDED)

    async def _rows(self, portal: Portal, feed: Feed, most: int) -> bool:
        """Send at most so many rows (0: all); whether that was the end. Raises SqlError."""
        if isinstance(feed.answer, CopyOut):
            await self._copy(feed.answer)
            return True
        columns = portal.columns or ()
        given = feed.answer.columns or ()
        if len(columns) != len(given):
            raise SqlError("0A000", "cached plan must not change result type", hint="Prepare the statement again.")
        oids = [self._oid(column) for column in columns]
        encode = encoders(oids, portal.formats_of(len(columns)))
        count = 0
        while rows := await feed.take(most - count if most else 0):
            try:
                data = [messages.data_row(encoded(row, encode)) for row in rows]
            except Mixed as error:
                raise _mixed(columns[error.column], error.value) from None
            await self._wire.send(b"".join(data))
            count += len(rows)
            if count == most:
                return False
        return True

    async def _copy(self, copying: CopyOut) -> None:
        columns = copying.feed.answer.columns
        if columns is None:
            raise SqlError("42601", "COPY takes a query that gives rows")
        await self._wire.send(messages.copy_out(len(columns), binary=copying.form.format == "binary"))
        try:
            async for piece in copying.pieces([self._oid(column) for column in columns]):
                await self._wire.send(messages.copy_data(piece))
        except Mixed as error:
            raise _mixed(columns[error.column], error.value) from None
        await self._wire.send(messages.COPY_DONE)

    async def _done(self, feed: Feed) -> None:
        for severity, text in feed.answer.messages:
            await self._wire.send(notice(text, severity=severity))
        await self._wire.send(messages.command_complete("OK" if self._stackql else feed.answer.tag))

    async def _close(self, payload: Payload) -> None:
        kind, name = payload.byte(), payload.text()
        payload.end()
        names = self._runner.names
        if kind == b"P":
            portal = names.portals.pop(name, None)
            if portal is not None and portal.feed is not None:
                await portal.feed.close()
        elif kind == b"S":
            names.statements.pop(name, None)
        else:
            raise ProtocolFault(f"close takes S or P, not {kind!r}")
        await self._wire.send(messages.CLOSE_COMPLETE)

    async def _sync(self, payload: Payload) -> None:
        payload.end()
        self._skipping = False
        await self._ready()

    async def _flush(self, payload: Payload) -> None:
        payload.end()
        await self._wire.flush()

    async def _call(self, _payload: Payload) -> None:
        raise SqlError("0A000", "the protocol's function calls are not served here; SELECT the function instead")

    async def _nothing(self, _payload: Payload) -> None:
        """The rest of a COPY that was refused."""

    def _described(self, columns: Sequence[Column], formats: Sequence[int]) -> bytes:
        told = [(column.name, oid := self._oid(column), size_of(oid)) for column in columns]
        return messages.row_description(told, formats)

    def _oid(self, column: Column) -> int:
        return type_of(column.kind, json_typed=self._runner.variables.on("trainyard.json"))


def welcome(runner: Runner, process: int, secret: int) -> bytes:
    """What a client is told once it is in: the variables that it wants to know, and what it cancels with."""
    told = [messages.parameter_status(name, runner.variables[name]) for name in REPORTED]
    return b"".join((messages.AUTHENTICATION_OK, *told, messages.backend_key(process, secret), messages.ready(IDLE)))


def _mixed(column: Column, value: object) -> SqlError:
    return SqlError(
        MIXED,
        f'column "{column.name}" is of type {column.kind}, and a later row of it holds {value!r}',
        hint="Give the column one type: CAST(… AS TEXT).",
    )


_ANSWERS: Final[Mapping[int, Callable[[Conversation, Payload], Awaitable[None]]]] = {
    ord("Q"): Conversation._simple,
    ord("P"): Conversation._parse,
    ord("B"): Conversation._bind,
    ord("D"): Conversation._describe,
    ord("E"): Conversation._execute,
    ord("C"): Conversation._close,
    ord("S"): Conversation._sync,
    ord("H"): Conversation._flush,
    ord("F"): Conversation._call,
    **dict.fromkeys(_SILENT, Conversation._nothing),
}
