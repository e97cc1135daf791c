"""One thread writes, and takes all that waits in one transaction: durable before answered, and fast because shared.

A piece of work that fails takes nothing with it: its batch is rolled back and each piece is done again on its own.
Hints leave on the event loop once the batch is durable, also where the caller no longer waits (law 3).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from trainyard.core.errors import ApiError, Unavailable
from trainyard.core.jobs import Job
from trainyard.stores.sqlite.faults import is_damage, translated
from trainyard.stores.sqlite.files import set_aside, short_of_room

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], tuple[T, Job | int | None]]
"""Runs inside the batch's transaction. Gives its answer and the job to hint at (its id, or a new one whole), or None.

An ApiError must be raised before the first write; any other exception may come at any point.
"""
Joint = Callable[[sqlite3.Connection, Sequence[Any]], Sequence[tuple[Any, Job | int | None]]]
"""Runs several pieces of work, all of its own kind, as one; any exception has each of them done again on its own."""

_ENOUGH = 256  # for one transaction, whatever else waits
_SECONDS_BETWEEN_PROBES = 1.0
_PROBE = "PRAGMA user_version = {}"  # the same number once more: the smallest write there is, one page to the disk
_log = logging.getLogger("trainyard.store")


@dataclass(slots=True)
class _Item:
    work: Work[Any]
    joint: Joint | None
    future: asyncio.Future[Any]
    answer: Any = None
    hint: Job | int | None = None
    error: Exception | None = None


class GroupWriter:
    """The thread, its connection and its queue. Belongs to the event loop that made it."""

    def __init__(self, connection: sqlite3.Connection, path: Path, hint: Callable[[Job | int], None]) -> None:
        """`hint(job or its id)` is called on the loop for each durable write of the Desk."""
        self._connection = connection
        self._path = path
        self._hint = hint
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._asked: list[_Item] = []  # in this turn of the loop
        self._closed = False
        self.problem = ""  # why nothing can be written just now; found out again and again until it can
        self._refused = False
        self._damaged = False
        self.on_rollback: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Work[T], joint: Joint | None = None) -> T:
        """Have it done durably, by `joint` where more such work waits beside it.

        Raises what `work` raised, or Unavailable where the store could not write.
        """
        if self._closed:
            raise Unavailable("The server is stopping; nothing was changed.")
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._asked:
            self._loop.call_soon(self._hand_over)
        self._asked.append(_Item(work, joint, future))
        return await future

    def _hand_over(self) -> None:
        """What one turn of the loop has asked for goes together: the thread is woken once, and shares one sync."""
        self._queue.put(self._asked)
        self._asked = []

    async def close(self) -> None:
        """Finish what is queued, then end the thread and close its connection."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._connection.close()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch: list[_Item] = []
            try:
                items = self._queue.get(timeout=_SECONDS_BETWEEN_PROBES if self.problem else None)
            except queue.Empty:
                self._probe()
                continue
            while items is not None:
                batch += items
                if len(batch) >= _ENOUGH:
                    break
                try:
                    items = self._queue.get_nowait()
                except queue.Empty:
                    break
            stopping = items is None
            if batch:
                self._write(batch)
                try:
                    self._loop.call_soon_threadsafe(self._answer, batch)
                except RuntimeError:
                    return  # the loop is closed: nobody is left who could be answered

    def _write(self, batch: list[_Item]) -> None:
        if len(batch) > 1:
            try:
                self._transaction(batch)
            except Exception:
                self._roll_back()
            else:
                return
        for item in batch:
            item.error = None
            try:
                self._transaction([item])
            except sqlite3.Error as error:
                item.error = self._failed(error)
                self._roll_back()
            except Exception as error:
                item.error = error
                self._roll_back()

    def _transaction(self, batch: list[_Item]) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for joint, alike in groupby(batch, attrgetter("joint")):
            items = list(alike)
            if joint is not None and len(batch) > 1:
                answers = joint(self._connection, [item.work for item in items])
                for item, answer in zip(items, answers, strict=True):
                    item.answer, item.hint = answer
                continue
            for item in items:
                try:
                    item.answer, item.hint = item.work(self._connection)
                except ApiError as error:
                    item.error = error
        execute("COMMIT")
        self._told_of_room()

    def _probe(self) -> None:
        """Whether it can be written again, also where nobody asks for it."""
        try:
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            self._connection.execute(_PROBE.format(version))
            self._told_of_room()
        except sqlite3.Error as error:
            self._failed(error)

    def _failed(self, error: sqlite3.Error) -> ApiError:
        """The caller's error; where it is not about this one statement, everybody's problem."""
        ours = translated(error, self._path)
        self._damaged |= is_damage(error)
        if isinstance(ours, Unavailable) or self._damaged:
            self._told(ours.message)
        return ours

    def _told_of_room(self) -> None:
        """A write was done; whether it was from the last reserve."""
        if self.problem or self._refused:
            self._refused = False
            self._told(short_of_room(self._path))
            if not self.problem:
                set_aside(self._path)

    def room(self) -> None:
        """Raises Unavailable where only ending what there is may take any more of the disk; on the writing thread."""
        problem = short_of_room(self._path)
        if problem:
            self._refused = True
            raise Unavailable(problem)

    def _told(self, problem: str) -> None:
        if self._damaged and not problem:
            return  # one good write does not mend a broken file; a restart looks at all of it
        if problem and not self.problem:
            _log.warning("%s", problem)
        elif not problem:
            _log.info("the store can be written again")
        self.problem = problem

    def _roll_back(self) -> None:
        self.on_rollback()
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                # SQLite has undone it already (a full disk may do that); nothing is open any more.
                return

    def _answer(self, batch: list[_Item]) -> None:
        for item in batch:
            if not item.future.done():
                if item.error is None:
                    item.future.set_result(item.answer)
                else:
                    item.future.set_exception(item.error)
        # Only now: a listener that fails costs hints, which may be lost, and never an answer.
        for item in batch:
            if item.error is None and item.hint is not None:
                self._hint(item.hint)
