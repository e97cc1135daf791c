"""Carries out one connection's statements: who may, in which block, from which portal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire.answers import Answer, Feed, OfEngine, Own, Rest
from trainyard.edges.sql.pgwire.copying import CopyOut, read_copy
from trainyard.edges.sql.pgwire.own_statements import Block, OwnStatements, bare, verb
from trainyard.edges.sql.pgwire.portals import Names, Portal, Prepared
from trainyard.edges.sql.pgwire.values import Value
from trainyard.edges.sql.pgwire.variables import Variables
from trainyard.edges.sql.session import Session

_WRITES: Final = frozenset({"INSERT", "DELETE", "EXEC", "REPLACE"})
_HARMLESS: Final = frozenset({"SELECT", "VALUES", "WITH", "SHOW", "DESCRIBE", "DESC"})
_OWN: Final = frozenset(
    {
        "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "SET", "RESET", "DEALLOCATE",
        "DISCARD", "LISTEN", "UNLISTEN", "NOTIFY", "DECLARE", "CLOSE", "FETCH", "COPY",
    }
)  # fmt: skip
_DECLARE: Final = re.compile(
    r'DECLARE\s+("[^"]+"|\w+)\s+(?:BINARY\s+|INSENSITIVE\s+|ASENSITIVE\s+|NO\s+SCROLL\s+|SCROLL\s+)*'
    r"CURSOR\s+(?:WITH(?:OUT)?\s+HOLD\s+)?FOR\s+(.*)\Z",
    re.IGNORECASE | re.DOTALL,
)
_FETCH: Final = re.compile(
    r'FETCH\s+(?:FORWARD\b\s*|NEXT\b\s*)?(ALL\b|\d+)?\s*(?:(?:FROM|IN)\s+)?("[^"]+"|\w+)\s*\Z', re.IGNORECASE
)
_CLOSE: Final = re.compile(r'CLOSE\s+("[^"]+"|\w+)\s*\Z', re.IGNORECASE)


@dataclass
class Runner:
    """Statements in, answers out. `check` raises where the client may no longer be here."""

    session: Session
    variables: Variables
    check: Callable[[], None]
    names: Names = field(default_factory=Names)
    block: Block = field(default_factory=Block)

    def __post_init__(self) -> None:
        """Know what is not the engine's."""
        self.own = OwnStatements(self.variables, self.block, self.names.forget)

    async def start(self, portal: Portal) -> Feed:
        """Begin to carry out a portal's statement, where that has not been done. Raises SqlError."""
        if portal.feed is None:
            text = portal.prepared.text
            self.block.admit(text)
            answer = await self._of_wire(text) or await self._cursor(text, portal.values)
            portal.feed = Feed(answer or await self._of_engine(portal))
            if not portal.prepared.described:
                portal.columns = portal.feed.answer.columns
        return portal.feed

    async def describe(self, prepared: Prepared) -> int:
        """Have a statement's columns known; answers with the number of its parameters. Raises SqlError."""
        word = verb(prepared.text)
        if word in ("SHOW", "FETCH"):
            own = self.own.answer(prepared.text) if word == "SHOW" else self._fetched(prepared.text)
            if own is not None:
                prepared.described, prepared.columns = True, own.columns
                return 0
        if word not in _OWN:
            self.check()
            told = await self.session.describe(prepared.text)
            prepared.described, prepared.columns = True, told.columns
            return told.parameters
        prepared.described, prepared.columns = True, None
        return len(prepared.oids)

    def harmless(self, text: str) -> bool:
        """Whether a statement may be begun before its Execute, to learn the types of its columns."""
        return verb(text) in _HARMLESS

    async def close_portals(self) -> None:
        """The block has ended, and with it every portal."""
        for portal in self.names.portals.values():
            if portal.feed is not None:
                await portal.feed.close()
        self.names.portals.clear()

    async def _of_wire(self, text: str) -> Own | None:
        answer = self.own.answer(text)
        if answer is not None and self.own.forward:
            await self.names.make_room(None)
            try:
                await self.session.run(self.own.forward)
            except SqlError:
                if self.own.forward == "COMMIT":  # else what follows would belong to a block that nobody is in
                    await self.session.run("ROLLBACK")
                raise
        return answer

    async def _of_engine(self, portal: Portal) -> Answer:
        self.check()
        await self.names.make_room(portal)
        result = await self.session.run(portal.prepared.text, portal.values)
        written = verb(portal.prepared.text) in _WRITES and result.columns is not None  # RETURNING says no word
        if written or result.message.startswith("The operation"):
            self.block.wrote()
        return OfEngine(result)

    async def _cursor(self, text: str, values: Sequence[Value]) -> Answer | None:
        """DECLARE, FETCH, CLOSE and COPY … TO STDOUT, which are portals by another name."""
        text = bare(text).rstrip()
        match verb(text):
            case "DECLARE":
                return await self._declared(text, values)
            case "FETCH":
                return await self._taken(text)
            case "CLOSE":
                return await self._closed(text)
            case "COPY" if (copied := read_copy(text)) is not None:
                portal = Portal(Prepared(copied[0], ()), values, ())
                return CopyOut(await self.start(portal), copied[1])
        return None

    async def _declared(self, text: str, values: Sequence[Value]) -> Own:
        match = _DECLARE.match(text)
        if match is None:
            raise SqlError("42601", "syntax error: a cursor is made by DECLARE name CURSOR FOR SELECT …")
        portal = Portal(Prepared(match[2], ()), values, ())
        await self.start(portal)
        self.names.bind(_name(match[1]), portal)
        return Own("DECLARE CURSOR")

    def _fetched(self, text: str) -> Own | None:
        """A FETCH without rows: it has the columns of its cursor."""
        match = _FETCH.match(bare(text).rstrip())
        return Own("", self.names.portal(_name(match[2])).columns) if match else None

    async def _taken(self, text: str) -> Answer:
        match = _FETCH.match(text)
        if match is None:
            raise SqlError("0A000", "a cursor goes forward only: FETCH n FROM name, or FETCH ALL FROM name")
        portal = self.names.portal(_name(match[2]))
        feed = await self.start(portal)
        return Rest(feed, None if (match[1] or "").upper() == "ALL" else int(match[1] or 1))

    async def _closed(self, text: str) -> Own:
        match = _CLOSE.match(text)
        if match is None:
            raise SqlError("42601", "syntax error: CLOSE takes the name of a cursor, or ALL")
        name = _name(match[1])
        if name == "all":
            await self.close_portals()
            return Own("CLOSE CURSOR ALL")
        portal = self.names.portal(name)
        if portal.feed is not None:
            await portal.feed.close()
        del self.names.portals[name]
        return Own("CLOSE CURSOR")


def _name(text: str) -> str:
    """A cursor's name: as it is in quotes, else in small letters."""
    return text[1:-1] if text.startswith('"') else text.lower()
