"""A program's answer as it comes over a connection, with pressure passed back to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from trainyard.edges.dashboards.upstream import CutShort, NoAnswer, Upstream, connect

Story = Callable[[Upstream], Awaitable[None]]


def against(answer: bytes, story: Story, *, method: str = "GET", hangs_up: bool = True) -> None:
    """Tell a story of a connection whose other end says this when it has heard something."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        if not hangs_up:
            await reader.read()
        writer.close()

    async def told() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        upstream = await connect(server.sockets[0].getsockname()[1], method)
        await upstream.send(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(30):
            await story(upstream)
        upstream.close()
        server.close()

    asyncio.run(told())


async def whole(upstream: Upstream) -> bytes:
    """The body to its end."""
    found = b""
    while piece := await upstream.piece():
        found += piece
    return found


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc and more", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\nX-T: 1\r\n\r\n", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_every_form_of_body(answer: bytes, body: bytes) -> None:
    """By length, in chunks, to the end of the connection, and after a note."""

    async def story(upstream: Upstream) -> None:
        assert (await upstream.head()).status == 200
        assert await whole(upstream) == body
        assert await upstream.piece() == b""

    against(answer, story)


def test_an_answer_without_a_body() -> None:
    """To HEAD there is none, whatever its head says."""

    async def story(upstream: Upstream) -> None:
        head = await upstream.head()
        assert (b"content-length", b"5") in head.headers
        assert await upstream.piece() == b""

    against(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", story, method="HEAD", hangs_up=False)


def test_another_protocol() -> None:
    """What came behind its grant is kept, and nothing more is read before somebody takes over."""

    async def story(upstream: Upstream) -> None:
        head = await upstream.head()
        assert (head.status, head.early) == (101, b"early")
        assert (b"upgrade", b"websocket") in head.headers

    said = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly"
    against(said, story, hangs_up=False)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_half_is_not_taken_for_all(answer: bytes) -> None:
    """What was there is given, and then said not to be all."""

    async def story(upstream: Upstream) -> None:
        await upstream.head()
        assert await upstream.piece() == b"abc"
        with pytest.raises(CutShort):
            await upstream.piece()

    against(answer, story)


def test_no_answer_at_all() -> None:
    """Who hangs up, who talks otherwise, and where nobody is."""

    async def hung_up(upstream: Upstream) -> None:
        with pytest.raises(NoAnswer):
            await upstream.head()

    async def noise(upstream: Upstream) -> None:
        with pytest.raises(CutShort, match="is no HTTP"):
            await upstream.head()

    async def nobody() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        with pytest.raises(NoAnswer):
            await connect(port, "GET")

    against(b"", hung_up)
    against(b"220 welcome\r\n", noise)
    against(b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"y" * 300_000) + b"\r\n", noise)
    asyncio.run(nobody())


def test_who_is_not_read_waits() -> None:
    """A body of any size is held only in part."""

    async def story(upstream: Upstream) -> None:
        await upstream.head()
        read = 0
        while piece := await upstream.piece():
            read += len(piece)
            assert upstream._waiting_bytes < 1 << 20
            await asyncio.sleep(0)  # in which more may come
        assert read == size

    size = 16 << 20
    against(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size), story)


def test_what_nobody_reads_is_let_go() -> None:
    """Who leaves in the middle of a body leaves nothing of it behind, collector or not."""

    async def story(upstream: Upstream) -> None:
        await upstream.head()
        while upstream._waiting_bytes <= 256 * 1024:
            await asyncio.sleep(0)
        upstream.close()
        assert not upstream._pieces

    against(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (16 << 20) + bytes(1 << 20), story, hangs_up=False)
