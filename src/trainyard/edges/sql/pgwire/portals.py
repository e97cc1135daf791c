"""Prepared statements and portals: what a client has named, what types it was told, and how far it has read.

A session runs one statement at a time. A portal that was left half read when another statement comes keeps what is
left of it in memory; where that is too much, the next Execute on it says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire.answers import Answer, Feed
from trainyard.edges.sql.pgwire.messages import ProtocolFault
from trainyard.edges.sql.pgwire.values import BOOL, FLOAT8, INT8, TEXT, Value
from trainyard.edges.sql.session import Column

T = TypeVar("T", "Prepared", "Portal")
MOST_NAMED: Final = 1000
MOST_NAMED_BYTES: Final = 32 * 1024 * 1024
UNDEFINED_STATEMENT: Final = "26000"
UNDEFINED_CURSOR: Final = "34000"
_CAST: Final = re.compile(r"\$(\d+)\s*::\s*(?:pg_catalog\.)?\"?(\w+)\"?(\s*\[\s*\])?", re.IGNORECASE)
_COUNTED: Final = re.compile(r"\b(?:LIMIT|OFFSET)\s+\$(\d+)", re.IGNORECASE)
_TYPES: Final[Mapping[str, tuple[int, int]]] = {
    **dict.fromkeys(("int", "integer", "int4", "smallint", "int2", "bigint", "int8", "oid"), (INT8, 1016)),
    **dict.fromkeys(("float", "float8", "double", "real", "float4", "numeric", "decimal"), (FLOAT8, 1022)),
    **dict.fromkeys(("bool", "boolean"), (BOOL, 1000)),
}
_TEXTS: Final = (TEXT, 1009)


@dataclass(slots=True)
class Prepared:
    """A parsed statement. `oids`: types of its parameters; `columns`: None until somebody has asked."""

    text: str
    oids: tuple[int, ...]
    described: bool = False
    columns: tuple[Column, ...] | None = None

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return len(self.text)


@dataclass(slots=True)
class Portal:
    """A statement with its values. `columns` and `oids` stand once they were told or once it runs."""

    prepared: Prepared
    values: Sequence[Value]
    formats: tuple[int, ...]
    feed: Feed | None = None
    columns: tuple[Column, ...] | None = None
    sent: int = 0
    lost: bool = field(default=False)

    @property
    def size(self) -> int:
        """About how many bytes it holds, without what is read ahead."""
        return len(self.prepared.text) + sum(len(value) for value in self.values if isinstance(value, str | bytes))

    @property
    def answer(self) -> Answer | None:
        """What it answers with, once it runs."""
        return self.feed.answer if self.feed else None

    def formats_of(self, count: int) -> tuple[int, ...]:
        """One format per column, from none, one for all, or each its own. Raises ProtocolFault."""
        if not self.formats:
            return (0,) * count
        if len(self.formats) == 1:
            return self.formats * count
        if len(self.formats) != count:
            raise ProtocolFault(f"bind message has {len(self.formats)} result formats but query has {count} columns")
        return self.formats


def parameter_types(text: str, given: Sequence[int], count: int) -> tuple[int, ...]:
    """A type for each parameter: as the client gave it, else as the statement says (`$1::int`, LIMIT), else text."""
    casts = _CAST.findall(text) if "::" in text else ()
    told = {int(number): _TYPES.get(name.lower(), _TEXTS)[bool(array)] for number, name, array in casts}
    told |= {int(number): INT8 for number in _COUNTED.findall(text)}
    known = [each if each not in (0, 705) else told.get(number, TEXT) for number, each in enumerate(given, 1)]
    known += [told.get(number, TEXT) for number in range(len(known) + 1, count + 1)]
    return tuple(known)


class Names:
    """What one connection has named. The empty name is replaced at will, any other only after it was closed."""

    def __init__(self) -> None:
        """Nothing."""
        self.statements: dict[str, Prepared] = {}
        self.portals: dict[str, Portal] = {}

    def statement(self, name: str) -> Prepared:
        """Raises SqlError where there is none."""
        if name not in self.statements:
            raise SqlError(UNDEFINED_STATEMENT, f'prepared statement "{name}" does not exist')
        return self.statements[name]

    def portal(self, name: str) -> Portal:
        """Raises SqlError where there is none, or where another statement ended it."""
        portal = self.portals.get(name)
        if portal is None:
            raise SqlError(UNDEFINED_CURSOR, f'portal "{name}" does not exist')
        if portal.lost:
            raise SqlError(
                UNDEFINED_CURSOR,
                f'portal "{name}" was ended by a later statement, with too many rows left to keep',
                hint="Read it to its end first, or use a second connection.",
            )
        return portal

    def prepare(self, name: str, prepared: Prepared) -> None:
        """Raises SqlError where the name is taken."""
        _put(self.statements, name, prepared, "prepared statement", "42P05")

    def bind(self, name: str, portal: Portal) -> Portal | None:
        """The portal that it replaces, if any. Raises SqlError where the name is taken."""
        old = self.portals.get(name) if not name else None
        _put(self.portals, name, portal, "cursor", "42P03")
        return old

    def forget(self, name: str) -> None:
        """DEALLOCATE; the empty name means all. Raises SqlError where there is none."""
        if not name:
            self.statements.clear()
        else:
            self.statement(name)
            del self.statements[name]

    async def make_room(self, running: Portal | None) -> None:
        """`running`, or a statement without portal, wants the session: what others have left is kept, or lost."""
        for portal in self.portals.values():
            if portal is not running and portal.feed is not None and not portal.lost:
                portal.lost = not await portal.feed.read_ahead()


def _put(names: MutableMapping[str, T], name: str, value: T, what: str, sqlstate: str) -> None:
    if name and name in names:
        raise SqlError(sqlstate, f'{what} "{name}" already exists')
    if name and (len(names) >= MOST_NAMED or sum(each.size for each in names.values()) > MOST_NAMED_BYTES):
        raise SqlError("53200", f"this connection has named too much; close some first ({what})")
    names[name] = value
