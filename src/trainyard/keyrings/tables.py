"""A small SQLite file of keys: every write is durable when it returns, and what is deleted is overwritten."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainyard.store import StoreError


class Tables:
    """One connection for all threads, one at a time."""

    def __init__(self, path: Path, schema: str) -> None:
        """Make the file where there is none, for its owner alone. Raises StoreError."""
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                self._connection.execute(f"PRAGMA {pragma}").fetchone()
            self._connection.executescript(schema)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{path}, which holds keys, can't be used ({error}). Mend that, or restore the directory {path.parent} "
                "from a backup; without it nothing that is encrypted can be read."
            ) from error
        self._lock = threading.RLock()

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; undone where the block raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def scrub(self) -> None:
        """Leave nothing of what was deleted in the journal beside the file."""
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
