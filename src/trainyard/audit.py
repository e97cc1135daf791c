"""The audit log: one JSON line for every write, whoever asked for it, in <data>/audit.log; standard library only.

A line is one write to a file opened for appending: no line is torn or lost when the process ends, and the service and
the command line may write at the same time. It never holds a secret: names, never credentials; results, never bodies.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Final

from trainyard.core.clock import rfc3339

FILE_NAME: Final = "audit.log"
MOST_BYTES: Final = 16 * 1024 * 1024
KEPT: Final = 8
"""Old files: audit.log.1 is the newest of them."""
MOST_TEXT: Final = 1024

log = logging.getLogger("trainyard.audit")


class AuditLog:
    """Appends lines; rotated when the file has grown to `most_bytes`."""

    def __init__(self, data_dir: Path, most_bytes: int = MOST_BYTES, kept: int = KEPT) -> None:
        """Nothing is opened yet."""
        self._path = str(data_dir / FILE_NAME)
        self._most_bytes = most_bytes
        self._kept = kept
        self._lock = threading.Lock()
        self._descriptor = -1
        self._inode = 0

    def write(self, time_us: int, who: str, what: str, resource: str, result: str = "OK", address: str = "") -> None:
        """One line: `what` is a permission-like verb (customJobs.create), `result` a canonical code's name.

        A line that cannot be written (a full disk) is in the service's log instead: a write that was done stays done.
        """
        entry = {"time": rfc3339(time_us), "who": who, "what": what, "resource": resource[:MOST_TEXT], "result": result}
        if address:
            entry["address"] = address
        line = "{" + ",".join([f'"{key}":{encode_basestring_ascii(value)}' for key, value in entry.items()]) + "}"
        try:
            with self._lock:
                self._append(line.encode() + b"\n")
        except OSError as error:
            log.error("the audit log cannot be written (%s); the line is: %s", error.strerror, line)

    def _append(self, line: bytes) -> None:
        """Into the file that has the name now: others write to it, rename it and take it away as they please."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - paths are text here
        except FileNotFoundError:
            found = None
        if found is None or found.st_ino != self._inode:
            self.close()
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            found = os.fstat(self._descriptor)
            self._inode = found.st_ino
        os.write(self._descriptor, line)
        if found.st_size + len(line) >= self._most_bytes:
            self._rotate(self._descriptor)

    def close(self) -> None:
        """Let go of the file; the next line opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._inode = -1, 0

    def _rotate(self, descriptor: int) -> None:
        """Rename the files up by one; whoever else is at it, one of us does it and the other finds it done."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.stat(self._path).st_ino != os.fstat(descriptor).st_ino:  # noqa: PTH116 - paths are text here
                return
            for number in range(self._kept - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{self._path}.{number}", f"{self._path}.{number + 1}")  # noqa: PTH104 - as above
            os.rename(self._path, f"{self._path}.1")  # noqa: PTH104 - as above
        except FileNotFoundError:
            return  # somebody else was quicker
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # the file stays open, and nobody may wait for our next line
