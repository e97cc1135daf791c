"""The promise between SQL's engine and its faces: a server has one SqlEngine, a client one Session at a time.

A session runs its statements in a thread of its own, one after the other, and gives rows only as fast as they are
taken; the event loop never waits for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainyard.service.access import Caller
    from trainyard.service.dispatch import Service

Row = tuple[object, ...]
"""One row: None, int, float, str or bytes. JSON objects and lists come as compact JSON text, booleans as 0 and 1."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an answer. `kind`: `text`, `bigint`, `double`, `boolean`, `json` or `bytes`."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Description:
    """What a statement takes and gives, found out without running it.

    `parameters` counts `$1`, `$2` … (or `?`); `columns` is None where the statement gives no rows.
    """

    parameters: int
    columns: tuple[Column, ...] | None


class Result:
    """The answer to one statement. `columns` is None where there are no rows; `rows` is then empty.

    `tag` (`SELECT 3`, `INSERT 0 1`, `DELETE 2`, `CREATE VIEW` …) is complete once the rows have been read to their end.
    `message` is what StackQL prints on stderr (`The operation was despatched successfully`), empty for rows alone.
    """

    columns: tuple[Column, ...] | None
    tag: str
    message: str
    notices: tuple[str, ...]

    def batches(self) -> AsyncIterator[Sequence[Row]]:
        """The rows, some hundreds at a time; raises SqlError, then nothing that was given counts."""
        raise NotImplementedError

    @property
    def rows(self) -> AsyncIterator[Row]:
        """The rows one by one; raises SqlError."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop reading; may be repeated. A result that was read to its end needs none."""
        raise NotImplementedError


class Session:
    """One client's statements. Not for two tasks at once, but for `cancel`, which any may call at any time."""

    @staticmethod
    def split(sql: str) -> list[str]:
        """The statements of a text, without their semicolons; blank ones and bare comments are left out."""
        raise NotImplementedError

    async def run(self, sql: str, parameters: Sequence[object] = ()) -> Result:
        """Carry out one statement; raises SqlError. The first batch of rows is ready when this returns.

        `parameters` are the values of `$1`, `$2` … or of each `?`. A result left open is closed by the next run.
        """
        raise NotImplementedError

    async def describe(self, sql: str) -> Description:
        """What the statement takes and gives; raises SqlError where it cannot be planned."""
        raise NotImplementedError

    def cancel(self) -> None:
        """End the running statement, if there is one, with SQLSTATE 57014."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of everything; may be repeated."""
        raise NotImplementedError


class SqlEngine:
    """One per server; cheap to make. What it needs (apsw) is imported with the first session."""

    def __init__(self, service: Service, data_dir: Path, *, timeout_seconds: float = 60.0) -> None:
        """Answer from `service`; views are kept in `data_dir`/sql. A statement ends after the timeout (0: never)."""
        raise NotImplementedError

    def session(self, caller: Caller, *, project: str = "", location: str = "") -> Session:
        """A session with this caller's rights. `project` and `location` stand in where a statement names none."""
        raise NotImplementedError

    async def close(self) -> None:
        """End every session."""
        raise NotImplementedError
