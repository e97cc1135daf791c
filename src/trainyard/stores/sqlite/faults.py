"""What SQLite's errors mean to a person: one table from result code to error class and sentence."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainyard.core.errors import ApiError, Internal, Unavailable

DATABASE = "trainyard.db"

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE = 0xFF  # the low byte; the rest tells the variety (https://www.sqlite.org/rescode.html)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where Python raised the error itself."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


def is_full(error: sqlite3.Error, path: Path) -> bool:
    """Whether the disk has no room left. Some of SQLite's files then fail with a plain I/O error."""
    if primary_code(error) == sqlite3.SQLITE_IOERR:
        return not os.statvfs(path.parent).f_bavail
    return primary_code(error) == sqlite3.SQLITE_FULL


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken."""
    return primary_code(error) in _DAMAGED


def damaged(path: Path, error: sqlite3.Error) -> str:
    """The sentence for a broken store file, with the way on."""
    return (
        f"The store file {path} is damaged ({error}). Stop the server, copy {path.parent} to a safe place, then "
        f"either put back a backup of {path.name} (and remove {path.name}-wal and {path.name}-shm, unless the backup "
        f"has its own), or save what is readable with: "
        f'sqlite3 {path} ".recover" | sqlite3 recovered.db'
    )


def translated(error: sqlite3.Error, path: Path) -> ApiError:
    """The error that the caller sees in place of SQLite's own."""
    code = primary_code(error)
    if code in _DAMAGED:
        return Internal(damaged(path, error))
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return Internal(f"The store refused a statement ({error}); nothing was changed. It is a defect: report it.")
    if is_full(error, path):
        return Unavailable(
            f"The disk that holds {path.parent} is full; nothing was changed. Writes work again by themselves once "
            "there is room; reading goes on meanwhile."
        )
    if code == sqlite3.SQLITE_READONLY:
        return Unavailable(
            f"{path} can't be written (its directory or file system is read-only); nothing was changed. "
            "Make it writable; writes then work again by themselves."
        )
    return Unavailable(
        f"The store in {path.parent} did not answer ({error}); nothing was changed. Look at that disk, then repeat."
    )


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Within it, an error of SQLite leaves as one of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error
