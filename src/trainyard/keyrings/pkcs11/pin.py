"""The PIN of a token's user, read from its file whenever it is needed; one that was refused is not tried again.

Tokens lock themselves for good after a few wrong PINs, and whatever restarts a service that does not start would
spend them all within seconds.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from trainyard.core.errors import Unavailable
from trainyard.keyrings.tables import Tables
from trainyard.store import StoreError

SCHEMA: Final = "CREATE TABLE IF NOT EXISTS refused_pin (mark TEXT PRIMARY KEY);"


def read(file: Path) -> tuple[str, os.stat_result]:
    """The PIN, and which state of the file it is from. Raises StoreError where it cannot be used."""
    try:
        status = file.stat()
        pin = file.read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"key_ring: the PIN cannot be read from {file} ({error}). Write it there, as one line, or name another "
            "file by pin-source."
        ) from error
    if stat.S_IMODE(status.st_mode) & 0o077:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise StoreError(f"key_ring: the PIN file {file} is open to others (mode {mode}): chmod 600 {file}.")
    if not pin:
        raise StoreError(f"key_ring: the PIN file {file} is empty. Write the PIN of the token's user there.")
    return pin, status


class Pin:
    """Remembers which state of the file was refused, not what was in it."""

    def __init__(self, file: Path, tables: Tables) -> None:
        """`tables` have SCHEMA."""
        self._file = file
        self._tables = tables
        self._mark = ""

    def read(self, token: str) -> str:
        """The PIN for this token. Raises StoreError where it cannot be read or was refused before."""
        pin, status = read(self._file)
        self._mark = f"{token} {self._file} {status.st_ino} {status.st_mtime_ns} {status.st_size}"
        if self._tables.rows("SELECT 1 FROM refused_pin WHERE mark = ?", self._mark):
            raise StoreError(
                f"key_ring: the PIN in {self._file} was refused by the token before, and is not tried again, since too "
                "many wrong ones lock it. Write the right one there; if it is right by now, touch the file."
            )
        return pin

    def refused(self) -> StoreError:
        """The PIN read last was wrong: the error for it."""
        with suppress(Unavailable), self._tables.writing() as connection:  # on a full disk it may be tried once more
            connection.execute("INSERT OR IGNORE INTO refused_pin VALUES (?)", (self._mark,))
        return StoreError(
            f"key_ring: the PIN in {self._file} is not the token's. Write the right one there; until then none is "
            "tried, since too many wrong ones lock the token."
        )
