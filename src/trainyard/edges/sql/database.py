"""A session's own SQLite: tables of the API and of its owner's making in it, and no way out of it.

The owner's views and tables are a file of their own in the data directory, so that they are there in the next session,
and nobody else's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw

from trainyard.edges.sql.errors import FORBIDDEN, SqlError
from trainyard.edges.sql.functions import FUNCTIONS

if TYPE_CHECKING:
    from trainyard.service.access import Caller

_STEPS: Final = 4000  # of SQLite's machine between two looks at the clock: about a fifth of a millisecond
_BUSY_MS: Final = 5000
_LARGEST_FILE_PAGES: Final = 262_144  # 1 GiB of an owner's own tables
_HEAP_BYTES: Final = 96 * 1024 * 1024
"""For all sessions together: beyond it SQLite gives up caches before it takes more."""

_LIMITS: Final = {
    apsw.SQLITE_LIMIT_LENGTH: 32 * 1024 * 1024,
    apsw.SQLITE_LIMIT_SQL_LENGTH: 4 * 1024 * 1024,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 200,
    apsw.SQLITE_LIMIT_COMPOUND_SELECT: 200,
    apsw.SQLITE_LIMIT_ATTACHED: 0,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
    apsw.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_DENIED: Final = {
    apsw.SQLITE_ATTACH: "ATTACH",
    apsw.SQLITE_DETACH: "DETACH",
    apsw.SQLITE_PRAGMA: "PRAGMA",
    apsw.SQLITE_CREATE_VTABLE: "CREATE VIRTUAL TABLE",
    apsw.SQLITE_DROP_VTABLE: "DROP of a virtual table",
    apsw.SQLITE_CREATE_TRIGGER: "CREATE TRIGGER",
    apsw.SQLITE_CREATE_TEMP_TRIGGER: "CREATE TRIGGER",
}
_FORBIDDEN_FUNCTIONS: Final = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "fts5", "sqlite_log"}
)


class Database:
    """One connection. `over` says whether what runs now is to end."""

    def __init__(self, path: Path, over: Callable[[], bool]) -> None:
        """Open the owner's file, made where it is not there yet."""
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        apsw.soft_heap_limit(_HEAP_BYTES)
        self.connection = apsw.Connection(str(path))
        self.denied = ""
        try:
            self._prepare(over)
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, over: Callable[[], bool]) -> None:
        connection = self.connection
        connection.set_busy_timeout(_BUSY_MS)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.pragma("journal_mode", "wal")
        connection.pragma("max_page_count", _LARGEST_FILE_PAGES)
        connection.pragma("temp_store", 1)  # sorting goes to files, not to memory
        for name, (function, values) in FUNCTIONS.items():
            connection.create_scalar_function(name, function, values, deterministic=True)
        for limit, value in _LIMITS.items():
            connection.limit(limit, value)
        connection.set_progress_handler(over, _STEPS)
        connection.authorizer = self._may

    def add_table(self, name: str, module: Any) -> None:
        """Make a virtual table known by this name."""
        self.connection.create_module(name, module, use_bestindex_object=True, eponymous_only=True, read_only=True)

    def forget_plans(self) -> None:
        """Statements that come again are planned again: what plans depend on has changed."""
        self.connection.authorizer = self._may  # SQLite lets every plan expire with that

    def unguarded(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a statement of ours, which may do everything."""
        self.connection.authorizer = None
        try:
            return self.connection.execute(statement, values).fetchall()
        finally:
            self.connection.authorizer = self._may

    def close(self) -> None:
        """May be repeated."""
        self.connection.close()

    def _may(self, action: int, one: str | None, two: str | None, _schema: str | None, _by: str | None) -> int:
        """SQLite asks at planning; what it is told no to is kept in `denied`, for the error."""
        what = _DENIED.get(action, "")
        if action == apsw.SQLITE_FUNCTION and two is not None and two.lower() in _FORBIDDEN_FUNCTIONS:
            what = f"{two}()"
        if not what:
            return int(apsw.SQLITE_OK)
        self.denied = f"{what} {one}" if one and action == apsw.SQLITE_PRAGMA else what
        return int(apsw.SQLITE_DENY)


def refused(what: str) -> SqlError:
    """The error for what nobody may do here."""
    hint = "SQL here reads and changes jobs and your own views and tables; files and settings of the server stay shut."
    return SqlError(FORBIDDEN, f"{what} is not allowed here.", hint=hint)


def file_of(data_dir: Path, caller: Caller) -> Path:
    """Where a caller's own tables are: by name and projects, so that whoever sees less finds nothing of before."""
    projects = "*" if caller.projects is None else ",".join(sorted(caller.projects))
    mark = hashlib.sha256(f"{caller.name}\n{projects}\n{caller.role}".encode()).hexdigest()[:24]
    return data_dir / "sql" / f"{mark}.db"
