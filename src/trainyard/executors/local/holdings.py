"""What run groups hold of this machine, on disk before anything of them starts: one file, to which lines are added.

A line of JSON says what a group holds, {"run", "ports", "gpus", "notes"}, or that it holds nothing more, {"over"}; of
several lines about one group the last one counts. A torn line counts as none: what it speaks of was never started.
Nothing here needs to survive a power cut, after which no group lives. The file is made anew when most of it is past.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LARGEST_BYTES = 1 << 20
_KEYS = ("run", "ports", "gpus", "notes")


class Holdings:
    """The file and what it says. Used by one server at a time."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before `load`."""
        self._path = path
        self._file = -1
        self._bytes = 0
        self._lines: dict[str, bytes] = {}  # of the groups that hold something

    def load(self) -> list[dict[str, Any]]:
        """What groups hold since an earlier server. Raises OSError."""
        found: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # torn, or never written before a power cut
                    record = json.loads(line)
                    if "over" in record:
                        found.pop(record["over"], None)
                    else:
                        found[record["run"]] = {key: record[key] for key in _KEYS}
        self._lines = {run_id: _line(record) for run_id, record in found.items()}
        try:
            self._write_anew()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._go_on()
        return list(found.values())

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def hold(self, run_id: str, content: Mapping[str, Any]) -> None:
        """Write down all that the group holds now. Raises OSError, and then what was written before counts."""
        line = _line({"run": run_id, **content})
        self._append(line)
        self._lines[run_id] = line

    def release(self, run_id: str) -> None:
        """The group holds nothing more. On a full disk that stays unsaid: the next server sweeps it once again."""
        if self._lines.pop(run_id, None) is None:
            return
        with contextlib.suppress(OSError):
            self._append(_line({"over": run_id}))
            if self._bytes > _LARGEST_BYTES and self._bytes > 2 * sum(map(len, self._lines.values())):
                self._write_anew()

    def _append(self, line: bytes) -> None:
        if os.write(self._file, line) != len(line):  # the disk filled up in the middle: take the half back
            os.ftruncate(self._file, self._bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._bytes += len(line)

    def _write_anew(self) -> None:
        draft, content = self._path.with_suffix(".draft"), b"".join(self._lines.values())
        try:
            draft.write_bytes(content)
            draft.rename(self._path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._go_on()

    def _go_on(self) -> None:
        """Open what there is, behind its last whole line."""
        self.close()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        content = self._path.read_bytes()
        self._bytes = content.rfind(b"\n") + 1
        if self._bytes < len(content):
            os.ftruncate(self._file, self._bytes)


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
