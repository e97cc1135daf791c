"""A statement as pieces of text, and where the operands around a piece begin and end.

A piece is one token, or a whole expression that a rewriting step has made of several: that is an operand by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_OPEN: Final[Mapping[str, str]] = {")": "(", "]": "["}
_CLOSE: Final[Mapping[str, str]] = {"(": ")", "[": "]"}
_NAME: Final = re.compile(r'[^\W\d][\w$]*\Z|"(?:[^"]|"")*"\Z')
_NO_FUNCTION: Final = frozenset(
    {
        "SELECT", "WHERE", "AND", "OR", "NOT", "IN", "THEN", "ELSE", "WHEN", "CASE", "ON", "BY", "LIKE", "REGEXP",
        "BETWEEN", "FROM", "AS", "RETURNING", "HAVING", "DISTINCT", "ALL", "UNION", "USING", "JOIN", "VALUES", "IS",
        "EXISTS", "LIMIT", "OFFSET", "EXCEPT", "INTERSECT",
    }
)  # fmt: skip

Pieces = list[str]


def is_blank(piece: str) -> bool:
    """Nothing but white space."""
    return not piece.strip()


def is_name(piece: str) -> bool:
    """A word or a quoted name."""
    return _NAME.match(piece) is not None


def is_word(piece: str, *words: str) -> bool:
    """One of these keywords, given in capitals."""
    return piece.upper() in words


def before(pieces: Pieces, at: int) -> int:
    """The last piece before `at` that is not blank; -1 where there is none."""
    at -= 1
    while at >= 0 and is_blank(pieces[at]):
        at -= 1
    return at


def after(pieces: Pieces, at: int) -> int:
    """The first piece behind `at` that is not blank; their number where there is none."""
    at += 1
    while at < len(pieces) and is_blank(pieces[at]):
        at += 1
    return at


def piece(pieces: Pieces, at: int) -> str:
    """A piece, empty where there is none."""
    return pieces[at] if 0 <= at < len(pieces) else ""


def closing(pieces: Pieces, at: int) -> int:
    """The bracket that closes the one at `at`; the last piece where none does."""
    opens, closes, depth = pieces[at], _CLOSE[pieces[at]], 0
    for place in range(at, len(pieces)):
        depth += (pieces[place] == opens) - (pieces[place] == closes)
        if depth == 0:
            return place
    return len(pieces) - 1


def opening(pieces: Pieces, at: int) -> int:
    """The bracket that the one at `at` closes; 0 where none does."""
    closes, opens, depth = pieces[at], _OPEN[pieces[at]], 0
    for place in range(at, -1, -1):
        depth += (pieces[place] == closes) - (pieces[place] == opens)
        if depth == 0:
            return place
    return 0


def ends_operand(text: str) -> bool:
    """Whether a piece may be the end of an operand: what follows it is then an operator between two."""
    if not text:
        return False
    if text in (")", "]"):
        return True
    if is_name(text) and not text.startswith('"'):
        return text.upper() not in _NO_FUNCTION
    return text[0] in "'\"$?:@" or text[0].isalnum() or text[-1] in "')"


def operand_start(pieces: Pieces, end: int) -> int:
    """Where the operand begins that ends at `end`: a literal, `a.b`, `f(…)`, `(…)`, `x[1]`, `CASE … END`."""
    text = pieces[end]
    if text == "]":
        return operand_start(pieces, max(before(pieces, opening(pieces, end)), 0))
    if text == ")":
        start = opening(pieces, end)
        previous = before(pieces, start)
        name = piece(pieces, previous)
        return _chain_start(pieces, previous) if is_name(name) and name.upper() not in _NO_FUNCTION else start
    if is_word(text, "END"):
        return _case_start(pieces, end)
    return _chain_start(pieces, end)


def _chain_start(pieces: Pieces, at: int) -> int:
    """The beginning of `a.b.c`, of which `at` is the last name."""
    dot = before(pieces, at)
    while piece(pieces, dot) == "." and before(pieces, dot) >= 0:
        at = before(pieces, dot)
        dot = before(pieces, at)
    return at


def _case_start(pieces: Pieces, end: int) -> int:
    depth = 0
    for place in range(end, -1, -1):
        depth += is_word(pieces[place], "END") - is_word(pieces[place], "CASE")
        if depth == 0:
            return place
    return end


def joined(pieces: Pieces, start: int, end: int) -> str:
    """The pieces from `start` up to and with `end`, as text."""
    return "".join(pieces[start : end + 1])
