"""`count(*)` over one table of the API, asked so that the store may do the counting.

The table then gives equal rows once, with the number of jobs that each stands for; the sum of those is the count.
Wherever another aggregate would notice, the statement is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trainyard.edges.sql.lexer import Token, tokens_of, words_of
from trainyard.edges.sql.names import Chain, resource_named
from trainyard.edges.sql.plans import ROWS

_NOTICING: Final = (
    "SUM", "AVG", "TOTAL", "GROUP_CONCAT", "STRING_AGG", "JSON_GROUP_ARRAY", "JSON_GROUP_OBJECT", "JSONB_GROUP_ARRAY",
    "JSONB_GROUP_OBJECT", "MEDIAN", "PERCENTILE", "PERCENTILE_CONT", "PERCENTILE_DISC", "OVER", "UNION", "INTERSECT",
    "EXCEPT", "JOIN", "WITH", "RANDOM", "FILTER", "OR",
)  # fmt: skip


def summed(tokens: Sequence[Token], provider: str) -> list[Token]:
    """The same statement with every `count(*)` as a sum of the hidden column, where that gives the same."""
    if "COUNT" not in words_of(tokens):
        return list(tokens)
    places = [at for at in range(len(tokens)) if _is_count(tokens, at)]
    if not places or not _is_plain(tokens, provider, len(places)):
        return list(tokens)
    made: list[Token] = []
    at = 0
    while at < len(tokens):
        if at not in places:
            made.append(tokens[at])
            at += 1
            continue
        here = tokens[at].start
        at += 4
        made += (token._replace(start=here) for token in _SUM)
        if _is_bare(tokens, at, places[0]):
            made += (token._replace(start=here) for token in _NAMED)
    return made


_SUM: Final = tuple(tokens_of(f'coalesce(sum("{ROWS}"),0)'))
_NAMED: Final = (Token("word", "AS", 0, "AS"), Token("quoted", '"count(*)"', 0, "count(*)"))


def _is_count(tokens: Sequence[Token], at: int) -> bool:
    return tokens[at].is_word("COUNT") and [token.text for token in tokens[at + 1 : at + 4]] == ["(", "*", ")"]


def _is_bare(tokens: Sequence[Token], behind: int, first: int) -> bool:
    """Whether a count stands in the select list without a name of its own."""
    ahead = next((at for at in range(first, len(tokens)) if tokens[at].is_word("FROM")), len(tokens))
    return behind <= ahead and behind < len(tokens) and (tokens[behind].text == "," or tokens[behind].is_word("FROM"))


def _is_plain(tokens: Sequence[Token], provider: str, counts: int) -> bool:
    """One SELECT from one table of the API, in which nothing else minds how often a row comes."""
    selects = sum(token.is_word("SELECT") for token in tokens)
    if selects != 1 or not tokens[0].is_word("SELECT") or any(token.is_word(*_NOTICING) for token in tokens):
        return False
    distinct = sum(
        token.is_word("COUNT") and behind.is_word("DISTINCT") for token, behind in zip(tokens, tokens[2:], strict=False)
    )
    if sum(token.is_word("COUNT") for token in tokens) != counts + distinct:
        return False
    start = next((at for at, token in enumerate(tokens) if token.is_word("FROM")), len(tokens)) + 1
    return start < len(tokens) and tokens[start].is_name and _is_one_table(tokens, start, provider)


def _is_one_table(tokens: Sequence[Token], start: int, provider: str) -> bool:
    """Whether FROM names a table of the API and nothing besides."""
    chain = Chain(tokens, start)
    if resource_named(chain.parts, provider) is None:
        return False
    for token in tokens[chain.end :]:
        if token.is_word("WHERE", "GROUP", "HAVING", "ORDER", "LIMIT"):
            return True
        if token.text in (",", "("):
            return False
    return True
