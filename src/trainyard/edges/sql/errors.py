"""What an SQL client is told when a statement cannot be carried out: one class, with a SQLSTATE and a way out."""

from __future__ import annotations

from typing import Final

SYNTAX_ERROR: Final = "42601"
UNDEFINED: Final = "42P01"
UNDEFINED_COLUMN: Final = "42703"
FORBIDDEN: Final = "42501"
WRONG_TYPE: Final = "22023"
NOT_SUPPORTED: Final = "0A000"
CANCELLED: Final = "57014"
TOO_MUCH: Final = "54000"
INTERNAL: Final = "XX000"


class SqlError(Exception):
    """A statement that failed as a whole. `position` counts characters of the statement from 1; 0: not known.

    Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html.
    """

    def __init__(self, sqlstate: str, message: str, *, hint: str = "", detail: str = "", position: int = 0) -> None:
        """Keep the sentence for people and the code for programs."""
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.hint = hint
        self.detail = detail
        self.position = position
