"""Every line of every replica exactly once, over any sequence of cursors, while files grow and replicas restart.

Within one batch lines are in order of time. Between batches a line may come late (its agent was slower than another's):
late, but never twice and never not at all, since a cursor counts bytes read and not time passed.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainyard.core.errors import ApiError, InvalidArgument
from trainyard.core.log_files import (
    LAST_BYTES,
    STREAMS,
    directory_name,
    last_lines,
    read_directory_name,
    replica_directory,
)
from trainyard.core.severity import StderrSeverity, severity_of_text, structured
from trainyard.core.states import FINAL
from trainyard.core.usage_records import USAGE
from trainyard.keyring import Seals
from trainyard.store import LogBatch, LogLine, Narrated, Run
from trainyard.stores.log_files.cursor import Cursor, unread
from trainyard.stores.log_files.files import Files, names
from trainyard.stores.log_files.output import Output, Piece

SERVICE = "service"  # the task and stream of the service's own narration
_MOST_BYTES = 4 << 20  # of text in one batch, whatever its number of lines

_MOST_RUNS = 1024  # trials read at once; those that come later are read once these have ended
_Source = tuple[int, str, int]  # attempt, replica, incarnation


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the output of one job lies. `prefix`: what its tasks begin with in the search that is read, or empty.

    `is_over`: nothing more will be written there.
    """

    root: Path
    files: Files
    job_id: int
    prefix: str = ""
    is_over: bool = False

    def sources(self) -> list[_Source]:
        """Every incarnation that has written, in order of attempt, replica, incarnation."""
        read = map(read_directory_name, names(f"{self.root}/{self.job_id}"))
        found = [source for source in read if source is not None]
        return sorted(found, key=lambda source: (source[0], len(source[1]), source[1], source[2]))

    def key(self, source: _Source) -> str:
        """The source in cursors."""
        return self.prefix + directory_name(*source)

    def news(self, at: Cursor, task: str) -> list[_News]:
        """The sources that have something behind the cursor."""
        found = []
        for source in self.sources():
            position = unread(at.positions, self.key(source))
            if position is None or task not in ("", self.prefix + source[1], self.prefix.rstrip("/")):
                continue
            output = Output(f"{self.root}/{self.job_id}/{directory_name(*source)}", position, self.files)
            if output.has_news:
                found.append((self, source, output))
        return found

    def is_read_whole(self, at: Cursor) -> bool:
        """Whether nothing is left to read, now and later; the cursor then need not list its sources."""
        keys = [self.key(source) for source in self.sources()]
        if not self.is_over or any(unread(at.positions, key) is not None for key in keys):
            return False
        for key in keys:
            del at.positions[key]
        return True


_News = tuple[_Place, _Source, Output]


def _no_runs(job_id: int, after: int, most: int) -> Sequence[Run]:  # noqa: ARG001 - the signature of Desk.runs_after
    return ()


class FileLogBook:
    """The LogBook promise (store.py) over the layout of core/log_files.py."""

    def __init__(
        self,
        root: Path,
        narration: Callable[[int, int], Sequence[Narrated]],
        stderr_severity: StderrSeverity | str = StderrSeverity.ERROR,
        runs: Callable[[int, int, int], Sequence[Run]] = _no_runs,
        seals: Seals | None = None,
    ) -> None:
        """`narration(job id, after seq)` gives the service log; it is called on the caller's thread.

        `runs` is Desk.runs_after: the jobs whose output a search shows as its own.
        `stderr_severity` (`ERROR` or `auto`) says how text on stderr is judged, see core/severity.py.
        `seals` open what was sealed.
        """
        self.files = Files(seals)
        self._root = root
        self._narration = narration
        self._stderr = StderrSeverity(stderr_severity)
        self._runs = runs

    async def read(self, job_id: int, cursor: str = "", size: int = 1000, task: str = "") -> LogBatch:
        """See LogBook.read. Where nothing is new it costs two stats for each replica that is up."""
        at = Cursor.parse(job_id, cursor)
        narrated = self._narration(job_id, at.narrated) if task in ("", SERVICE) else ()
        outputs = [] if task == SERVICE else [news for place in self._places(at, task) for news in place.news(at, task)]
        if not narrated and not outputs:
            return LogBatch((), at.text() if at.done or not cursor else cursor, more=False)
        return await asyncio.to_thread(self._batch, at, max(1, size), outputs, narrated)

    def raw_files(self, job_id: int, task: str, stream: str, attempt: int | None = None) -> tuple[str, ...]:
        """See LogBook.raw_files; empty where there is no such output. Raises InvalidArgument on an unknown stream."""
        if stream not in (*STREAMS, USAGE):
            raise InvalidArgument(f"{stream!r} is not a stream of a replica; there are {' and '.join(STREAMS)}.")
        for place in self._places(Cursor(job_id), task):
            sources = [source for source in place.sources() if place.prefix + source[1] == task]
            chosen = max((source[0] for source in sources), default=0) if attempt is None else attempt
            directories = (
                replica_directory(self._root, place.job_id, *source) for source in sources if source[0] == chosen
            )
            paths = [directory / stream for directory in directories]
            if paths:
                return tuple(path for path in map(os.fspath, paths) if self.files.exists(path))
        return ()

    def tail(self, path: str, most: int) -> bytes:
        """See LogBook.tail."""
        return self.files.tail(path, most)

    def last_lines(self, job_id: int, attempt: int, replica: str, incarnation: int) -> str:
        """What an incarnation has printed last: on stderr where there is any, else on stdout.

        Empty where its key is not to be had.
        """
        directory = replica_directory(self._root, job_id, attempt, replica, incarnation)
        with suppress(ApiError):
            for stream in reversed(STREAMS):
                if said := last_lines(self.files.tail(str(directory / stream), LAST_BYTES)):
                    return said
        return ""

    def seal_growth(self, job_id: int, owner: int) -> bool:
        """Seal what a running job has written by the look before, by the data key of `owner`. Blocks; may be repeated.

        True: there is more to be sealed at once. Raises as Seals.seal_growth.
        """
        return self.files.seal_growth(f"{self._root}/{job_id}", owner)

    def seal(self, job_id: int, owner: int) -> None:
        """Seal what a job that has ended has written, by the data key of `owner`. Blocks; may be repeated.

        Raises as Seals.seal_file.
        """
        self.files.seal(self._root / str(job_id), owner)

    def _places(self, at: Cursor, task: str) -> list[_Place]:
        """Where the job's output lies, and that of its trials; the cursor moves behind trials that were read whole."""
        own, after = _Place(self._root, self.files, at.job_id), at.done
        while True:
            runs = self._runs(at.job_id, after, _MOST_RUNS)
            places = [
                _Place(self._root, self.files, run.id, f"{run.stage}-{run.number}/", run.state in FINAL) for run in runs
            ]
            if task:
                places = [place for place in places if f"{task}/".startswith(place.prefix)]
            else:
                while places and places[0].is_read_whole(at):
                    at.done = places.pop(0).job_id
            if places or len(runs) < _MOST_RUNS:
                return [own, *places]
            after = runs[-1].id

    def _batch(
        self,
        at: Cursor,
        size: int,
        outputs: list[_News],
        narrated: Sequence[Narrated],
    ) -> LogBatch:
        """Merge what is there by time until the batch is full; the cursor moves with each line that is taken."""
        merged = _Merge()
        for place, source, output in outputs:
            merged.add(self._replica_lines(at, place, source, output))
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

    def _replica_lines(self, at: Cursor, place: _Place, source: _Source, output: Output) -> Iterator[LogLine]:
        """A source's lines; going on past one says that it was taken."""
        key = place.key(source)
        for piece in output.pieces():
            yield self._line(place.prefix, source, piece)
            at.positions[key] = piece.behind
        at.positions[key] = output.position

    def _line(self, prefix: str, source: _Source, piece: Piece) -> LogLine:
        text = piece.content.decode("utf-8", "replace")
        judged = severity_of_text(piece.stream, text, self._stderr)
        attempt, replica, incarnation = source[0], prefix + source[1], source[2]
        mark = f"{attempt:04d}-{replica}-{incarnation:04d}-{piece.behind[1] + piece.behind[2]:015d}"
        found = structured(text)
        if found is None:
            return LogLine(piece.time_us, replica, attempt, piece.stream, judged, text, None, mark)
        payload, severity = found
        return LogLine(piece.time_us, replica, attempt, piece.stream, severity or judged, text, payload, mark)


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
