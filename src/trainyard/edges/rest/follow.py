"""Following a job over server-sent events (WHATWG HTML, 9.2): every line once, in order, resumable by cursor.

However many follow one job, one watch looks for news of it and wakes them; a follower that waits costs a timer. A
follower that reads slowly is read to slowly: its lines stay in the log's files, not in our memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from trainyard.edges.rest.exchange import Exchange

HEARTBEAT_SECONDS: Final = 15.0
QUICKEST_LOOK_SECONDS: Final = 0.02
SLOWEST_LOOK_SECONDS: Final = 0.25
LINES_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the job is: what a `state` event tells, and whether there will be no further one."""

    told: Mapping[str, Any]
    final: bool


@dataclass(frozen=True, slots=True)
class Entries:
    """Some lines as JSON values, each with the cursor behind it, the cursor behind all, and whether more are there."""

    lines: Sequence[tuple[Mapping[str, Any], str]]
    cursor: str
    more: bool


class Source(Protocol):
    """What is followed: one job, all tasks or one."""

    key: tuple[str, str]

    def progress(self) -> Progress:
        """Raises NotFound when the job has been deleted."""

    async def read(self, cursor: str, size: int) -> Entries:
        """Lines behind the cursor."""


@dataclass(eq=False)
class _Watch:
    """Looks for news of one source while somebody follows it, quickly while there are some, else ever less often."""

    source: Source
    cursor: str
    followers: set[asyncio.Event] = field(default_factory=set)

    async def run(self) -> None:
        """Wake every follower at each change; ends when the source cannot be read, which the followers find out too."""
        pause = QUICKEST_LOOK_SECONDS
        told: Mapping[str, Any] | None = None
        try:
            while True:
                await asyncio.sleep(pause)
                progress = self.source.progress()
                entries = await self.source.read(self.cursor, LINES_AT_ONCE)
                if not entries.lines and progress.told == told:
                    pause = min(pause * 1.5, SLOWEST_LOOK_SECONDS)
                    continue
                pause = QUICKEST_LOOK_SECONDS
                self.cursor, told = entries.cursor, progress.told
                self.wake()
        finally:
            self.wake()

    def wake(self) -> None:
        """Something may have changed."""
        for follower in self.followers:
            follower.set()


class Followers:
    """All who follow at present."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._watches: dict[tuple[str, str], tuple[_Watch, asyncio.Task[None]]] = {}
        self._everybody: set[asyncio.Event] = set()
        self._stopping = False

    def stop(self) -> None:
        """The service stops: end every stream, without an `end` event, so that clients come back and resume."""
        self._stopping = True
        for follower in self._everybody:
            follower.set()

    async def follow(self, exchange: Exchange, source: Source, cursor: str) -> None:
        """Answer with the stream until the job has ended and its last line is told, or either side goes away."""
        woken = asyncio.Event()
        progress = source.progress()               # before the lines: a final state seen here has all of them behind it
        entries = await source.read(cursor, LINES_AT_ONCE)         # what cannot be read is refused before the 200
        await exchange.start(200, [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")])
        gone = asyncio.ensure_future(exchange.gone())
        gone.add_done_callback(lambda _: woken.set())
        self._everybody.add(woken)
        try:
            await self._tell(exchange, source, (progress, entries), woken, gone)
            if not gone.done():
                await exchange.finish()
        finally:
            gone.cancel()
            self._everybody.discard(woken)
            self._leave(source.key, woken)

    async def _tell(
        self, exchange: Exchange, source: Source, news: tuple[Progress, Entries], woken: asyncio.Event, gone: asyncio.Future[None]
    ) -> None:
        told: Mapping[str, Any] | None = None
        progress, entries = news
        while not gone.done() and not self._stopping:
            events = [event("log", line, cursor) for line, cursor in entries.lines]
            if progress.told != told and not progress.final:
                events.insert(0, event("state", progress.told))
                told = progress.told
            if progress.final and not entries.more:
                events += (event("state", progress.told), event("end", progress.told, entries.cursor))
                await exchange.write(b"".join(events))
                return
            if events:
                await exchange.write(b"".join(events))
            if not entries.more:
                self._join(source, entries.cursor, woken)
                await self._wait(exchange, woken)
            woken.clear()
            progress = source.progress()
            entries = await source.read(entries.cursor, LINES_AT_ONCE)

    async def _wait(self, exchange: Exchange, woken: asyncio.Event) -> None:
        """Until there is news; every now and then a comment, so that nothing between us takes silence for death."""
        while True:
            try:
                await asyncio.wait_for(woken.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                await exchange.write(b": still here\n\n")
            else:
                return

    def _join(self, source: Source, cursor: str, woken: asyncio.Event) -> None:
        if source.key not in self._watches:
            watch = _Watch(source, cursor)
            task = asyncio.ensure_future(watch.run())
            task.add_done_callback(lambda done: self._forget(source.key, done))
            self._watches[source.key] = (watch, task)
        self._watches[source.key][0].followers.add(woken)

    def _leave(self, key: tuple[str, str], woken: asyncio.Event) -> None:
        watch, task = self._watches.get(key, (None, None))
        if watch is not None and task is not None:
            watch.followers.discard(woken)
            if not watch.followers:
                task.cancel()
                del self._watches[key]

    def _forget(self, key: tuple[str, str], done: asyncio.Task[None]) -> None:
        """A watch ended by itself: its followers read on and meet the same error; it must not be joined again."""
        if not done.cancelled():
            done.exception()
        if self._watches.get(key, (None, None))[1] is done:
            del self._watches[key]


def event(kind: str, data: Mapping[str, Any], cursor: str = "") -> bytes:
    """One event; `cursor`, where there is one, is what the client sends back as Last-Event-ID."""
    mark = b"id: %s\n" % cursor.encode() if cursor else b""
    return b"%bevent: %b\ndata: %b\n\n" % (mark, kind.encode(), orjson.dumps(data))
