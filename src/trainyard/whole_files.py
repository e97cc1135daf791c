"""A file that is replaced appears whole or not at all, whoever else writes it at the same time.

Agents have a way of their own (agent/records): they are loaded in a millisecond and work on a full disk.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o600, *, durable: bool = False) -> None:
    """Replace a file, for a moment its owner's only; `durable`: its bytes outlive a power cut. Raises OSError.

    Each call has a draft of its own beside the file, so that threads and processes do not meet in one; it is gone
    afterwards, unless the process is killed in between.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - by descriptor
            file.write(content)
            os.fchmod(descriptor, mode)
            if durable:
                file.flush()
                os.fsync(descriptor)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
