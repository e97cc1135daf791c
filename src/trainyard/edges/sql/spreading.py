"""An id in WHERE that names no table holds for every table of the API that is joined there, as StackQL has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainyard.edges.sql.lexer import Token, words_of
from trainyard.edges.sql.names import Chain, resource_named
from trainyard.edges.sql.own_tables import own_tables
from trainyard.edges.sql.resources import Resource

_BEFORE = ("WHERE", "AND", "OR", "ON", "NOT")
_OWN = {table.full_name: table for table in own_tables()}
_BEHIND = frozenset({"=", "=="})


@dataclass(frozen=True, slots=True)
class _Joined:
    """A table of the API in a FROM clause, under the name by which columns are told apart."""

    name: Token
    resource: Resource


def spread(tokens: Sequence[Token], provider: str) -> list[Token]:
    """The statement with `p = x` as `(a.p = x AND b.p = x)` wherever p is a parameter of several joined tables."""
    if tokens and tokens[0].is_word("SELECT") and "JOIN" not in words_of(tokens) and not _lists_tables(tokens):
        return list(tokens)
    joined = _tables(tokens, provider)
    if len(joined) < 2:
        return list(tokens)
    made: list[Token] = []
    at = 0
    while at < len(tokens):
        of = _tables_with(joined, tokens, at)
        end = _end_of_comparison(tokens, at) if len(of) > 1 else at
        if end == at:
            made.append(tokens[at])
            at += 1
            continue
        made.append(_mark(tokens[at], "("))
        for number, table in enumerate(of):
            made += [_mark(tokens[at], "AND", "word")] if number else []
            made += [table.name, _mark(tokens[at], "."), *tokens[at:end]]
        made.append(_mark(tokens[at], ")"))
        at = end
    return made


def _lists_tables(tokens: Sequence[Token]) -> bool:
    """Whether some comma stands behind FROM."""
    texts = [token.text.upper() for token in tokens]
    return "FROM" in texts and "," in texts[texts.index("FROM") :]


def _tables(tokens: Sequence[Token], provider: str) -> list[_Joined]:
    """The tables of the API that one SELECT joins; none where there is more than one SELECT."""
    if sum(token.is_word("SELECT") for token in tokens) != 1:
        return []
    found: list[_Joined] = []
    in_from = False
    for at, token in enumerate(tokens):
        in_from = (in_from or token.is_word("FROM")) and not token.is_word("WHERE", "GROUP", "ORDER", "LIMIT", "HAVING")
        if not in_from or not (token.is_word("FROM", "JOIN") or token.text == ",") or at + 1 >= len(tokens):
            continue
        if not tokens[at + 1].is_name:
            continue
        chain = Chain(tokens, at + 1)
        resource = resource_named(chain.parts, provider) or _OWN.get(".".join(chain.parts).lower())
        if resource is None:
            continue
        behind = chain.end + (chain.end < len(tokens) and tokens[chain.end].is_word("AS"))
        alias = tokens[behind] if behind < len(tokens) and tokens[behind].is_name else None
        if alias is None or (behind == chain.end and alias.is_word("JOIN", "LEFT", "INNER", "CROSS", "ON", "WHERE")):
            alias = Token("quoted", "", tokens[at + 1].start, resource.full_name)
        found.append(_Joined(alias, resource))
    return found


def _tables_with(joined: Sequence[_Joined], tokens: Sequence[Token], at: int) -> list[_Joined]:
    """The tables that have the bare parameter which stands here to be compared."""
    token = tokens[at]
    before = tokens[at - 1] if at else None
    if not token.is_name or before is None or not (before.is_word(*_BEFORE) or before.text == "("):
        return []
    return [
        table
        for table in joined
        if token.value.lower() in {name.lower() for name in (*table.resource.path, *table.resource.optional)}
    ]


def _end_of_comparison(tokens: Sequence[Token], at: int) -> int:
    """Behind `p = value` or `p IN (…)`; `at` itself where something else stands here."""
    if at + 2 >= len(tokens):
        return at
    if tokens[at + 1].text in _BEHIND and tokens[at + 2].kind in ("string", "number", "parameter"):
        return at + 3
    if tokens[at + 1].is_word("IN") and tokens[at + 2].text == "(":
        depth = 0
        for end in range(at + 2, len(tokens)):
            depth += (tokens[end].text == "(") - (tokens[end].text == ")")
            if depth == 0:
                return end + 1
    return at


def _mark(near: Token, text: str, kind: str = "operator") -> Token:
    return Token(kind, text, near.start, text)
