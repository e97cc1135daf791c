"""What a client is told went wrong: SQLSTATE, sentence, hint, detail and place, as PostgreSQL's clients show them.

An edge translates an error and never chooses one; what nobody foresaw is told by an id that the log has.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from trainyard.core.errors import ApiError, Code
from trainyard.edges.faults import unforeseen
from trainyard.edges.sql.errors import INTERNAL, SqlError
from trainyard.edges.sql.pgwire.messages import ProtocolFault, report

PROTOCOL_VIOLATION: Final = "08P01"
_OF_CODE: Final[Mapping[Code, str]] = {
    Code.UNAUTHENTICATED: "28P01",
    Code.PERMISSION_DENIED: "42501",
    Code.INVALID_ARGUMENT: "28P01",  # only access is asked here, and it says so of a bad API key
    Code.UNAVAILABLE: "57P03",
}

log = logging.getLogger("trainyard.sql")


def error_report(error: Exception, *, fatal: bool = False, position: int = 0) -> bytes:
    """ErrorResponse. `position` is where the statement begins in what the client sent, in characters from 0."""
    told = _as_sql(error)
    severity = "FATAL" if fatal else "ERROR"
    where = str(told.position + position) if told.position else ""
    fields = {"S": severity, "V": severity, "C": told.sqlstate, "M": told.message, "D": told.detail, "H": told.hint}
    return report(b"E", {**fields, "P": where})


def notice(message: str, *, severity: str = "NOTICE", sqlstate: str = "00000", hint: str = "") -> bytes:
    """NoticeResponse."""
    return report(b"N", {"S": severity, "V": severity, "C": sqlstate, "M": message, "H": hint})


def _as_sql(error: Exception) -> SqlError:
    if isinstance(error, SqlError):
        return error
    if isinstance(error, ProtocolFault):
        return SqlError(PROTOCOL_VIOLATION, str(error))
    if isinstance(error, ApiError):
        return SqlError(_OF_CODE.get(error.code, INTERNAL), error.message)
    return SqlError(INTERNAL, unforeseen("an SQL client's request", log).message)
