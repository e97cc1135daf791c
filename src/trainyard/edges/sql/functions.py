"""SQL functions that StackQL has and SQLite has not. Regular expressions are RE2's: no pattern can hold the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from trainyard.edges.sql.errors import WRONG_TYPE, SqlError

Value = str | int | float | bytes | None


def split_part(text: Value, separator: Value, part: Value) -> str | None:
    """The `part`th piece, from 1; a negative one counts from the end; empty where there is none."""
    if text is None or separator is None or part is None:
        return None
    if not isinstance(part, int) or part == 0:
        raise SqlError(WRONG_TYPE, f"split_part: the third value must be a whole number other than 0, not {part!r}.")
    pieces = str(text).split(str(separator)) if separator != "" else [str(text)]
    index = part - 1 if part > 0 else part
    return pieces[index] if -len(pieces) <= index < len(pieces) else ""


def json_equal(one: Value, other: Value) -> int | None:
    """Whether two JSON texts say the same, whatever the order of their keys."""
    if one is None or other is None:
        return None
    try:
        return int(json.loads(one) == json.loads(other))  # type: ignore[arg-type]  # a number is refused like a bad text
    except (ValueError, TypeError, RecursionError):
        return int(one == other)


def string(value: Value) -> Value:
    """The value itself: it says that a text is meant as one, whatever it looks like."""
    return value


def regexp_like(text: Value, pattern: Value) -> int | None:
    """Whether the pattern is found anywhere in the text."""
    if text is None or pattern is None:
        return None
    return int(_compiled(str(pattern)).search(str(text)) is not None)


def regexp(pattern: Value, text: Value) -> int | None:
    """`text REGEXP pattern`."""
    return regexp_like(text, pattern)


def regexp_substr(text: Value, pattern: Value) -> str | None:
    """The first piece of the text that is of the pattern."""
    if text is None or pattern is None:
        return None
    found = _compiled(str(pattern)).search(str(text))
    return None if found is None else str(found.group())


def regexp_replace(text: Value, pattern: Value, replacement: Value) -> str | None:
    r"""The text with every piece that is of the pattern replaced; `\1` stands for its first group."""
    if text is None or pattern is None or replacement is None:
        return None
    compiled = _compiled(str(pattern))
    try:
        return str(compiled.sub(str(replacement), str(text)))
    except Exception as error:
        raise SqlError(WRONG_TYPE, f"regexp_replace: {replacement!r} is not a replacement ({error}).") from None


FUNCTIONS: Final[Mapping[str, tuple[Callable[..., Any], int]]] = {
    "split_part": (split_part, 3),
    "json_equal": (json_equal, 2),
    "aws_policy_equal": (json_equal, 2),
    "string": (string, 1),
    "regexp": (regexp, 2),
    "regexp_like": (regexp_like, 2),
    "regexp_substr": (regexp_substr, 2),
    "regexp_replace": (regexp_replace, 3),
}
"""By name, with the number of values that each takes."""


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Any:
    import re2  # noqa: PLC0415 - 30 ms that most servers never need

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 4 * 1024 * 1024
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0]
        why = why.decode() if isinstance(why, bytes) else why
        raise SqlError(WRONG_TYPE, f"{pattern!r} is not a regular expression that RE2 reads: {why}.") from None
