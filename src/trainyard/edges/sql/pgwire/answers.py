"""What a statement answers with, whether the engine gave it or the wire itself, and how it is read piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from trainyard.edges.sql.session import Column, Result, Row

READ_AHEAD_ROWS: Final = 10_000
READ_AHEAD_BYTES: Final = 16 * 1024 * 1024


class Answer(Protocol):
    """Result's part that a wire needs."""

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """None where there are no rows."""

    @property
    def tag(self) -> str:
        """Complete once the rows have been read."""

    @property
    def messages(self) -> Sequence[tuple[str, str]]:
        """Severity and text of what the client is told beside the rows."""

    def batches(self) -> AsyncIterator[Sequence[Row]]:
        """The rows, some at a time."""

    async def close(self) -> None:
        """Stop reading."""


@dataclass(frozen=True, slots=True)
class Own:
    """An answer of the wire's own."""

    tag: str
    columns: tuple[Column, ...] | None = None
    rows: Sequence[Row] = ()
    messages: Sequence[tuple[str, str]] = ()

    async def batches(self) -> AsyncIterator[Sequence[Row]]:
        """All rows at once."""
        if self.rows:
            yield self.rows

    async def close(self) -> None:
        """Nothing is open."""


class OfEngine:
    """An answer of the engine's."""

    def __init__(self, result: Result) -> None:
        """Wrap it."""
        self._result = result
        self.columns = result.columns

    @property
    def tag(self) -> str:
        """As the engine has it."""
        return self._result.tag

    @property
    def messages(self) -> Sequence[tuple[str, str]]:
        """What StackQL prints on stderr, then the notices."""
        said = (self._result.message, *self._result.notices)
        return [("NOTICE", text) for text in said if text]

    def batches(self) -> AsyncIterator[Sequence[Row]]:
        """As the engine gives them."""
        return self._result.batches()

    async def close(self) -> None:
        """Free the statement."""
        await self._result.close()


class Feed:
    """The rows of an answer, so many at a time; what one reader leaves, the next one gets."""

    def __init__(self, answer: Answer) -> None:
        """Nothing is read yet."""
        self.answer = answer
        self._batches = answer.batches()
        self._rest: Sequence[Row] = ()
        self._ended = False

    async def take(self, most: int) -> Sequence[Row]:
        """At most so many rows (0: as they come), none at the end. Raises SqlError."""
        if not self._rest and not self._ended:
            self._rest = await self._next()
        if most and len(self._rest) > most:
            taken, self._rest = self._rest[:most], self._rest[most:]
        else:
            taken, self._rest = self._rest, ()
        return taken

    async def read_ahead(self) -> bool:
        """Fetch what is left, so that another statement may run; False where it is too much to keep."""
        kept = list(self._rest)
        size = _size(kept)
        while len(kept) <= READ_AHEAD_ROWS and size <= READ_AHEAD_BYTES:
            if self._ended or not (batch := await self._next()):
                self._rest = kept
                return True
            kept.extend(batch)
            size += _size(batch)
        return False

    async def close(self) -> None:
        """Read no further."""
        self._ended, self._rest = True, ()
        await self.answer.close()

    async def _next(self) -> Sequence[Row]:
        async for batch in self._batches:
            if batch:
                return batch
        self._ended = True
        return ()


class Rest:
    """What a cursor gives next, as an answer of its own: FETCH."""

    messages: Sequence[tuple[str, str]] = ()

    def __init__(self, feed: Feed, most: int | None) -> None:
        """So many rows, or all that are left; nothing is read yet."""
        self._feed = feed
        self._most = most
        self._count = 0
        self.columns = feed.answer.columns

    @property
    def tag(self) -> str:
        """How many rows there were."""
        return f"FETCH {self._count}"

    async def batches(self) -> AsyncIterator[Sequence[Row]]:
        """As the cursor gives them."""
        while self._most is None or self._count < self._most:
            rows = await self._feed.take(self._most - self._count if self._most is not None else 0)
            if not rows:
                return
            self._count += len(rows)
            yield rows

    async def close(self) -> None:
        """The cursor stays."""


def _size(rows: Sequence[Row]) -> int:
    """About how many bytes rows take."""
    return sum(len(value) if isinstance(value, str | bytes) else 8 for row in rows for value in row)
