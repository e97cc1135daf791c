"""The schema grows by numbered steps: a file older than this program is upgraded by itself, a newer one is refused.

Each step is one transaction that also moves `PRAGMA user_version`, so that a crash leaves the step before or after it.
Before the first step on a file that holds jobs, a copy is made beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from trainyard.core.clock import MICROSECONDS
from trainyard.store import StoreError

APPLICATION_ID = 0x54_52_59_44  # "TRYD", in the file's header


def built_in() -> tuple[str, ...]:
    """The text of every migration, in order; the first is number 1."""
    folder = files(__package__).joinpath("migrations")
    named = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(entry.read_text("utf-8") for _, entry in named)


def upgrade(connection: sqlite3.Connection, path: Path, migrations: Sequence[str], now_us: int) -> Path | None:
    """Bring the file to the newest version; the copy that was made before, if any.

    Raises StoreError on a file that is not ours or is newer than this program.
    """
    version = _number(connection, "PRAGMA user_version")
    owner = _number(connection, "PRAGMA application_id")
    is_empty = not _number(connection, "SELECT count(*) FROM sqlite_master")
    if owner != APPLICATION_ID and not is_empty:
        raise StoreError(
            f"{path} is an SQLite file of some other program. Give another --data-dir, or move that file away."
        )
    if version > len(migrations):
        raise StoreError(
            f"{path} was written by a newer Trainyard (store version {version}; this program knows up to "
            f"{len(migrations)}). Start that newer Trainyard, or give this one another --data-dir. A copy from before "
            "the upgrade, if there was one, lies beside it and ends in .backup."
        )
    if version == len(migrations):
        return None
    backup = None if is_empty else _copy(connection, path, version, now_us)
    for number, text in enumerate(migrations[version:], version + 1):
        _step(connection, number, text)
    return backup


def _copy(connection: sqlite3.Connection, path: Path, version: int, now_us: int) -> Path:
    backup = path.with_name(f"{path.name}.v{version}.{now_us // MICROSECONDS}.backup")
    backup.touch(mode=0o600)
    target = sqlite3.connect(backup)
    try:
        connection.backup(target)
    except sqlite3.Error:
        # Half a copy looks like a whole one to whoever needs it later.
        backup.unlink()
        raise
    finally:
        target.close()
    return backup


def _step(connection: sqlite3.Connection, number: int, text: str) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for statement in _statements(text):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(text: str) -> Iterator[str]:
    """One statement at a time; `executescript` would commit on its own."""
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _number(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])
