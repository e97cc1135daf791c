"""SQL text as tokens: StackQL's comments, hints and strings; where one statement ends and the next begins.

Strings take MySQL's backslash escapes, but for one that is a JSON object or list as it stands: that keeps its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from trainyard.edges.sql.errors import SYNTAX_ERROR, TOO_MUCH, SqlError

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<hint>/\*\+.*?\*/)
    | (?P<comment>--[^\n]*|\#[^\n]*|//[^\n]*|/\*.*?\*/)
    | (?P<string>[eE]?'(?:[^'\\]|''|\\.)*')
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<blob>[xX]'[0-9a-fA-F]*')
    | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<parameter>\?\d*|\$\d+|@@?\w+|:(?!:)\w+)
    | (?P<operator>->>|->|::|<>|<=|>=|!=|==|\|\||<<|>>|!~~?\*?|/(?!\*)|[-+*%&|~<>=(),.;!\[\]{}^:@])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "0": "\0", "Z": "\x1a"}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
MOST_TOKENS: Final = 300_000
_UNCLOSED: Final = {"'": "string", '"': "quoted name", "/": "comment"}
_BLANK: Final = re.compile(r"\s*\{\{\s*\.?([\w.$]+)\s*\}\}\s*")
_QUOTING: Final = re.compile(r"""["\\#`{\[]|--|/[/*]""")
BLANK: Final = frozenset({"space", "comment", "hint"})


class Token(NamedTuple):
    """One token. `value` is what it means: a string's content, a quoted name without quotes, else the text itself."""

    kind: str
    text: str
    start: int
    value: str

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords (given in capitals), not in quotes."""
        return self.kind == "word" and self.text.upper() in words

    @property
    def is_name(self) -> bool:
        """Whether it may name something."""
        return self.kind in ("word", "quoted")


def tokens_of(sql: str) -> list[Token]:
    """Every token, blanks and comments too; raises SqlError where the text is not SQL, or too long."""
    found, at = list[Token](), 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:
            raise _not_sql(sql, at)
        kind, text = str(match.lastgroup), match.group()
        found.append(Token(kind, text, at, _value(kind, text)))
        at = match.end()
        if len(found) > MOST_TOKENS:
            hint = "Send it in parts, or its values as parameters."
            raise SqlError(TOO_MUCH, f"the statement has more than {MOST_TOKENS:,} words and marks", hint=hint)
    return found


def split(sql: str) -> list[str]:
    """The statements of a text without their semicolons; blank ones and bare comments are left out.

    A text that is one statement by sight is not looked into: what is wrong with it is told by whoever runs it.
    """
    if ";" not in sql and sql[:1].isalpha() and sql.count("'") % 2 == 0 and not _QUOTING.search(sql):
        return [sql.strip()]
    return [sql[part[0].start : part[-1].start + len(part[-1].text)].strip() for part in _parts(tokens_of(sql))]


def statement_tokens(sql: str) -> list[Token]:
    """The tokens of one statement without blanks; hints stay. Raises SqlError where there are several statements."""
    parts = list(_parts(tokens_of(sql)))
    if len(parts) > 1:
        raise SqlError(SYNTAX_ERROR, "This is more than one statement; send them one at a time.")
    found = [token for token in (parts[0] if parts else []) if token.kind not in ("space", "comment")]
    for at, token in enumerate(found):
        blank = _BLANK.fullmatch(token.value) if token.kind == "string" else None
        name = blank[1] if blank else _bare_blank(found[at : at + 4]) if token.text == "{" else ""
        if name:
            message = f"syntax error: {{{{ {name} }}}} has not been filled in."
            hint = f"Give {name} a value (--var {name}=…, or --iqldata), or write the value there."
            raise SqlError(SYNTAX_ERROR, message, hint=hint, position=token.start + 1)
    return found


def _bare_blank(tokens: Sequence[Token]) -> str:
    """The name in `{{ name }}` outside of quotes; empty where these tokens are something else."""
    texts = [token.text for token in tokens]
    return next((text for text in texts[2:] if text != "."), "") if texts[:2] == ["{", "{"] else ""


def words_of(tokens: Sequence[Token]) -> frozenset[str]:
    """The words of a statement outside of quotes, in capitals."""
    return frozenset(token.text.upper() for token in tokens if token.kind == "word")


def _parts(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    part: list[Token] = []
    for token in tokens:
        if token.text == ";" and token.kind == "operator":
            if any(each.kind not in BLANK for each in part):
                yield part
            part = []
        else:
            part.append(token)
    if any(each.kind not in BLANK for each in part):
        yield part


def _value(kind: str, text: str) -> str:
    if kind == "quoted":
        return text[1:-1].replace('""', '"')
    if kind != "string":
        return text
    raw = text[text.index("'") + 1 : -1].replace("''", "'")
    if "\\" not in raw or is_json(raw):
        return raw
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), raw)


def is_json(text: str) -> bool:
    """Whether it is the text of a JSON object or list."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _not_sql(sql: str, at: int) -> SqlError:
    first = sql[at]
    if first in _UNCLOSED:
        return SqlError(SYNTAX_ERROR, f"syntax error: this {_UNCLOSED[first]} is never closed.", position=at + 1)
    hint = 'Names go in double quotes: "name".' if first in "`[" else ""
    return SqlError(SYNTAX_ERROR, f"syntax error: {first!r} has no meaning here.", hint=hint, position=at + 1)
