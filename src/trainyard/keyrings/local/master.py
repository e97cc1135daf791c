"""The master key: 32 random bytes in a file of its owner's alone, made with the first key and never changed by us."""

from __future__ import annotations

import base64
import binascii
import stat
from pathlib import Path

from trainyard.keyrings.envelope import KEY_BYTES, new_key
from trainyard.store import StoreError
from trainyard.whole_files import sync_directory, write_whole


def make(path: Path) -> bytes:
    """A new master key, durable when it returns; that of the file where there is one already. Raises StoreError."""
    if path.exists():
        return read(path)
    key = new_key()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, base64.b64encode(key) + b"\n", durable=True)
        sync_directory(path.parent)
    except OSError as error:
        raise StoreError(
            f"The master key cannot be written to {path} ({error.strerror}). Make that place writable, or name another "
            "one by the setting master_key_file."
        ) from error
    return key


def read(path: Path) -> bytes:
    """The master key of the file; raises StoreError where it is not there, not one, or open to others."""
    try:
        mode = path.stat().st_mode
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except (OSError, binascii.Error) as error:
        raise StoreError(
            f"The master key {path} cannot be read ({error}). Bring the file back (mount its medium, or restore it): "
            "without it no key opens, and jobs with an encryptionSpec could neither go on nor be read."
        ) from error
    if len(key) != KEY_BYTES:
        raise StoreError(f"{path} holds no master key: {KEY_BYTES} bytes in base64 are expected. Restore the file.")
    if stat.S_IMODE(mode) & 0o077:
        raise StoreError(f"The master key {path} is open to others (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}.")
    return key
