"""PostgreSQL's spellings that SQLite has not, in a statement's text: casts, regular expressions, arrays, names.

A statement without any such mark comes back as it was. Strings and quoted names are never looked into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from trainyard.edges.sql.catalogue.functions import NAMES
from trainyard.edges.sql.catalogue.pieces import (
    Pieces,
    after,
    before,
    closing,
    ends_operand,
    is_name,
    is_word,
    joined,
    operand_start,
    piece,
)
from trainyard.edges.sql.errors import TOO_MUCH, SqlError
from trainyard.edges.sql.lexer import tokens_of

_MARKS: Final = re.compile(
    r"::|~|\b(?:pg_|OPERATOR\s*\(|ARRAY\b|ANY\s*\(|ALL\s*\(|COLLATE\b|current_|session_user\b|ILIKE\b"
    r"|AS\s+reg|AS\s+bool|bool_|every\s*\(|LATERAL\b|unnest\s*\(|generate_series\b|public\s*\.)",
    re.IGNORECASE,
)
_MOST_PIECES: Final = 20_000
_NUMBERS: Final = {
    **dict.fromkeys(("int", "int2", "int4", "int8", "integer", "smallint", "bigint", "oid", "xid"), "INTEGER"),
    **dict.fromkeys(("float", "float4", "float8", "real", "double"), "REAL"),
    **dict.fromkeys(("numeric", "decimal"), "NUMERIC"),
    **dict.fromkeys(("text", "varchar", "char", '"char"', "character", "name", "bpchar", "uuid"), "TEXT"),
}
_OBJECTS: Final = frozenset({"regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole"})
_MORE_OF_TYPE: Final = frozenset({"PRECISION", "VARYING", "WITH", "WITHOUT", "TIME", "ZONE"})
_OURS: Final = frozenset({"NOCASE", "BINARY", "RTRIM"})
_REGEX: Final[Mapping[str, str]] = {
    "~": "REGEXP",
    "!~": "NOT REGEXP",
    "~*": "REGEXP '(?i)' ||",
    "!~*": "NOT REGEXP '(?i)' ||",
    "~~": "LIKE",
    "!~~": "NOT LIKE",
    "~~*": "LIKE",
    "!~~*": "NOT LIKE",
}
_VALUES: Final[Mapping[str, str]] = {
    "CURRENT_CATALOG": "current_database()",
    "CURRENT_SCHEMA": "current_schema()",
    "CURRENT_USER": "current_user()",
    "CURRENT_ROLE": "current_user()",
    "SESSION_USER": "current_user()",
}
_SELECTED: Final = "(WITH _a(v) AS ({}) SELECT array_agg(v) FROM _a)"
_UNNESTED: Final = "(SELECT value AS {0} FROM json_each({1})) AS {2}"
_LISTS: Final = {"UNNEST": "pg_array_json", "GENERATE_SERIES": "pg_series"}
_RENAMED: Final = {"LATERAL": "", "ILIKE": "LIKE", "BOOL_AND": "min", "EVERY": "min", "BOOL_OR": "max"}
_EACH: Final = "(SELECT value FROM json_each(pg_array_json("


def rewrite(sql: str) -> str:
    """The statement as SQLite reads it; raises SqlError where the text is not SQL."""
    if not _MARKS.search(sql):
        return sql
    pieces = [each.text for each in tokens_of(sql) if each.kind != "comment"]
    if len(pieces) > _MOST_PIECES:
        raise SqlError(
            TOO_MUCH, "the statement is too long for PostgreSQL's spellings; write CAST(x AS type) for x::type"
        )
    for step in (_names, _collations, _operators, _arrays, _casts, _standard_casts, _elements, _quantified, _unnested):
        step(pieces)
    return "".join(pieces)


def _names(pieces: Pieces) -> None:
    """`pg_catalog.x` is `x`, `public.v` is `v`; words that are functions without brackets get theirs."""
    for at, text in enumerate(pieces):
        dot = after(pieces, at)
        follows = piece(pieces, dot)
        alone = piece(pieces, before(pieces, at)) != "."
        if follows == "." and alone and is_word(text.strip('"'), "PG_CATALOG", "PUBLIC"):
            name = after(pieces, dot)
            pieces[at] = pieces[dot] = ""
            if is_word(piece(pieces, name), "PG_GET_KEYWORDS"):
                _as_table(pieces, name)
        elif alone and follows not in ("(", ".") and is_word(text, *_VALUES):
            pieces[at] = _VALUES[text.upper()]
        elif is_word(text, *_RENAMED):
            pieces[at] = _RENAMED[text.upper()]


def _as_table(pieces: Pieces, name: int) -> None:
    """A function without arguments that stands in FROM is a table here."""
    start = after(pieces, name)
    pieces[name : closing(pieces, start) + 1] = [pieces[name]]


def _collations(pieces: Pieces) -> None:
    """`COLLATE pg_catalog.default` and `COLLATE "C"`: SQLite compares so by itself."""
    for at, text in enumerate(pieces):
        if not is_word(text, "COLLATE"):
            continue
        end = after(pieces, at)
        if piece(pieces, after(pieces, end)) == ".":
            end = after(pieces, after(pieces, end))
        if end < len(pieces) and pieces[end].strip('"').upper() not in _OURS:
            pieces[at : end + 1] = [""] * (end + 1 - at)


def _operators(pieces: Pieces) -> None:
    """`OPERATOR(pg_catalog.~)` is `~`; a regular expression's operators are REGEXP."""
    for at, text in enumerate(pieces):
        if is_word(text, "OPERATOR") and piece(pieces, after(pieces, at)) == "(":
            end = closing(pieces, after(pieces, at))
            operator = pieces[before(pieces, end)]
            pieces[at : end + 1] = [operator] + [""] * (end - at)
    for at in range(len(pieces) - 1, 0, -1):
        if pieces[at] in ("~", "*") and pieces[at - 1] in ("~", "~~"):
            pieces[at - 1 : at + 1] = [pieces[at - 1] + pieces[at], ""]
    for at, text in enumerate(pieces):
        if text in _REGEX and ends_operand(piece(pieces, before(pieces, at))):
            pieces[at] = f" {_REGEX[text]} "


def _arrays(pieces: Pieces) -> None:
    """`ARRAY[…]` and `ARRAY(SELECT …)`, innermost first."""
    for at in range(len(pieces) - 1, -1, -1):
        start = after(pieces, at)
        opens = piece(pieces, start)
        if not is_word(pieces[at], "ARRAY") or opens not in ("[", "("):
            continue
        end = closing(pieces, start)
        inside = rewrite(joined(pieces, start + 1, end - 1))
        made = f"pg_array({inside})" if opens == "[" else _SELECTED.format(inside)
        _replace(pieces, at, end, made)


def _casts(pieces: Pieces) -> None:
    """`operand::type`, from the left, so that what is cast twice is cast in order."""
    at = 0
    while at < len(pieces):
        if pieces[at] != "::":
            at += 1
            continue
        end = before(pieces, at)
        start = operand_start(pieces, end) if end >= 0 else 0
        name, last = _type(pieces, after(pieces, at))
        made = _cast(rewrite(joined(pieces, start, end).strip()), name)
        pieces[start : last + 1] = [made]
        at = start + 1


def _standard_casts(pieces: Pieces) -> None:
    """`CAST(x AS regclass)` and its like, whose types SQLite would take for numbers."""
    for at in range(len(pieces) - 1, -1, -1):
        start = after(pieces, at)
        if not is_word(pieces[at], "CAST") or piece(pieces, start) != "(":
            continue
        end = closing(pieces, start)
        word = next((place for place in range(end, start, -1) if is_word(pieces[place], "AS")), start)
        name = _type(pieces, after(pieces, word))[0]
        if name not in _NUMBERS and word > start:
            _replace(pieces, at, end, _cast(rewrite(joined(pieces, start + 1, word - 1).strip()), name))


def _elements(pieces: Pieces) -> None:
    """`array[n]`."""
    for at in range(len(pieces) - 1, 0, -1):
        end = before(pieces, at)
        if pieces[at] == "[" and end >= 0 and ends_operand(pieces[end]):
            start, last = operand_start(pieces, end), closing(pieces, at)
            of, which = joined(pieces, start, end), joined(pieces, at + 1, last - 1)
            _replace(pieces, start, last, f"pg_element({rewrite(of)}, {rewrite(which)})")


def _type(pieces: Pieces, at: int) -> tuple[str, int]:
    """The type's name (`text[]` for an array) and its last piece."""
    if piece(pieces, after(pieces, at)) == ".":
        at = after(pieces, after(pieces, at))
    name, last = piece(pieces, at).lower(), at
    while (more := after(pieces, last)) < len(pieces) and is_word(pieces[more], *_MORE_OF_TYPE):
        last = more
    if piece(pieces, more) == "(":
        last = closing(pieces, more)
    while piece(pieces, after(pieces, last)) == "[":
        last = closing(pieces, after(pieces, last))
        name += "[]"
    return name, last


def _cast(operand: str, name: str) -> str:
    if name in _OBJECTS:
        literal = operand[:1] in ("'", "$", "?", ":", "@")
        return f"pg_{'oid_of' if literal else 'name_of'}('{name}', {operand})"
    if name in ("bool", "boolean"):
        return f"pg_bool({operand})"
    if name.endswith("[]") and _NUMBERS.get(name[:-2], "TEXT") != "TEXT" and not operand.startswith("pg_array("):
        return f"pg_numbers({operand})"
    affinity = _NUMBERS.get(name)
    return f"CAST({operand} AS {affinity})" if affinity else operand


def _quantified(pieces: Pieces) -> None:
    """`= ANY(…)` is IN, `<> ALL(…)` is NOT IN; the array may be a parameter, a column or a literal."""
    for at in range(len(pieces) - 1, -1, -1):
        start = after(pieces, at)
        if not is_word(pieces[at], "ANY", "SOME", "ALL") or piece(pieces, start) != "(":
            continue
        operator = before(pieces, at)
        wanted = ("=",) if not is_word(pieces[at], "ALL") else ("<>", "!=")
        if piece(pieces, operator) not in wanted:
            continue
        end = closing(pieces, start)
        inside = rewrite(joined(pieces, start + 1, end - 1).strip())
        listed = re.fullmatch(r"pg_array(\(.*\))", inside, re.DOTALL)
        subquery = listed or re.match(r"\(*\s*(?:SELECT|WITH|VALUES)\b", inside, re.IGNORECASE)
        word = " IN " if wanted == ("=",) else " NOT IN "
        items = listed[1] if listed else f"({inside})" if subquery else f"{_EACH}{inside})))"
        _replace(pieces, operator, end, word + items)


def _unnested(pieces: Pieces) -> None:
    """`FROM unnest(array) x`, `generate_series(1, 9) AS t(x)`: a table of one column, which the alias names too."""
    for at in range(len(pieces) - 1, -1, -1):
        start = after(pieces, at)
        if not is_word(pieces[at], *_LISTS) or piece(pieces, start) != "(":
            continue
        if not is_word(piece(pieces, before(pieces, at)), "FROM", "JOIN", ","):
            continue
        end = closing(pieces, start)
        inside = f"{_LISTS[pieces[at].upper()]}({rewrite(joined(pieces, start + 1, end - 1))})"
        alias = after(pieces, end)
        if is_word(piece(pieces, alias), "AS"):
            alias = after(pieces, alias)
        table, end = (pieces[alias], alias) if is_name(piece(pieces, alias)) else (pieces[at], end)
        column = table
        if piece(pieces, after(pieces, end)) == "(":
            column, end = piece(pieces, after(pieces, after(pieces, end))), closing(pieces, after(pieces, end))
        _replace(pieces, at, end, _UNNESTED.format(column, inside, table))


def _replace(pieces: Pieces, start: int, end: int, made: str) -> None:
    """One expression in place of the pieces that it was made of; their number stays."""
    pieces[start : end + 1] = [made] + [""] * (end - start)


def needs_catalogue(sql: str) -> bool:
    """Whether a rewritten statement may ask the catalogue's tables or functions, so that the session must have them."""
    lowered = sql.lower()
    called = _CALL.findall(lowered) if "(" in lowered else ()
    return "pg_" in lowered or "information_schema" in lowered or not _CALLED.isdisjoint(called)


_CALL: Final = re.compile(r"(\w+)\s*\(")
_CALLED: Final = frozenset({*NAMES, "array_agg"})
