"""A small SQLite file of keys: every write is durable when it returns, and what is deleted is overwritten."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainyard.core.errors import Unavailable
from trainyard.store import StoreError


class Tables:
    """One connection for all threads, one at a time. The file is made with the first write: no keys, no file."""

    def __init__(self, path: Path, schema: str) -> None:
        """Open the file where there is one; needs no room on the disk. Raises StoreError."""
        self._path = path
        self._schema = schema
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        if path.exists():
            try:
                self._connection = self._open()
            except sqlite3.Error as error:
                raise StoreError(
                    f"{path}, which holds keys, can't be used ({error}). Mend that, or restore the directory "
                    f"{path.parent} from a backup; without it nothing that is encrypted can be read."
                ) from error

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock:
            return [] if self._connection is None else self._connection.execute(statement, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; undone where the block raises. Raises Unavailable where the file cannot be written."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._made()
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except (OSError, sqlite3.Error) as error:
                raise Unavailable(
                    f"{self._path}, which holds keys, cannot be written now ({error}); nothing was changed. Mend that "
                    "and try again."
                ) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _made(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._path.touch(mode=0o600)
        return self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = EXTRA")  # a journal that came back would undo a destruction
            connection.execute("PRAGMA secure_delete = ON").fetchone()
            connection.executescript(self._schema)
        except BaseException:
            connection.close()
            raise
        return connection
