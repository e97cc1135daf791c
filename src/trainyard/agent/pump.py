"""Moves a program's output from its pipe to its file inside the kernel, so that no death of ours loses a byte.

splice(2) takes from the pipe exactly what it has written to the file, also when the caller is killed in the middle;
a successor goes on at the file's end. Where the file's system can't splice, read and write take its place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from trainyard.core.log_files import INDEX_RECORD, index_record

_MOST_AT_ONCE = 1 << 20
_MOST_PER_TURN = 16 << 20
_LARGEST_PIPE = 1 << 20
_INDEX_EVERY_SECONDS = 0.005
_REST_SECONDS = 0.002          # after moving bytes, let a few more gather: one wake-up then serves many lines
_RETRY_SECONDS = 0.25
_CANNOT_SPLICE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class Stream:
    """One pipe, its file, and what the index says of it. All times are on the monotonic clock, in seconds."""

    __slots__ = ("_indexed", "_indexed_at", "_pipe_bytes", "_spliceable", "at_end", "length", "number", "pipe",
                 "ready_at", "target", "trouble")

    def __init__(self, number: int, pipe: int, target: int) -> None:
        """`number` is the stream's in the index; `target` is open for writing, without O_APPEND."""
        self.number, self.pipe, self.target = number, pipe, target
        self.length = os.lseek(target, 0, os.SEEK_END)
        self.at_end = False
        self.ready_at = 0.0             # do not look into the pipe before this time
        self.trouble = ""               # why bytes can't be written now: they wait in the pipe, the program with them
        self._indexed = 0
        self._indexed_at = 0.0
        self._pipe_bytes = 0
        self._spliceable = hasattr(os, "splice")

    def pump(self, now: float) -> None:
        """Move what is there, up to a turn's share."""
        before = self.length
        try:
            while self.length - before < _MOST_PER_TURN and self._move():
                pass
            self.trouble = ""
        except OSError as error:        # a full disk, a quota, a failing device: hold the program back, lose nothing
            self.trouble = error.strerror or str(error)
            self.ready_at = now + _RETRY_SECONDS
            return
        moved = self.length - before
        if moved:
            self.ready_at = now + _REST_SECONDS
            self._grow(moved)

    def _move(self) -> bool:
        try:
            count = self._splice() if self._spliceable else self._copy()
        except BlockingIOError:
            return False
        self.length += count
        self.at_end = count == 0
        return count > 0

    def _splice(self) -> int:
        try:
            return os.splice(self.pipe, self.target, _MOST_AT_ONCE, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
        except OSError as error:
            if error.errno not in _CANNOT_SPLICE:
                raise
            self._spliceable = False
            return self._copy()

    def _copy(self) -> int:
        chunk = memoryview(os.read(self.pipe, _MOST_AT_ONCE))
        done = 0
        while done < len(chunk):
            try:
                done += os.write(self.target, chunk[done:])
            except OSError as error:    # these bytes are out of the pipe already: they stay here until there is room
                self.trouble = error.strerror or str(error)
                time.sleep(_RETRY_SECONDS)
        return len(chunk)

    def _grow(self, moved: int) -> None:
        """A program that fills its pipe gets a wider one, as far as the kernel lets us; others cost no more."""
        self._pipe_bytes = self._pipe_bytes or fcntl.fcntl(self.pipe, fcntl.F_GETPIPE_SZ)
        if moved * 2 < self._pipe_bytes or self._pipe_bytes >= _LARGEST_PIPE:
            return
        try:
            self._pipe_bytes = fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, self._pipe_bytes * 4)
        except OSError:                 # the user's share of pipe memory is used up
            self._pipe_bytes = _LARGEST_PIPE

    def index_due(self) -> float | None:
        """When the index next needs a record of this stream; None if it is up to date."""
        return None if self._indexed == self.length else self._indexed_at + _INDEX_EVERY_SECONDS

    def write_index(self, index: int, now: float) -> None:
        """Append the record of the present length; on a full disk, later."""
        record = index_record(time.time_ns() // 1000, self.number, self.length)
        try:
            written = os.write(index, record)
        except OSError as error:
            written, self.trouble = 0, error.strerror or str(error)
        self._indexed_at = now if written == len(record) else now + _RETRY_SECONDS
        if written == len(record):
            self._indexed = self.length
        elif written:                   # the disk filled up in the middle of a record: take the half back
            size = os.fstat(index).st_size
            os.ftruncate(index, size - size % INDEX_RECORD.size)


def tail(descriptor: int, most_bytes: int, most_lines: int) -> str:
    """The last lines of a file, cut to whole characters."""
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, most_bytes, max(0, size - most_bytes))
    lines = content.decode(errors="replace").splitlines()
    return "\n".join(line for line in lines[-most_lines:]).strip()
