"""The promise between SQL's engine and its faces: a server has one SqlEngine, a client one Session at a time.

A session runs its statements in a thread of its own, one after the other, and gives rows only as fast as they are
taken; the event loop never waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, TypeVar

from trainyard.edges.sql import lexer

if TYPE_CHECKING:
    from trainyard.edges.sql.answers import Answer
    from trainyard.edges.sql.runner import Runner
    from trainyard.service.access import Caller
    from trainyard.service.dispatch import Service

Row = tuple[Any, ...]
"""One row: None, int, float, str or bytes. JSON objects and lists come as compact JSON text, booleans as 0 and 1."""

_FIRST_ROWS: Final = 200
_MOST_ROWS: Final = 2000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an answer. `kind`: `text`, `bigint`, `double`, `boolean`, `json` or `bytes`."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, as the catalogue shows it; `setting` gives a variable of the connection, None where there is none."""

    user: str = "trainyard"
    database: str = "google"
    setting: Callable[[str], str | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Description:
    """What a statement takes and gives, found out without running it.

    `parameters` counts `$1`, `$2` … (or `?`); `columns` is None where the statement gives no rows.
    """

    parameters: int
    columns: tuple[Column, ...] | None


class Result:
    """The answer to one statement. `columns` is None where there are no rows; `rows` is then empty.

    `tag` (`SELECT 3`, `INSERT 0 1`, `DELETE 2`, `CREATE VIEW` …) is complete once the rows have been read to their end.
    `message` is what StackQL prints on stderr (`The operation was despatched successfully`), empty for rows alone.
    """

    def __init__(self, session: Session, answer: Answer, first: Sequence[Row], *, ended: bool) -> None:
        """Made by a session, with the first rows of the answer; `ended`: there are no more."""
        self.columns = answer.columns
        self.message = answer.message
        self.notices = answer.notices
        self._session = session
        self._answer = answer
        self._first = first
        self._count = 0
        self._ended = ended

    @property
    def tag(self) -> str:
        """The command tag."""
        return self._answer.tag(self._count)

    async def batches(self) -> AsyncGenerator[Sequence[Row], None]:
        """The rows, some hundreds at a time; raises SqlError, then nothing that was given counts."""
        rows, self._first = self._first, ()
        while True:
            if rows:
                self._count += len(rows)
                yield rows
            if self._ended:
                return
            rows, self._ended = await self._session.more(self, self._answer, _MOST_ROWS)

    @property
    async def rows(self) -> AsyncGenerator[Row, None]:
        """The rows one by one; raises SqlError."""
        async for batch in self.batches():
            for row in batch:
                yield row

    async def close(self) -> None:
        """Stop reading; may be repeated. A result that was read to its end needs none."""
        if not self._ended:
            self._ended = True
            await self._session.let_go(self)


class Session:
    """One client's statements. Not for two tasks at once, but for `cancel`, which any may call at any time."""

    client = Client()
    """Set before the first statement by a face that knows better."""

    def __init__(self, make: Callable[[], Runner], ended: Callable[[Session], None]) -> None:
        """`make` opens what the statements run on, in the session's thread, with the first of them."""
        self._make = make
        self._ended = ended
        self._runner: Runner | None = None
        self._open: Result | None = None
        self._thread = ThreadPoolExecutor(1, "sql-session")
        self._at_work = 0
        self._cancelled = Event()
        self._closed = False

    @staticmethod
    def split(sql: str) -> list[str]:
        """The statements of a text, without their semicolons; blank ones and bare comments are left out."""
        return lexer.split(sql)

    async def run(self, sql: str, parameters: Sequence[object] = ()) -> Result:
        """Carry out one statement; raises SqlError. The first batch of rows is ready when this returns.

        `parameters` are the values of `$1`, `$2` … or of each `?`. A result left open is closed by the next run.
        """
        if self._open is not None:
            await self._open.close()

        cancelled = self._cancelled = Event()

        def begin() -> tuple[Answer, list[Row], bool]:
            runner = self._on_thread()
            try:
                answer = runner.begin(sql, parameters, cancelled)
                first, ended = runner.rows(answer, _FIRST_ROWS)
                if ended:
                    runner.finish()
            except BaseException:
                runner.finish()
                raise
            return answer, first, ended

        answer, first, ended = await self._in_thread(begin)
        result = Result(self, answer, first, ended=ended)
        self._open = None if ended else result
        return result

    async def describe(self, sql: str) -> Description:
        """What the statement takes and gives; raises SqlError where it cannot be planned."""
        return await self._in_thread(lambda: self._on_thread().describe(sql))

    def cancel(self) -> None:
        """End the running statement, if there is one, with SQLSTATE 57014."""
        self._cancelled.set()
        if self._runner is not None:
            self._runner.interrupt()

    async def close(self) -> None:
        """Let go of everything; may be repeated."""
        if not self._closed:
            self._closed = True
            self._ended(self)
            self.cancel()
            runner = self._runner
            if runner is not None:
                await self._in_thread(runner.close)
            self._thread.shutdown(wait=False)

    async def more(self, result: Result, answer: Answer, most: int) -> tuple[list[Row], bool]:
        """Further rows of an open result, and whether these were the last; for Result alone."""
        if result is not self._open:
            return [], True

        def read() -> tuple[list[Row], bool]:
            runner = self._on_thread()
            try:
                found, ended = runner.rows(answer, most)
                if ended:
                    runner.finish()
            except BaseException:
                runner.finish()
                raise
            return found, ended

        return await self._in_thread(read)

    async def let_go(self, result: Result) -> None:
        """The result is not read any further; for Result alone."""
        if result is self._open and self._runner is not None:
            self._open = None
            if self._at_work:
                self.cancel()
            await self._in_thread(self._runner.finish)

    def _on_thread(self) -> Runner:
        if self._runner is None:
            self._runner = self._make()
            self._runner.client = self.client
        return self._runner

    async def _in_thread(self, act: Callable[[], _T]) -> _T:
        """Done in the session's thread. Whoever stops waiting for it cancels the statement."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, act)
        self._at_work += 1
        done.add_done_callback(self._done)
        try:
            return await done
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _done(self, _: asyncio.Future[_T]) -> None:
        self._at_work -= 1


class SqlEngine:
    """One per server; cheap to make. What it needs (apsw) is imported with the first session."""

    def __init__(self, service: Service, data_dir: Path, *, timeout_seconds: float = 60.0) -> None:
        """Answer from `service`; views are kept in `data_dir`/sql. A statement ends after the timeout (0: never)."""
        self._service = service
        self._data_dir = data_dir
        self._timeout_seconds = timeout_seconds
        self._sessions: set[Session] = set()

    def session(
        self,
        caller: Caller,
        *,
        project: str = "",
        location: str = "",
    ) -> Session:
        """A session with this caller's rights. `project` and `location` stand in where a statement names none."""
        loop = asyncio.get_running_loop()
        given = {"projectsId": project, "locationsId": location}
        defaults = {name: value for name, value in given.items() if value}

        def make() -> Runner:
            from trainyard.edges.sql.runner import Runner  # noqa: PLC0415 - apsw and its tables: only for who speaks SQL
            from trainyard.edges.sql.work import Door  # noqa: PLC0415 - as above

            return Runner(Door(self._service, caller, loop), self._data_dir, self._timeout_seconds, defaults)

        session = Session(make, self._sessions.discard)
        self._sessions.add(session)
        return session

    async def close(self) -> None:
        """End every session."""
        for session in list(self._sessions):
            await session.close()
