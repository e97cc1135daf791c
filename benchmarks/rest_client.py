"""A client as light as the server's own work: raw HTTP/1.1 on kept-alive connections, one request at a time on each.

Measured against a server that does nothing it reaches several times the goals, so it is not what is measured.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import uvloop


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered request. `sent_ns` and `done_ns` are calendar time: before the write, after the last byte."""

    status: int
    body: bytes
    sent_ns: int
    done_ns: int

    @property
    def json(self) -> Any:
        """The body; raises RuntimeError with it where the request was refused."""
        if self.status != 200:
            raise RuntimeError(f"answered {self.status}: {self.body[:500]!r}")
        return json.loads(self.body)

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return (self.done_ns - self.sent_ns) / 1e6


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._whole = 0  # bytes that the answer will have, once its head is here
        self._waiter: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Gather until the answer is whole."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            length = head.index(b"content-length:") + 15
            self._whole = end + 4 + int(head[length:].split(b"\r\n", 1)[0])
        if len(self._buffer) >= self._whole and self._waiter is not None:
            self._waiter.set_result(time.time_ns())
            self._waiter = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits hears of it."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("the server hung up"))

    async def ask(self, packet: bytes) -> Answer:
        """Send one request and wait for its whole answer."""
        assert self._transport is not None
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        sent = time.time_ns()
        self._transport.write(packet)
        done = await waiter
        content, self._buffer, self._whole = self._buffer, b"", 0
        return Answer(int(content[9:12]), content[content.index(b"\r\n\r\n") + 4 :], sent, done)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    """A connection to a server of ours."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def at_once(port: int, packets: Iterable[bytes], connections: int) -> list[Answer]:
    """Send all packets, as many at a time as there are connections; answers in order of arrival."""
    waiting = iter(packets)

    async def caller(connection: Connection) -> list[Answer]:
        return [await connection.ask(packet) for packet in waiting]

    opened = [await connect(port) for _ in range(connections)]
    answers = itertools.chain.from_iterable(await asyncio.gather(*map(caller, opened)))
    for connection in opened:
        connection.close()
    return sorted(answers, key=lambda answer: answer.done_ns)


async def wait_until_final(connection: Connection, name: str, every_seconds: float, most_seconds: float) -> str:
    """Poll a job until it has ended; its state. Raises TimeoutError."""
    packet = request("GET", f"/v1/{name}?fields=state,endTime")
    for _ in itertools.repeat(None, max(1, int(most_seconds / every_seconds))):
        job = (await connection.ask(packet)).json
        if "endTime" in job:
            return str(job["state"])
        await asyncio.sleep(every_seconds)
    raise TimeoutError(f"{name} did not end in {most_seconds:g} s")


async def job_ms(port: int, create: bytes, every_seconds: float, most_seconds: float) -> float:
    """Milliseconds from sending the create to seeing that its job has ended well; else RuntimeError."""
    connection = await connect(port)
    began = time.perf_counter()
    answer = await connection.ask(create)
    state = await wait_until_final(connection, answer.json["name"], every_seconds, most_seconds)
    took = time.perf_counter() - began
    connection.close()
    if state != "JOB_STATE_SUCCEEDED":
        raise RuntimeError(f"{answer.json['name']} ended {state}")
    return took * 1000


def run(main: Any) -> Any:
    """Run a coroutine on the same kind of loop as the server's."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
