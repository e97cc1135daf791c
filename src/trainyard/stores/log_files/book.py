"""Every line of every replica exactly once, over any sequence of cursors, while files grow and replicas restart.

Within one batch lines are in order of time. Between batches a line may come late (its agent was slower than another's):
late, but never twice and never not at all, since a cursor counts bytes read and not time passed.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from trainyard.core.errors import InvalidArgument
from trainyard.core.log_files import STREAMS, directory_name, read_directory_name, replica_directory
from trainyard.core.severity import StderrSeverity, severity_of_text, structured
from trainyard.store import LogBatch, LogLine, Narrated
from trainyard.stores.log_files.cursor import Cursor, unread
from trainyard.stores.log_files.output import Output, Piece

SERVICE = "service"  # the task and stream of the service's own narration
_MOST_BYTES = 4 << 20  # of text in one batch, whatever its number of lines

_Source = tuple[int, str, int]  # attempt, replica, incarnation


class FileLogBook:
    """The LogBook promise (store.py) over the layout of core/log_files.py."""

    def __init__(
        self,
        root: Path,
        narration: Callable[[int, int], Sequence[Narrated]],
        stderr_severity: StderrSeverity | str = StderrSeverity.ERROR,
    ) -> None:
        """`narration(job id, after seq)` gives the service log; it is called on the caller's thread.

        `stderr_severity` (`ERROR` or `auto`) says how text on stderr is judged, see core/severity.py.
        """
        self._root = root
        self._narration = narration
        self._stderr = StderrSeverity(stderr_severity)

    async def read(self, job_id: int, cursor: str = "", size: int = 1000, task: str = "") -> LogBatch:
        """See LogBook.read. Where nothing is new it costs two stats for each replica that is up."""
        at = Cursor.parse(job_id, cursor)
        narrated = self._narration(job_id, at.narrated) if task in ("", SERVICE) else ()
        outputs = [] if task == SERVICE else self._news(at, task)
        if not narrated and not outputs:
            return LogBatch((), cursor or at.text(), more=False)
        return await asyncio.to_thread(self._batch, at, max(1, size), outputs, narrated)

    def raw_files(self, job_id: int, task: str, stream: str, attempt: int | None = None) -> tuple[str, ...]:
        """See LogBook.raw_files; empty where there is no such output. Raises InvalidArgument on an unknown stream."""
        if stream not in STREAMS:
            raise InvalidArgument(f"{stream!r} is not a stream of a replica; there are {' and '.join(STREAMS)}.")
        sources = [source for source in self._sources(job_id) if source[1] == task]
        chosen = max((source[0] for source in sources), default=0) if attempt is None else attempt
        paths = [replica_directory(self._root, job_id, *source) / stream for source in sources if source[0] == chosen]
        return tuple(os.fspath(path) for path in paths if path.exists())

    def _news(self, at: Cursor, task: str) -> list[tuple[_Source, Output]]:
        """The sources that have something behind the cursor."""
        news = []
        for source in self._sources(at.job_id):
            position = unread(at.positions, _key(source))
            if position is None or (task and source[1] != task):
                continue
            output = Output(f"{self._root}/{at.job_id}/{_key(source)}", position)
            if output.has_news:
                news.append((source, output))
        return news

    def _batch(
        self,
        at: Cursor,
        size: int,
        outputs: list[tuple[_Source, Output]],
        narrated: Sequence[Narrated],
    ) -> LogBatch:
        """Merge what is there by time until the batch is full; the cursor moves with each line that is taken."""
        merged = _Merge()
        for source, output in outputs:
            merged.add(self._replica_lines(at, source, output))
        merged.add(_narrated_lines(at, narrated))
        lines: list[LogLine] = []
        held = 0
        while merged and len(lines) < size and held < _MOST_BYTES:
            line = merged.take()
            lines.append(line)
            held += len(line.text)
        more = bool(merged)
        merged.close()
        return LogBatch(tuple(lines), at.text(), more)

    def _replica_lines(self, at: Cursor, source: _Source, output: Output) -> Iterator[LogLine]:
        """A source's lines; going on past one says that it was taken."""
        key = _key(source)
        for piece in output.pieces():
            yield self._line(source, piece)
            at.positions[key] = piece.behind
        at.positions[key] = output.position

    def _line(self, source: _Source, piece: Piece) -> LogLine:
        text = piece.content.decode("utf-8", "replace")
        judged = severity_of_text(piece.stream, text, self._stderr)
        attempt, replica, incarnation = source
        mark = f"{attempt:04d}-{replica}-{incarnation:04d}-{piece.behind[1] + piece.behind[2]:015d}"
        found = structured(text)
        if found is None:
            return LogLine(piece.time_us, replica, attempt, piece.stream, judged, text, None, mark)
        payload, severity = found
        return LogLine(piece.time_us, replica, attempt, piece.stream, severity or judged, text, payload, mark)

    def _sources(self, job_id: int) -> list[_Source]:
        """Every incarnation that has written, in order of attempt, replica, incarnation."""
        read = map(read_directory_name, _names(f"{self._root}/{job_id}"))
        found = [source for source in read if source is not None]
        return sorted(found, key=lambda source: (source[0], len(source[1]), source[1], source[2]))


class _Merge:
    """Several iterators of lines as one, the earliest head first; a line counts as taken only when it is."""

    def __init__(self) -> None:
        self._heads: list[tuple[int, int, LogLine, Iterator[LogLine]]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._heads)

    def add(self, lines: Iterator[LogLine]) -> None:
        """One more iterator; of equal times, the one that was added first goes first."""
        self._count += 1
        self._push(self._count, lines)

    def take(self) -> LogLine:
        """The earliest line; the iterator that had it goes on to its next one at once."""
        _, order, line, lines = heapq.heappop(self._heads)
        self._push(order, lines)
        return line

    def close(self) -> None:
        """End the iterators where they stand."""
        for _, _, _, lines in self._heads:
            lines.close()  # type: ignore[attr-defined]  # all of ours are generators

    def _push(self, order: int, lines: Iterator[LogLine]) -> None:
        head = next(lines, None)
        if head is not None:
            heapq.heappush(self._heads, (head.time_us, order, head, lines))


def _narrated_lines(at: Cursor, narrated: Sequence[Narrated]) -> Iterator[LogLine]:
    for one in narrated:
        mark = f"{SERVICE}-{one.seq:09d}"
        yield LogLine(one.note.time_us, SERVICE, 0, SERVICE, one.note.severity, one.note.text, None, mark)
        at.narrated = one.seq


def _key(source: _Source) -> str:
    """The source's name in cursors, and its path below the job's directory (core/log_files.py)."""
    return directory_name(*source)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - at every poll for every live replica; Path costs thrice
    except (FileNotFoundError, NotADirectoryError):
        return []
