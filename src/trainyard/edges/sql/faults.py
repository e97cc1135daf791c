"""Every error on its way to an SQL client: of SQLite, of the service, of ours; one table for each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import apsw
import orjson

from trainyard.core.errors import HTTP_STATUS, ApiError, Code
from trainyard.edges.faults import http_answer
from trainyard.edges.sql.database import refused
from trainyard.edges.sql.errors import (
    CANCELLED,
    FORBIDDEN,
    INTERNAL,
    NOT_SUPPORTED,
    SYNTAX_ERROR,
    TOO_MUCH,
    UNDEFINED,
    UNDEFINED_COLUMN,
    WRONG_TYPE,
    SqlError,
)

_OF_API: Final = {
    Code.INVALID_ARGUMENT: WRONG_TYPE,
    Code.FAILED_PRECONDITION: "55000",
    Code.OUT_OF_RANGE: WRONG_TYPE,
    Code.UNAUTHENTICATED: "28000",
    Code.PERMISSION_DENIED: FORBIDDEN,
    Code.NOT_FOUND: "02000",
    Code.ALREADY_EXISTS: "42710",
    Code.ABORTED: "40001",
    Code.RESOURCE_EXHAUSTED: "53000",
    Code.CANCELLED: CANCELLED,
    Code.UNIMPLEMENTED: NOT_SUPPORTED,
    Code.UNAVAILABLE: "57P03",
    Code.DEADLINE_EXCEEDED: CANCELLED,
}
_OF_SQLITE: Final = {
    apsw.ConstraintError: "23000",
    apsw.TooBigError: TOO_MUCH,
    apsw.FullError: "53100",
    apsw.NoMemError: TOO_MUCH,
    apsw.BusyError: "55006",
    apsw.LockedError: "55006",
    apsw.MismatchError: WRONG_TYPE,
    apsw.IOError: "58030",
    apsw.ReadOnlyError: "25006",
    apsw.CorruptError: "XX001",
    apsw.NotADBError: "XX001",
}
_NO_TABLE: Final = re.compile(r"no such (?:table|view): (?:main\.)?(.+)")
_NO_COLUMN: Final = re.compile(r"no such column: (.+)")


def of_service(error: ApiError) -> SqlError:
    """The service's refusal, worded as StackQL tells of an HTTP answer: wrappers look for that."""
    status, body = http_answer(error)
    compact = orjson.dumps(orjson.loads(body)).decode()
    return SqlError(
        _OF_API.get(error.code, INTERNAL),
        f"http response status code: {HTTP_STATUS[error.code]}, response body: {compact}",
        hint=_way_out(error),
        detail="; ".join(f"{each.field}: {each.description}" for each in error.violations) or str(status),
    )


def _way_out(error: ApiError) -> str:
    if error.code is Code.PERMISSION_DENIED:
        return "Ask whoever runs this server for a role that may, in that project."
    return error.message if len(error.message) < 400 else ""


def of_sqlite(error: apsw.Error, denied: str, names: Iterable[str]) -> SqlError:
    """SQLite's error. `denied` is what the authorizer said no to, `names` the tables that there are."""
    text = str(error).removeprefix("SQLError: ")
    if isinstance(error, apsw.AuthError) or (denied and "not authorized" in text):
        return refused(denied or "This statement")
    if found := _NO_TABLE.search(text):
        hint = f"The tables are: {', '.join(names)}. SHOW RESOURCES IN google.aiplatform lists them too."
        return SqlError(UNDEFINED, f'relation "{found[1]}" does not exist', hint=hint)
    if found := _NO_COLUMN.search(text):
        hint = "DESCRIBE <table> lists the columns; a text goes in single quotes."
        return SqlError(UNDEFINED_COLUMN, f'column "{found[1]}" does not exist', hint=hint)
    if "syntax error" in text or "incomplete input" in text or "unrecognized token" in text:
        return SqlError(SYNTAX_ERROR, f"syntax error: {text.replace(': syntax error', '')}")
    for kind, sqlstate in _OF_SQLITE.items():
        if isinstance(error, kind):
            return SqlError(sqlstate, text)
    return SqlError(SYNTAX_ERROR if isinstance(error, apsw.SQLError) else INTERNAL, text)
