"""What a statement takes and gives, told before it runs: for clients that ask first (PostgreSQL's Describe)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainyard.edges.sql.answers import kind_of
from trainyard.edges.sql.names import Chain, resource_named
from trainyard.edges.sql.queries import columns_of, described, planned
from trainyard.edges.sql.returning import returned
from trainyard.edges.sql.session import Column, Description

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner


def describe(runner: Runner, tokens: Sequence[Token]) -> Description:
    """The statement's parameters and columns; a query is planned for it. Raises SqlError."""
    count = parameters_of(tokens)
    tokens = [token for token in tokens if token.kind != "hint"]
    if not tokens:
        return Description(count, None)
    if tokens[0].is_word("SHOW", "DESCRIBE", "DESC", "REGISTRY") or _explains(tokens):
        return Description(count, runner.handler(tokens)(runner, tokens, (None,) * count).columns)
    if tokens[0].is_word("INSERT", "REPLACE", "DELETE"):
        return Description(count, _returned(runner, tokens))
    if not tokens[0].is_word("SELECT", "VALUES", "WITH"):
        return Description(count, None)
    shown = described(runner, planned(runner, tokens), count)
    columns = tuple(Column(column.name, column.kind or "text") for column in columns_of(shown, tokens))
    return Description(count, columns)


def _explains(tokens: Sequence[Token]) -> bool:
    return tokens[0].is_word("EXPLAIN") and not tokens[1:2][0].is_word("ANALYZE", "ANALYSE")


def _returned(runner: Runner, tokens: Sequence[Token]) -> tuple[Column, ...] | None:
    """The columns of RETURNING; None where there is none."""
    at = next((at for at, token in enumerate(tokens) if token.is_word("INTO", "FROM")), len(tokens)) + 1
    start = next((at for at, token in enumerate(tokens) if token.is_word("RETURNING")), len(tokens))
    items = [token for token in tokens[start + 1 :] if not token.is_word("ALLOW")]
    if not items or at >= len(tokens) or not tokens[at].is_name:
        return None
    resource = resource_named(Chain(tokens, at).parts, runner.provider)
    if resource is None:
        text = runner.translator().text(tokens)
        shown = described(runner, text, parameters_of(tokens))
        return tuple(Column(name, kind_of(declared) or "text") for name, declared in shown)
    method = resource.of_verb("DELETE" if tokens[0].is_word("DELETE") else "INSERT")[0]
    return returned(runner, resource, method.operation.response, (), items).columns


def parameters_of(tokens: Sequence[Token]) -> int:
    """How many values the statement takes: the largest of `$1`, `$2` …, or the number of bare `?`."""
    texts = [token.text for token in tokens if token.kind == "parameter"]
    numbered = [int(text[1:]) for text in texts if text[1:].isdecimal()]
    return max([texts.count("?"), *numbered])
