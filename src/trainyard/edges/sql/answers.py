"""The answer to a statement, still on its session's thread: columns, rows as they are taken, words at the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Final

from trainyard.edges.sql.session import Column, Row

_FIRST_ROWS: Final = 200
_DECLARED: Final = (("JSON", "json"), ("BOOL", "boolean"), ("INT", "bigint"), ("CHAR", "text"), ("TEXT", "text"))
_REALS: Final = re.compile("REAL|FLOA|DOUB|NUM|DEC")


@dataclass(slots=True)
class Answer:
    """What a statement gives. `columns` None: no rows. `tag` is asked once all rows have been taken."""

    columns: tuple[Column, ...] | None = None
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    tag: Callable[[int], str] = str
    message: str = ""
    notices: tuple[str, ...] = ()


def told(tag: str, message: str = "", notices: Sequence[str] = ()) -> Answer:
    """An answer without rows."""
    return Answer(tag=lambda _: tag, message=message, notices=tuple(notices))


def table(names: Sequence[str], rows: Iterable[Row], tag: str = "SELECT", message: str = "") -> Answer:
    """An answer of ours: kinds are those of the first rows' values."""
    columns, all_rows = kinds_by_sight([Column(name, "") for name in names], iter(rows))
    return Answer(columns, all_rows, lambda count: f"{tag} {count}", message)


@lru_cache(maxsize=256)
def kind_of(declared: str | None) -> str:
    """The kind of a column that was declared so; empty where it was not."""
    text = (declared or "").upper()
    found = next((kind for part, kind in _DECLARED if part in text), "")
    return found or ("double" if _REALS.search(text) else "text" if text else "")


def kinds_by_sight(columns: Sequence[Column], rows: Iterator[Row]) -> tuple[tuple[Column, ...], Iterator[Row]]:
    """The columns with a kind each, by the first rows' values where nothing says it; and all of the rows."""
    if all(column.kind for column in columns):
        return tuple(columns), rows
    first = list(islice(rows, _FIRST_ROWS))
    known = tuple(
        column if column.kind else Column(column.name, _kind_of_values([row[at] for row in first]))
        for at, column in enumerate(columns)
    )
    return known, chain(first, rows)


def _kind_of_values(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, bool}:
        return "bigint"
    if kinds and kinds <= {int, float, bool}:
        return "double"
    return "bytes" if kinds == {bytes} else "text"
