"""What a statement takes and gives, told before it runs: for clients that ask first (PostgreSQL's Describe)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainyard.edges.sql.queries import columns_of, described, planned
from trainyard.edges.sql.session import Description

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner


def describe(runner: Runner, tokens: Sequence[Token]) -> Description:
    """The statement's parameters and columns; a query is planned for it. Raises SqlError."""
    count = parameters_of(tokens)
    if not tokens or not tokens[0].is_word("SELECT", "VALUES", "WITH"):
        return Description(count, None)
    shown = described(runner, planned(runner, tokens), count)
    columns = tuple(type(column)(column.name, column.kind or "text") for column in columns_of(shown, tokens))
    return Description(count, columns)


def parameters_of(tokens: Sequence[Token]) -> int:
    """How many values the statement takes: the largest of `$1`, `$2` …, or the number of bare `?`."""
    texts = [token.text for token in tokens if token.kind == "parameter"]
    numbered = [int(text[1:]) for text in texts if text[1:].isdecimal()]
    return max([texts.count("?"), *numbered])
