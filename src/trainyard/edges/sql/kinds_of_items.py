"""What kind of value an expression gives, told from its tokens: for clients that ask before anything has run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from trainyard.edges.sql.answers import kind_of
from trainyard.edges.sql.lexer import Token

_WHOLE: Final = frozenset(
    {"COUNT", "LENGTH", "INSTR", "UNICODE", "ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "SIGN", "JSON_ARRAY_LENGTH",
     "JSON_VALID", "REGEXP_LIKE", "JSON_EQUAL", "LAST_INSERT_ROWID", "CHANGES", "OCTET_LENGTH"}
)  # fmt: skip
_REAL: Final = frozenset({"AVG", "TOTAL", "PERCENT_RANK", "CUME_DIST", "JULIANDAY", "SQRT", "PI", "LN", "LOG", "EXP"})
_COMPARISONS: Final = frozenset({"=", "==", "<>", "!=", "<", ">", "<=", ">="})
_END: Final = ("FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "WINDOW", "HAVING")


def items_of(tokens: Sequence[Token]) -> list[list[Token]]:
    """The items of a select list, from the first SELECT to what ends it; empty where there is none."""
    start = next((at for at, token in enumerate(tokens) if token.is_word("SELECT")), None)
    if start is None or tokens[0].is_word("WITH"):
        return []
    items: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[start + 1 :]:
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0 or (depth == 0 and token.is_word(*_END)):
            break
        if depth == 0 and token.text == ",":
            items.append([])
        elif not (token.is_word("DISTINCT", "ALL") and not items[-1]):
            items[-1].append(token)
    return items


def kind_of_item(item: Sequence[Token]) -> str:
    """`bigint`, `double`, `text`, or empty where the tokens do not say it."""
    depth, outer = 0, []
    for token in item:
        depth -= token.text == ")"
        if depth == 0:
            outer.append(token)
        depth += token.text == "("
    outer = [token for token in outer if token.kind not in ("hint",)]
    if any(token.text in _COMPARISONS or token.is_word("LIKE", "IN", "IS", "BETWEEN", "EXISTS") for token in outer):
        return "" if any(token.is_word("CASE") for token in outer) else "bigint"
    if not outer or any(token.text in ("->", "->>", "||", "::") or token.is_word("CASE") for token in outer):
        return "text" if any(token.text == "||" for token in outer) else ""
    operands = _operands(item)
    if len(operands) > 1:
        kinds = {kind_of_item(operand) for operand in operands}
        return ("double" if "double" in kinds else "bigint") if kinds <= {"bigint", "double"} else ""
    if outer[0].is_word("CAST"):
        return _of_cast(item)
    return _of_one(outer[0])


def _operands(item: Sequence[Token]) -> list[list[Token]]:
    """What arithmetic stands between, at the outermost level; the alias behind the last one does no harm."""
    depth, found = 0, [list[Token]()]
    for token in item:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.kind == "operator" and token.text in ("+", "-", "*", "/", "%") and found[-1]:
            found.append([])
        else:
            found[-1].append(token)
    return found


def _of_cast(item: Sequence[Token]) -> str:
    """The kind of `CAST(… AS type)`, as SQLite's affinities have it."""
    depth, kind = 0, ""
    for token, behind in pairwise(item):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 1 and token.is_word("AS"):
            kind = kind_of(behind.text)
    return kind


def _of_one(first: Token) -> str:
    if first.kind == "number":
        return "bigint" if first.text.isdecimal() else "double"
    if first.kind == "string":
        return "text"
    return "bigint" if first.is_word(*_WHOLE) else "double" if first.is_word(*_REAL) else ""
