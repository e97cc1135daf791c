"""One request passed on to a program and its answer passed back, neither held in memory; whoever leaves ends both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from trainyard.edges.dashboards.heads import answer_headers, is_chunked, upgrade_headers
from trainyard.edges.dashboards.upstream import Head, NoAnswer, Upstream, connect
from trainyard.edges.port import End
from trainyard.edges.side_by_side import UPGRADE

RECHECK_SECONDS: Final = 2.0


async def forward(scope: Any, receive: Any, send: Any, to: tuple[int, bytes], recheck: Callable[[], None]) -> None:
    """Pass it on; `to` is a port of loopback and the head that is sent there.

    `recheck` is asked now and then, and raises ApiError where the caller may not go on. Raises NoAnswer with nothing
    sent, CutShort in the middle.
    """
    port, head = to
    upstream = await connect(port, scope["method"])
    client = asyncio.ensure_future(_hear(scope, receive, upstream, head))
    answering = asyncio.ensure_future(_answer(scope, send, upstream))
    try:
        while not answering.done() and (upstream.is_joined or not client.done()):
            waiting = [task for task in (answering, client) if not task.done()]
            await asyncio.wait(waiting, timeout=RECHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            recheck()
        if answering.done():
            answering.result()
        elif not client.cancelled() and (error := client.exception()) is not None:
            raise error
    finally:
        for task in (answering, client):
            task.cancel()
        await asyncio.gather(answering, client, return_exceptions=True)
        upstream.close()


async def _hear(scope: Any, receive: Any, upstream: Upstream, head: bytes) -> None:
    """Pass the request on as it comes; returns when its client has left."""
    await upstream.send(head)
    chunked, more = is_chunked(scope), True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body = message["body"]
        if body:
            await upstream.send(b"%x\r\n%b\r\n" % (len(body), body) if chunked else bytes(body))
        if more and chunked and not message["more_body"]:
            await upstream.send(b"0\r\n\r\n")
        more = message["more_body"]


async def _answer(scope: Any, send: Any, upstream: Upstream) -> None:
    head = await upstream.head()
    if head.status == 101:
        await _join(scope, send, upstream, head)
        return
    if not 200 <= head.status < 600:
        raise NoAnswer(f"it answers with the status {head.status}")
    headers = answer_headers(head.headers, head.status, scope["method"])
    await send({"type": "http.response.start", "status": head.status, "headers": headers})
    while piece := await upstream.piece():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _join(scope: Any, send: Any, upstream: Upstream, head: Head) -> None:
    """Both connections speak another protocol from now on, and we pass its bytes on until either ends."""
    if UPGRADE not in scope.get("extensions", ()):
        raise NoAnswer("it answers with another protocol that nobody asked for")
    ended = asyncio.Event()

    def end() -> None:
        ended.set()
        for side in (near, far):
            if side.transport is not None:
                side.transport.close()

    near, far = End(end), End(end)
    near.other, far.other, far.transport = far, near, upstream.transport
    upstream.is_joined = True
    upstream.transport.set_protocol(far)
    await send({"type": UPGRADE, "headers": upgrade_headers(head.headers), "protocol": near})
    try:
        if near.transport is None or upstream.transport.is_closing():  # who left meanwhile does not say so again
            return
        if head.early:
            near.transport.write(head.early)
        upstream.transport.resume_reading()
        await ended.wait()
    finally:
        end()
