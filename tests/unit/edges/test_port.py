"""The first bytes decide: HTTP/1 to one protocol, HTTP/2 to the other server, and nothing else disturbs anybody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from trainyard.edges.port import HTTP2_PREFACE, Port


class Shout(asyncio.Protocol):
    """Stands for HTTP/1: says what it got, in capitals."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())  # type: ignore[attr-defined]  # a Transport, as every TCP connection


class Backend:
    """Stands for the gRPC server: a private socket that sends back what comes, however slowly it reads."""

    def __init__(self) -> None:
        self.received = 0
        self.reading = asyncio.Event()
        self.reading.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await self.reading.wait()
                data = await reader.read(65536)
                if not data:
                    break
                self.received += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def running(
    backend: Backend, connect: Callable[..., Awaitable[object]] | None = None
) -> AsyncIterator[tuple[Port, int]]:
    """A port before a backend; gives the port and its number."""
    inner = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    address = inner.sockets[0].getsockname()

    async def reach(make: Callable[[], asyncio.Protocol], client: str) -> object:
        assert client.startswith("127.0.0.1:")
        return await asyncio.get_running_loop().create_connection(make, *address)

    port = Port(Shout, connect or reach)
    listener = socket.create_server(("127.0.0.1", 0))
    await port.listen(listener)
    try:
        yield port, listener.getsockname()[1]
    finally:
        port.stop_listening()
        port.cut()
        inner.close()
        await asyncio.sleep(0)


async def talk(number: int, *pieces: bytes, expect: int) -> bytes:
    """Send the pieces one by one, each in a packet of its own, and read `expect` bytes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)
    answer = await asyncio.wait_for(reader.readexactly(expect), 60)
    writer.close()
    return answer


def test_http1_goes_to_the_http_protocol() -> None:
    """What does not begin as HTTP/2 reaches the HTTP/1 protocol with not a byte missing."""

    async def story() -> None:
        async with running(Backend()) as (_, number):
            assert await talk(number, b"get / http/1.0\r\n", expect=16) == b"GET / HTTP/1.0\r\n"
            assert await talk(number, b"PR", b"OPFIND / x", expect=12) == b"PROPFIND / X"

    uvloop.run(story())


@pytest.mark.parametrize("cut", [1, 3, 14, 23])
def test_a_preface_in_pieces_is_still_a_preface(cut: int) -> None:
    """Wherever the network cuts the preface, the connection is joined to the gRPC server and nothing is lost."""

    async def story() -> None:
        async with running(Backend()) as (_, number):
            hello = HTTP2_PREFACE + b"settings"
            assert await talk(number, hello[:cut], hello[cut:], expect=len(hello)) == hello

    uvloop.run(story())


def test_pressure_is_passed_on() -> None:
    """While the gRPC server does not read, the client is slowed down instead of our memory growing."""

    async def story() -> None:
        backend = Backend()
        async with running(backend) as (_, number):
            backend.reading.clear()
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(HTTP2_PREFACE)
            total = 64 * 1024 * 1024
            writer.write(bytes(total))
            await asyncio.sleep(0.5)
            unsent = writer.transport.get_write_buffer_size()
            assert unsent > total // 2, "the splice swallowed what nobody read"
            backend.reading.set()
            got = 0
            while got < total + len(HTTP2_PREFACE):
                got += len(await asyncio.wait_for(reader.read(1 << 20), 60))
            writer.close()

    uvloop.run(story())


def test_a_silent_client_is_let_go() -> None:
    """Who opens a connection and says nothing, or half a preface, is disconnected after a while."""

    async def story() -> None:
        async with running(Backend()) as (port, number):
            port.first_bytes_seconds = 0.05
            for words in (b"", HTTP2_PREFACE[:10]):
                reader, writer = await asyncio.open_connection("127.0.0.1", number)
                writer.write(words)
                assert await asyncio.wait_for(reader.read(), 60) == b""
                writer.close()
            assert not port.waiting

    uvloop.run(story())


def test_scanners_leave_nothing_behind() -> None:
    """Connections that close at once, before or after the preface, leave no splice and no timer."""

    async def story() -> None:
        async with running(Backend()) as (port, number):
            for words in (b"", b"P", HTTP2_PREFACE, HTTP2_PREFACE + b"x" * 100):
                for _ in range(20):
                    client = socket.create_connection(("127.0.0.1", number))
                    client.sendall(words)
                    client.close()
            deadline = asyncio.get_running_loop().time() + 60
            await asyncio.sleep(0.05)
            while (port.waiting or port.spliced) and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.01)
            assert not port.waiting
            assert not port.spliced
            assert await talk(number, b"still there", expect=11) == b"STILL THERE"

    uvloop.run(story())


def test_a_grpc_server_that_cannot_start_costs_only_its_caller(caplog: pytest.LogCaptureFixture) -> None:
    """If the gRPC server is not to be had, HTTP/2 clients are disconnected, the log says why, and HTTP/1 goes on."""

    async def fail(make: object, client: str) -> object:
        raise OSError("no grpc today")

    async def story() -> None:
        async with running(Backend(), fail) as (port, number):
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(HTTP2_PREFACE)
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
            assert not port.spliced
            assert await talk(number, b"ok", expect=2) == b"OK"

    uvloop.run(story())
    assert "no grpc today" in caplog.text
