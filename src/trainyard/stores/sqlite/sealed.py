"""Which values hold what a job says or what is told of it: those are stored sealed where the job names a key.

Whoever reads gets them opened, whatever the statement: a sealed value says itself that it is one. Names, labels,
states and times stay in the clear, for lists and filters to find them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from trainyard.core.errors import ApiError, Internal
from trainyard.core.jobs import Job
from trainyard.keyring import MARK, Opened, Seals

Row = tuple[Any, ...]

_UNREADABLE: Final = b"This is sealed, and its key is not to be had."
_CONTENT: Final[Mapping[str, Mapping[int, bytes]]] = {
    "add_body": {1: b""},
    "add_detail": {8: b"{}", 10: _UNREADABLE},
    "advance_detail": {3: b"{}", 5: _UNREADABLE},
    "add_change": {5: _UNREADABLE},
    "add_note": {3: _UNREADABLE},
    "add_numbered_note": {4: _UNREADABLE},
    "add_record": {7: _UNREADABLE, 8: _UNREADABLE},
    "put_report": {3: b""},
    "put_trial": {3: b"[]", 7: b"{}", 12: _UNREADABLE},
    "tell_claim": {2: b"", 3: _UNREADABLE},
}
"""By statement, the places of the values that are content, and what is shown of each without the key."""
_OF_TRIALS: Final = frozenset({"point", "metrics", "report"})
"""Columns of rows that are never shown beside others, but searched on with: damaged ones are refused."""


class CannotSeal(Exception):
    """The key of a job went while something was told of it; nothing is written, and the job is to be read again."""


class Sealing:
    """Makes rows of a job as they are stored, and has connections open them."""

    def __init__(self) -> None:
        """Without a keeper there is no job that names a key."""
        self._seals: Seals | None = None
        self.connections: Callable[[], Iterable[sqlite3.Connection]] = tuple
        self.row_factory: Callable[[sqlite3.Cursor, Row], Row] | None = None

    def share(self, seals: Seals) -> None:
        """Seal and open by these."""
        self._seals = seals
        if seals.in_use:
            self._open(seals)

    def _open(self, seals: Seals) -> None:
        """Looking at every value of every row costs something, so it is begun with the first job that needs it."""
        if self.row_factory is None:
            self.row_factory = opening(seals)
            for connection in self.connections():
                connection.row_factory = self.row_factory

    def row(self, statement: str, job: Job, row: Row) -> Row:
        """The row of a statement. What is told of a job that is locked already is the service's own, and in the clear.

        Raises CannotSeal.
        """
        if job.seal is None or job.seal.locked or self._seals is None:
            return row
        self._open(self._seals)
        places, stored = _CONTENT[statement], list(row)
        for place, outline in places.items():
            if stored[place] is not None:
                shown = job.seal.outline if statement == "add_body" else outline
                try:
                    stored[place] = self._seals.seal(job.seal.owner, stored[place], shown)
                except ApiError as error:
                    raise CannotSeal(error.message) from error
        return tuple(stored)


def opening(seals: Seals) -> Callable[[sqlite3.Cursor, Row], Row]:
    """A row factory that opens what is sealed.

    A job's row that was damaged or changed is shown as one without a key, and what is told of a job says so itself:
    all others are shown beside them. Raises Internal on a damaged trial.
    """

    def opened(cursor: sqlite3.Cursor, row: Row) -> Row:
        if not any(value.__class__ is bytes and value.startswith(MARK) for value in row):
            return row
        try:
            return tuple(
                seals.opened(value) if value.__class__ is bytes and value.startswith(MARK) else value for value in row
            )
        except Internal as error:
            names = [column[0] for column in cursor.description]
            if not _OF_TRIALS.isdisjoint(names):
                raise
            return tuple(_damaged(name, value, error.message) for name, value in zip(names, row, strict=True))

    return opened


def _damaged(column: str, value: Any, why: str) -> Any:
    """What is shown of a value in a damaged row. Its own outline may be what was changed."""
    if column == "spec":
        nothing = Opened()
        nothing.owner, nothing.locked, nothing.damaged = 0, why, True
        return nothing
    if value.__class__ is not bytes:
        return value
    return "{}" if column == "memo" else why
