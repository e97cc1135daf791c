"""Following a job over server-sent events (WHATWG HTML, 9.2): `log` per line, `state` per change, at last `end`.

Lines that were read together go out together, and the last of them carries their `id`: a client that wants each line
exactly once acts on lines when an id comes, and sends the last id back as Last-Event-ID (or `cursor=`) after a lost
connection. A follower that reads slowly is read to slowly: its lines stay in the log's files, not in our memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import orjson

from trainyard.core.errors import ApiError
from trainyard.edges.rest.exchange import Exchange
from trainyard.service.following import Followed

HEARTBEAT_SECONDS: Final = 15.0
FIRST_WORDS_SECONDS: Final = 0.2  # what is wrong with the request shows within; then silence means that all is well
LOOKS_A_SECOND: Final = 500.0
STILL_HERE: Final = b": still here\n\n"


class Streams:
    """Every stream that is open, so that the service can end them when it stops."""

    def __init__(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        """None yet."""
        self._heartbeat_seconds = heartbeat_seconds
        self._open: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """End every stream without an `end` event, so that its client comes back and goes on."""
        for pump in self._open:
            pump.cancel()

    @contextlib.contextmanager
    def lasting(self) -> Iterator[None]:
        """The task that is within is ended with the streams."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            yield
        finally:
            self._open.discard(task)

    async def pause(self, seconds: float) -> None:
        """Sleep at least that long, and longer the more streams are open: together they look LOOKS_A_SECOND times."""
        await asyncio.sleep(max(seconds, len(self._open) / LOOKS_A_SECOND))

    async def send(self, exchange: Exchange, events: AsyncIterator[Followed], task: str = "") -> None:
        """Answer with the events until there are no more, or either side goes away; `task` narrows the lines.

        What is refused before the first event (no such job) is raised, not streamed.
        """
        pump = asyncio.ensure_future(_pump(exchange, events, task))
        gone = asyncio.ensure_future(exchange.gone())
        self._open.add(pump)
        try:
            await asyncio.wait((pump, gone), timeout=FIRST_WORDS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not exchange.started and not pump.done():
                await _start(exchange)
            while not pump.done() and not gone.done():
                written = exchange.written
                await asyncio.wait((pump, gone), timeout=self._heartbeat_seconds, return_when=asyncio.FIRST_COMPLETED)
                if exchange.written == written and not pump.done() and not gone.done():
                    await exchange.write(STILL_HERE)
            await self._conclude(exchange, pump, gone)
        finally:
            self._open.discard(pump)
            pump.cancel()
            gone.cancel()

    async def _conclude(self, exchange: Exchange, pump: asyncio.Task[None], gone: asyncio.Task[None]) -> None:
        if gone.done():
            return
        error = None if pump.cancelled() else pump.exception()
        if error is not None and not (exchange.started and isinstance(error, ApiError)):
            raise error
        if not exchange.started:
            await _start(exchange)
        await exchange.finish()


async def _pump(exchange: Exchange, events: AsyncIterator[Followed], task: str) -> None:
    waiting: list[bytes] = []
    last: Mapping[str, Any] = {}
    async for followed in events:
        if not exchange.started:
            await _start(exchange)
        if followed.kind == "state":
            last = {**followed.data, "state": followed.data["to"], "sentence": followed.data["why"]}
            waiting.append(event("state", last, followed.cursor))
        elif not task or followed.data["task"] == task:
            waiting.append(event("log", followed.data, followed.cursor))
        elif followed.cursor:
            waiting.append(b"id: %b\n\n" % followed.cursor.encode())
        if followed.cursor:
            await exchange.write(b"".join(waiting))
            waiting.clear()
    if not exchange.started:
        await _start(exchange)
    await exchange.write(event("end", last))


async def _start(exchange: Exchange) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    await exchange.start(200, headers)


def event(kind: str, data: Mapping[str, Any], cursor: str = "") -> bytes:
    """One event; `cursor`, where there is one, is what the client sends back as Last-Event-ID."""
    mark = b"id: %b\n" % cursor.encode() if cursor else b""
    return b"%bevent: %b\ndata: %b\n\n" % (mark, kind.encode(), orjson.dumps(data))
