"""A query that comes again with other ids is known again: ids written in it become parameters; nothing else changes.

Only what follows `…sId =` in the WHERE of a single SELECT is lifted, and only out of a text without quoting that would
need a lexer. A lifted value leaves its width, so that errors name the place where the client wrote something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

LONGEST: Final = 1000
"""Characters of a statement that is worth knowing again; others may be as long as a manifest."""
_MOST_LIFTED: Final = 9  # their numbers have one digit: `$9` fits into the narrowest literal that there is, 'x'
_HEAD: Final = re.compile(r"\s*SELECT\b[^']*?\bFROM\b[^']*?\bWHERE\b", re.IGNORECASE)
_LEFT_ALONE: Final = re.compile(
    r"""["\\#;`{\[?@]|--|/[/*]|''|::|[$:]\w|\bSELECT\b.*?\bSELECT\b""", re.IGNORECASE | re.DOTALL
)
_LITERAL: Final = re.compile(r"(\b\w+sId\s*=\s*)?'([^']*)'", re.IGNORECASE)


def lifted(sql: str, parameters: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """The statement and its values with ids among the values; as given where that could mean anything else."""
    if parameters or len(sql) > LONGEST or not _HEAD.match(sql) or _LEFT_ALONE.search(sql):
        return sql, parameters
    values: list[str] = []

    def number(found: re.Match[str]) -> str:
        before, value = found.groups()
        if before is None or len(values) == _MOST_LIFTED or "\0" in value:
            return found[0]
        values.append(value)
        return before + f"${len(values)}".ljust(len(value) + 2)

    return _LITERAL.sub(number, sql), values
