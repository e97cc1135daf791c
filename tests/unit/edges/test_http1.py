"""One HTTP/1.1 connection: limits in time and size, and every refusal in the same envelope."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import uvloop

from trainyard.edges.rest.exchange import Disconnected, Exchange
from trainyard.edges.rest.http1 import Connections, HttpConnection, connection_factory


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with the body; `/hang` never does."""
    exchange = Exchange(scope, receive, send)
    if exchange.path == "/hang":
        await exchange.gone()
        return
    with contextlib.suppress(Disconnected):
        await exchange.answer(200, await exchange.body())


@contextlib.asynccontextmanager
async def serving(request_seconds: float = 30.0) -> AsyncIterator[tuple[int, Connections]]:
    """The port of an echo service, and what its connections share."""
    connections = Connections()
    make = connection_factory(echo, connections)

    def protocol() -> HttpConnection:
        made = make()
        made.request_seconds = request_seconds
        return made

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()
        for connection in list(connections.connections):
            connection.transport.close()
        await asyncio.sleep(0)


async def say(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send the pieces and read until the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    hearing = asyncio.ensure_future(reader.read())
    for piece in pieces:
        if hearing.done():
            break
        writer.write(piece)
        await asyncio.sleep(pause)
    heard = await asyncio.wait_for(hearing, 60)
    writer.close()
    return heard


def test_a_request_that_trickles_in_is_cut_off() -> None:
    """Head or body: a request that takes too long to arrive is a 408, though bytes keep coming."""

    async def story() -> None:
        async with serving(request_seconds=0.15) as (port, _):
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
            for pieces in ([head[n : n + 1] for n in range(12)], [head + b"\r\n", *[b"x"] * 9]):
                heard = await say(port, *pieces, pause=0.03)
                assert heard.startswith(b"HTTP/1.1 408"), heard
                assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["status"] == "DEADLINE_EXCEEDED"

    uvloop.run(story())


def test_a_whole_request_is_given_all_the_time_it_needs() -> None:
    """The limit is on the request's arrival, not on our answer."""

    async def story() -> None:
        async with serving(request_seconds=0.3) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            with contextlib.suppress(TimeoutError):
                assert await asyncio.wait_for(reader.read(1), 1.0) == b"never"
            writer.close()

    uvloop.run(story())


def test_connections_are_kept() -> None:
    """Several requests go over one connection, each with a date."""

    async def story() -> None:
        async with serving() as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in range(3):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % number)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
                assert b"\r\ndate: " in head
                assert await reader.readexactly(1) == b"%d" % number
            writer.close()

    uvloop.run(story())


def test_shutting_down_closes_what_is_idle_and_finishes_what_is_not() -> None:
    """An idle connection is closed, one in the middle of a request answers it first and closes then."""

    async def story() -> None:
        async with serving() as (port, connections):
            idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
            idle_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await idle_reader.readuntil(b"\r\n\r\n")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
            while len(connections.tasks) < 1:
                await asyncio.sleep(0)
            connections.shut_down()
            assert await asyncio.wait_for(idle_reader.read(), 60) == b""
            writer.write(b"b")
            heard = await asyncio.wait_for(reader.read(), 60)
            assert heard.endswith(b"\r\n\r\nab")
            assert b"connection: close" in heard
            idle_writer.close()
            writer.close()

    uvloop.run(story())


def test_upgrades_are_not_taken() -> None:
    """A client that offers WebSocket or h2c is served over HTTP/1.1."""

    async def story() -> None:
        async with serving() as (port, _):
            offer = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(offer)
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).startswith(b"HTTP/1.1 200")
            writer.close()

    uvloop.run(story())


def test_who_speaks_before_another_protocol_is_granted_is_not_kept_for_ever() -> None:
    """What comes behind the offer is held for the protocol, but not without end: the connection is closed."""

    async def story() -> None:
        async with serving() as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /hang HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(8):
                    writer.write(bytes(64 * 1024))
                    await writer.drain()
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()

    asyncio.run(story())
