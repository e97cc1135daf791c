"""The data directory: one server at a time holds it, and whatever is wrong with it is told in one sentence."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainyard.core.clock import Clock
from trainyard.store import StoreError
from trainyard.stores.sqlite.faults import damaged, is_damage, is_full, primary_code
from trainyard.stores.sqlite.migrate import built_in, upgrade

LOCK = "trainyard.lock"

POINT_CACHE_KIB = 4 * 1024
WRITE_CACHE_KIB = 16 * 1024
SEARCH_CACHE_KIB = 32 * 1024  # filled only as far as somebody searches
VIEW_CACHE_KIB = 8 * 1024  # views may be many at a time, and read most pages once

RESERVE_BYTES = 8 * 1024 * 1024  # twice what SQLite lets the WAL grow to before it begins anew
LEAST_FREE_BYTES = 1024 * 1024

_BUSY_SECONDS = 5.0


def hold(data_dir: Path) -> int:
    """Make the directory if need be and take its lock; the descriptor that holds it, never inherited.

    The kernel lets go of the lock when the process ends, however it ends. Raises StoreError.
    """
    try:
        _make(data_dir)
        lock = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(_unusable(data_dir, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise StoreError(
            f"Another Trainyard server (process {holder}) is using {data_dir}. Stop it first, or give this one another "
            "--data-dir."
        ) from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            os.close(lock)
            raise StoreError(_unusable(data_dir, error)) from error
        # On a full disk the lock holds all the same, only without our number in it.
    return lock


def connect(path: Path, cache_kib: int, *, writes: bool = False) -> sqlite3.Connection:
    """A connection that leaves transactions to us; a reading one can't write."""
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    if not writes:
        connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Within it, an error of SQLite or the kernel leaves as a StoreError that says how to go on."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(_trouble(path, error)) from error
    except OSError as error:
        raise StoreError(_unusable(path.parent, error)) from error


def open_writer(path: Path, clock: Clock) -> sqlite3.Connection:
    """The one connection that writes, on a file that has been brought to the newest version."""
    # Specs hold people's environment variables; SQLite gives the files beside it the same mode.
    path.touch(mode=0o600)
    connection = connect(path, WRITE_CACHE_KIB, writes=True)
    try:
        upgrade(connection, path, built_in(), clock.now_us())
        # Only now: an empty file takes its first version under a rollback journal, where a crash leaves nothing.
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        set_aside(path)
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: Path) -> None:
    """Give the WAL its room before anybody needs it, so that jobs can be cancelled and end on a full disk, too.

    What is written into blocks that a file has needs no new ones, and nobody else can take them. SQLite passes over
    what lies behind its last frame. A disk that is full already, or can't promise blocks, has no reserve.
    """
    with suppress(OSError), path.with_name(f"{path.name}-wal").open("r+b") as wal:
        if os.fstat(wal.fileno()).st_size < RESERVE_BYTES:
            os.posix_fallocate(wal.fileno(), 0, RESERVE_BYTES)


def short_of_room(path: Path) -> str:
    """Why nothing new is taken: the reserve is for ending what there is. Empty while there is room."""
    disk = os.statvfs(path.parent)
    if disk.f_bavail * disk.f_frsize >= LEAST_FREE_BYTES:
        return ""
    return (
        f"The disk that holds {path.parent} is full; nothing was changed. What room is left is for jobs to be "
        "cancelled and to end; creating works again by itself once there is more; reading goes on meanwhile."
    )


def _make(data_dir: Path) -> None:
    missing = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _unusable(data_dir: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{data_dir} can't be written ({error.strerror}). Make it writable for user {os.geteuid()}, or give "
            "another --data-dir."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {data_dir} is full. Free some space, or give another --data-dir."
    return f"{data_dir} can't be used as a data directory ({error.strerror}). Mend that, or give another --data-dir."


def _trouble(path: Path, error: sqlite3.Error) -> str:
    if is_damage(error):
        return damaged(path, error)
    code = primary_code(error)
    if is_full(error, path):
        return f"The disk of {path.parent} is full. Free some space, or give another --data-dir."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return (
            f"{path} can't be opened for writing ({error}). Make it and its directory writable for user "
            f"{os.geteuid()}, or give another --data-dir."
        )
    return f"{path} can't be opened ({error}). Look at that disk, or give another --data-dir."
