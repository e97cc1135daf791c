"""Moves a program's output from its pipe to its file inside the kernel, so that no death of ours loses a byte.

splice(2) takes from the pipe exactly what it has written to the file, also when the caller is killed in the middle;
a successor goes on at the file's end. Where the file's system can't splice, read and write take its place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time

from trainyard.core.log_files import INDEX_RECORD, LAST_BYTES, index_record, last_lines

_MOST_AT_ONCE = 1 << 20
_MOST_PER_TURN = 16 << 20
_LARGEST_PIPE = 1 << 20
_INDEX_EVERY_SECONDS = 0.005
_REST_SECONDS = 0.002  # after moving bytes, let a few more gather: one wake-up then serves many lines
_RETRY_SECONDS = 0.25
_CANNOT_SPLICE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class Index:
    """The file of records, made when there is a first one."""

    __slots__ = ("path", "target")

    def __init__(self, path: str) -> None:
        """Nothing is opened yet."""
        self.path = path
        self.target = -1

    def append(self, record: bytes) -> None:
        """Add a whole record or none; raises OSError."""
        if self.target < 0:
            self.target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if os.write(self.target, record) < len(record):  # the disk filled up in the middle: take the half back
            size = os.fstat(self.target).st_size
            os.ftruncate(self.target, size - size % INDEX_RECORD.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)


class Stream:
    """One pipe, its file, and what the index says of it. All times are on the monotonic clock, in seconds."""

    __slots__ = (
        "_indexed",
        "_indexed_at",
        "_path",
        "_pipe_bytes",
        "_spliceable",
        "at_end",
        "length",
        "number",
        "pipe",
        "ready_at",
        "target",
        "trouble",
    )

    def __init__(self, number: int, pipe: int, path: str) -> None:
        """`number` is the stream's in the index; `path` and its directory are made when there are bytes for it."""
        os.set_blocking(pipe, False)
        self.number, self.pipe = number, pipe
        self.target = -1
        self.length = 0
        self.at_end = False
        self.ready_at = 0.0  # do not look into the pipe before this time
        self.trouble = ""  # why bytes can't be written now: they wait in the pipe, the program with them
        self._path = path
        self._indexed = 0
        self._indexed_at = 0.0
        self._pipe_bytes = 0
        self._spliceable = hasattr(os, "splice")

    def open(self, flags: int = 0) -> None:
        """Go on at the file's end; raises OSError, FileNotFoundError where there is none and O_CREAT is not given."""
        try:
            self.target = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | flags, 0o644)  # splice refuses O_APPEND
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self.target = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | flags, 0o644)
        self.length = os.lseek(self.target, 0, os.SEEK_END)

    def pump(self, now: float) -> None:
        """Move what is there, up to a turn's share."""
        before = self.length
        try:
            if self.target < 0 and not self._has_bytes():
                return
            while self.length - before < _MOST_PER_TURN and self._move():
                pass
            self.trouble = ""
        except OSError as error:  # a full disk, a quota, a failing device: hold the program back, lose nothing
            self.trouble = error.strerror or str(error)
            self.ready_at = now + _RETRY_SECONDS
            return
        moved = self.length - before
        if moved:
            self.ready_at = now + _REST_SECONDS
            self._grow(moved)

    def _has_bytes(self) -> bool:
        """Whether the pipe holds anything; if so, the file for it is open when this returns."""
        events = select.poll()
        events.register(self.pipe, select.POLLIN)
        seen = events.poll(0)
        if seen and seen[0][1] & select.POLLIN:
            self.open(os.O_CREAT)
            return True
        self.at_end = bool(seen)  # hung up, and nothing in it
        return False

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
            except OSError as error:  # these bytes are out of the pipe already: they stay here until there is room
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
        except OSError:  # the user's share of pipe memory is used up
            self._pipe_bytes = _LARGEST_PIPE

    def index_due(self) -> float | None:
        """When the index next needs a record of this stream; None if it is up to date."""
        return None if self._indexed == self.length else self._indexed_at + _INDEX_EVERY_SECONDS

    def write_index(self, index: Index, now: float) -> None:
        """Append the record of the present length; on a full disk, later."""
        try:
            index.append(index_record(time.time_ns() // 1000, self.number, self.length))
        except OSError as error:
            self.trouble = error.strerror or str(error)
            self._indexed_at = now + _RETRY_SECONDS
            return
        self._indexed, self._indexed_at = self.length, now


def tail(descriptor: int) -> str:
    """The last lines of a file; empty where there is none."""
    if descriptor < 0:
        return ""
    size = os.fstat(descriptor).st_size
    return last_lines(os.pread(descriptor, LAST_BYTES, max(0, size - LAST_BYTES)))
