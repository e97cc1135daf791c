"""SELECT, VALUES and WITH: handed to SQLite, with rows read as they are taken."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import apsw

from trainyard.edges.sql.answers import Answer, kind_of, kinds_by_sight, told
from trainyard.edges.sql.counting import summed
from trainyard.edges.sql.errors import NOT_SUPPORTED, SqlError
from trainyard.edges.sql.kinds_of_items import items_of, kind_of_item
from trainyard.edges.sql.lexer import words_of
from trainyard.edges.sql.session import Column
from trainyard.edges.sql.spreading import spread
from trainyard.edges.sql.translate import Translator

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner

_MOST_TOKENS: Final = 300  # of a query that is worth knowing again
Described = tuple[tuple[str, str | None], ...]


def select(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any]) -> Answer:
    """The rows of a query. Raises SqlError (or what `Runner.translated` makes one of)."""
    return answer_of(runner, planned(runner, tokens), parameters, tokens)


def native(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any]) -> Answer:
    """NATIVEQUERY '…': the text in quotes as SQLite has it; the rights are the same."""
    text = tokens[1].value if len(tokens) == 2 and tokens[1].kind == "string" else ""
    if not text.lstrip().upper().startswith(("SELECT", "WITH", "VALUES")):
        raise SqlError(NOT_SUPPORTED, "NATIVEQUERY takes a query in quotes.")
    return answer_of(runner, text, parameters, ())


def planned(runner: Runner, tokens: Sequence[Token]) -> str:
    """The query as SQLite is to run it."""
    short = isinstance(tokens, tuple) and len(tokens) <= _MOST_TOKENS
    text, runner.work.in_order = (_translated_before if short else _translated)(tokens, runner.provider)
    return text


def _translated(tokens: Sequence[Token], provider: str) -> tuple[str, bool]:
    """The query as SQLite is to run it, and whether its reader may see the order of a table's rows; raises SqlError."""
    in_order = words_of(tokens).isdisjoint(("JOIN", "GROUP", "ORDER"))
    return Translator(provider).text(spread(summed(tokens, provider), provider)), in_order


_translated_before = lru_cache(maxsize=256)(_translated)


def answer_of(
    runner: Runner, text: str, parameters: Sequence[Any], tokens: Sequence[Token], tag: str = "SELECT"
) -> Answer:
    """The answer to SQL that has been translated; `tokens` are of the statement as it was written."""
    seen: list[Described] = []
    rows = runner.execute(text, parameters, seen.append)
    if not seen or not seen[0]:
        return told(tag)
    columns, all_rows = kinds_by_sight(columns_of(seen[0], tokens), rows)
    return Answer(columns, all_rows, lambda count: f"{tag} {count}")


def columns_of(described: Described, tokens: Sequence[Token]) -> list[Column]:
    """Names and, as far as declarations and tokens say them, kinds."""
    if all(kind_of(declared) for _, declared in described):
        return [Column(name, kind_of(declared)) for name, declared in described]
    items = items_of(tokens)
    if len(items) != len(described):
        items = [[] for _ in described]
    return [
        Column(name, kind_of(declared) or kind_of_item(item))
        for (name, declared), item in zip(described, items, strict=True)
    ]


def described(runner: Runner, text: str, parameters: int) -> Described:
    """The columns of SQL that has been translated, without running it."""
    seen: list[Described] = []
    with suppress(apsw.ExecTraceAbort):
        runner.execute(text, (None,) * parameters, seen.append, run=False)
    return seen[0] if seen else ()
