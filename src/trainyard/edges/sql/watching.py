"""WATCH SELECT: the rows of a query, and from then on every row that comes (`+`) or goes (`-`), as it happens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from trainyard.edges.sql.answers import Answer
from trainyard.edges.sql.clauses import Reader
from trainyard.edges.sql.errors import NOT_SUPPORTED, TOO_MUCH, SqlError
from trainyard.edges.sql.queries import answer_of, planned
from trainyard.edges.sql.session import Column

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner

MOST_ROWS: Final = 20_000
_SHORTEST_PAUSE_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.05


def watch(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any]) -> Answer:
    """The query's columns after `change` and `time`; ends when the statement is cancelled. Raises SqlError."""
    reader = Reader(tokens)
    reader.need("WATCH")
    query = reader.rest()
    if not query or not query[0].is_word("SELECT", "WITH", "VALUES"):
        raise SqlError(NOT_SUPPORTED, "WATCH takes a query: WATCH SELECT …")
    text = planned(runner, query)
    runner.work.deadline = None
    first = answer_of(runner, text, parameters, query)
    columns = (Column("change", "text"), *(first.columns or ()))
    return Answer(columns, _changes(runner, text, parameters, first.rows), lambda count: f"WATCH {count}")


def _changes(runner: Runner, text: str, parameters: Sequence[Any], first: Iterator[Any]) -> Iterator[Any]:
    known = _counted(first)
    for row in known.elements():
        yield ("+", *row)
    while True:
        yield None
        taken = _look_again(runner)
        found = _counted(runner.execute(text, parameters))
        for sign, rows in (("-", known - found), ("+", found - known)):
            for row in rows.elements():
                yield (sign, *row)
        known = found
        _pause(runner, max(_SHORTEST_PAUSE_SECONDS, (time.monotonic() - taken) * 4))


def _look_again(runner: Runner) -> float:
    """The next look is at a new moment of the store."""
    runner.close_cursors()
    runner.work.reading.close()
    runner.work.held = 0
    runner.work.scans.clear()
    runner.work.check()
    return time.monotonic()


def _counted(rows: Iterator[Any]) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for number, row in enumerate(rows, 1):
        found[tuple(row)] += 1
        if number > MOST_ROWS:
            raise SqlError(
                TOO_MUCH, f"WATCH follows at most {MOST_ROWS:,} rows.", hint="Narrow the query by WHERE, or count."
            )
    return found


def _pause(runner: Runner, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        runner.work.check()
        time.sleep(min(left, _LOOK_SECONDS))
