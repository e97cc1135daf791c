"""One incarnation's output as lines, each exactly once and in order of arrival, from any position, in flat memory.

A line is there once an index record covers its line end; it has that record's time. A line longer than the limit is
given in pieces as soon as they are there. What is behind the last line end is given when the directory is `closed`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from trainyard.core.log_files import CLOSED, INDEX, INDEX_RECORD, STREAMS
from trainyard.stores.log_files.cursor import Position
from trainyard.stores.log_files.files import Files

LONGEST_LINE = 256 * 1024  # bytes; the limit of one entry of Cloud Logging
_CHUNK = 64 * 1024
_NO_TIME_US = 253_402_300_800_000_000  # the year 10000: the record was torn by a power cut and says nothing
_RECORD = INDEX_RECORD.size


@dataclass(frozen=True, slots=True)
class Piece:
    """A line (or a piece of an overlong one) without its line end, and the position behind it."""

    time_us: int
    stream: str
    content: bytes
    behind: Position


class Output:
    """A snapshot of one incarnation's directory: what comes after its making is left to the next one."""

    def __init__(self, directory: str, position: Position, files: Files | None = None) -> None:
        """Two stats, nothing else. `closed` is looked at first: once it is there, the sizes are final."""
        self._directory = directory
        self._files = files or Files()
        self._closed = _modified_us(f"{self._directory}/{CLOSED}")
        self._index_size = self._files.size(f"{self._directory}/{INDEX}") // _RECORD * _RECORD
        self.position: Position | None = position

    @property
    def has_news(self) -> bool:
        """Whether reading may give lines, or at least the certainty that none will come."""
        return self.position is not None and (self._closed is not None or self._index_size > self.position[0])

    def pieces(self) -> Iterator[Piece]:
        """What is behind the position; `position` is where it came to when the iteration is over, None at the end."""
        assert self.position is not None
        index, *offsets = self.position
        names = zip(STREAMS, offsets, strict=True)
        streams = [_Stream(self._files, f"{self._directory}/{name}", offset) for name, offset in names]
        time_us = 0
        for record_time, stream, end in self._records(index):
            time_us = record_time if record_time < _NO_TIME_US else time_us
            while (content := streams[stream].take(end)) is not None:
                yield Piece(time_us, STREAMS[stream], content, (index, streams[0].offset, streams[1].offset))
            index += _RECORD
        self.position = (index, streams[0].offset, streams[1].offset)
        if self._closed is not None:
            yield from self._rest(index, streams, time_us or self._last_time())
            self.position = None

    def _rest(self, index: int, streams: list[_Stream], time_us: int) -> Iterator[Piece]:
        """What no record covers (an agent was lost) and what has no line end."""
        for stream, name in zip(streams, STREAMS, strict=True):
            size = self._files.size(stream.path)
            while (content := stream.take(size)) is not None or (content := stream.tail(size)):
                yield Piece(time_us, name, content, (index, streams[0].offset, streams[1].offset))

    def _records(self, start: int) -> Iterator[tuple[int, int, int]]:
        """(time, stream number, end offset) from byte `start` of the index."""
        while start < self._index_size:
            chunk = self._files.read(f"{self._directory}/{INDEX}", start, min(_CHUNK, self._index_size - start))
            whole = len(chunk) // _RECORD * _RECORD
            if not whole:
                return
            for time_us, packed in INDEX_RECORD.iter_unpack(chunk[:whole]):
                yield time_us, packed & 1, packed >> 1
            start += whole

    def _last_time(self) -> int:
        """The time of the last record, or of the closing where there is none."""
        last = next(self._records(max(0, self._index_size - _RECORD)), (_NO_TIME_US, 0, 0))
        return last[0] if last[0] < _NO_TIME_US else self._closed or 0


class _Stream:
    """One file of bytes, taken line by line; at most a line and a chunk of it are in memory."""

    def __init__(self, files: Files, path: str, offset: int) -> None:
        self.path = path
        self._files = files
        self.offset = offset  # where the next line begins
        self._searched = offset  # up to here there is no line end behind `offset`
        self._start = offset  # where the buffer begins
        self._buffer = b""

    def take(self, end: int) -> bytes | None:
        """The next line that is complete before `end`, or a piece of an overlong one; None where there is none yet."""
        limit = min(end, self.offset + LONGEST_LINE + 1)
        while self._searched < limit:
            if not self._have(self._searched):
                return None
            stop = min(limit, self._start + len(self._buffer))
            at = self._buffer.find(b"\n", self._searched - self._start, stop - self._start)
            if at >= 0:
                line = self._buffer[self.offset - self._start : at]
                self.offset = self._searched = self._start + at + 1
                return line
            self._searched = stop
        return self._piece() if self._searched - self.offset > LONGEST_LINE else None

    def tail(self, end: int) -> bytes:
        """What is left before `end` after `take(end)` has found no more lines there; empty where nothing is left."""
        rest = self._buffer[self.offset - self._start : max(0, end - self._start)]
        self.offset = self._searched = self.offset + len(rest)
        return rest

    def _piece(self) -> bytes:
        """As much of an overlong line as one entry holds, not cut within a character."""
        begin = self.offset - self._start
        stop = begin + LONGEST_LINE
        while stop > begin + LONGEST_LINE - 3 and self._buffer[stop] & 0xC0 == 0x80:
            stop -= 1
        self.offset = self._start + stop
        return self._buffer[begin:stop]

    def _have(self, offset: int) -> bool:
        """Whether the byte at `offset` is in the buffer now, reading on if need be; False behind the file's end."""
        if offset < self._start + len(self._buffer):
            return True
        held = self._buffer[self.offset - self._start :]
        chunk = self._files.read(self.path, self.offset + len(held), _CHUNK)
        self._start, self._buffer = self.offset, held + chunk
        return bool(chunk)


def _modified_us(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns // 1000  # noqa: PTH116 - asked at every poll; Path costs thrice
    except FileNotFoundError:
        return None
