"""One statement in our tokens becomes the text that SQLite runs: names joined, strings decoded, parameters numbered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from trainyard.edges.sql.errors import SYNTAX_ERROR, UNDEFINED, SqlError
from trainyard.edges.sql.lexer import Token
from trainyard.edges.sql.names import Chain, quoted, table_name
from trainyard.edges.sql.resources import PROVIDER

_CAST = re.compile(r"\w+", re.ASCII)


class Translator:
    """Turns tokens into SQLite's SQL. `renamed` gives tables another name: what is written stays their alias."""

    def __init__(self, provider: str = "", renamed: Mapping[str, str] | None = None) -> None:
        """`provider`: the one of USE, whose name may be left out."""
        self._provider = provider
        self._renamed = dict(renamed or {})

    def text(self, tokens: Sequence[Token]) -> str:
        """The whole as SQL, spaced as it was written; raises SqlError on what no SQL has."""
        return "".join(self._pieces(tokens))

    def _pieces(self, tokens: Sequence[Token]) -> Iterator[str]:
        for start, piece in self._spoken(tokens):
            if start and _apart(tokens[start - 1], tokens[start]):
                yield " "
            yield piece

    def _spoken(self, tokens: Sequence[Token]) -> Iterator[tuple[int, str]]:
        """Pieces of SQL, each with the index of its first token."""
        at = 0
        while at < len(tokens):
            token = tokens[at]
            if token.text == "::" and at + 1 < len(tokens):
                at = _after_cast(tokens, at + 1)
                continue
            if token.is_name and not (at and tokens[at - 1].text == "."):
                chain = Chain(tokens, at)
                yield at, self._name(chain, tokens[at], tokens[at - 1] if at else None)
                at = chain.end
                continue
            at += 1
            if token.kind != "hint":
                yield at - 1, _PIECES.get(token.kind, _as_it_is)(token)

    def _name(self, chain: Chain, first: Token, before: Token | None) -> str:
        table = table_name(chain.parts, self._provider)
        if table is None:
            if len(chain.parts) > 2 and before is not None and before.is_word("FROM", "JOIN", "INTO"):
                raise SqlError(
                    UNDEFINED,
                    f"There is no provider {chain.parts[0]!r} here; there is {PROVIDER}.",
                    position=first.start + 1,
                )
            if len(chain.parts) == 1 and first.kind == "word":
                return first.text
            return ".".join(map(quoted, chain.parts)) if len(chain.parts) > 1 else quoted(first.value)
        name, taken = table
        rest = "".join(f".{quoted(part)}" for part in chain.parts[taken:])
        other = self._renamed.get(name)
        if other and not rest and before is not None and before.is_word("FROM", "JOIN"):
            return quoted(other)
        return quoted(name) + rest


def _apart(one: Token, other: Token) -> bool:
    """Whether there was something between two tokens, or has to be: made ones stand nowhere."""
    return other.start != one.start + len(one.text) or one.kind != "operator" != other.kind


def _after_cast(tokens: Sequence[Token], at: int) -> int:
    """Where a cast's type (`varchar(20)`, `pg_catalog.regclass`, `text[]`) ends; values have types of their own."""
    if not tokens[at].is_name:
        raise SqlError(SYNTAX_ERROR, "syntax error: a type is expected after `::`.", position=tokens[at].start + 1)
    at = Chain(tokens, at).end
    for opening, closing in (("(", ")"), ("[", "]")):
        if at < len(tokens) and tokens[at].text == opening:
            while at < len(tokens) and tokens[at].text != closing:
                at += 1
            at += 1
    return at


def _as_it_is(token: Token) -> str:
    if token.text in ("[", "{", "}", "]", "^", "@", ":", "::", "!", "!~", "!~*"):
        hint = 'Names go in double quotes: "name".' if token.text == "[" else ""
        raise SqlError(SYNTAX_ERROR, f"syntax error at or near {token.text!r}.", hint=hint, position=token.start + 1)
    return token.text


def _literal(token: Token) -> str:
    return literal(token.value)


def literal(value: str) -> str:
    """A text as SQLite reads it. Raises SqlError on a NUL, which no SQL text holds."""
    if "\0" in value:
        raise SqlError(SYNTAX_ERROR, "syntax error: a string must not contain a NUL character.")
    return "'" + value.replace("'", "''") + "'"


def _parameter(token: Token) -> str:
    if token.text.startswith("$"):
        return f"?{token.text[1:]}"
    if token.text.startswith("@"):
        raise SqlError(SYNTAX_ERROR, f"syntax error: {token.text} is for EXEC only.", position=token.start + 1)
    return token.text


_PIECES: Mapping[str, Callable[[Token], str]] = {"string": _literal, "parameter": _parameter}
