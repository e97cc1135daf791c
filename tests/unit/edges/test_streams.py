"""Server-sent events: what is written when, who ends a stream, and that silence is never long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop

from trainyard.core.errors import NotFound
from trainyard.edges.rest.exchange import Exchange
from trainyard.edges.rest.follow import Streams
from trainyard.service.following import Followed


class Client:
    """One ASGI client that listens until it leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.status = 0
        self.body = b""
        self.complete = False
        scope = {"type": "http", "method": "GET", "raw_path": b"/", "query_string": b"", "headers": []}
        self.exchange = Exchange(scope, self.receive, self.send)

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message["body"]
            self.complete = not message.get("more_body", False)


def state(name: str, cursor: str) -> Followed:
    return Followed("state", {"to": name, "why": "because"}, cursor)


def line(text: str, cursor: str = "", task: str = "workerpool0-0") -> Followed:
    return Followed("entry", {"text": text, "task": task}, cursor)


async def events(*told: Followed | BaseException, wait: asyncio.Event | None = None) -> AsyncIterator[Followed]:
    for each in told:
        if isinstance(each, BaseException):
            raise each
        yield each
    if wait is not None:
        await wait.wait()


def test_lines_of_one_look_share_the_last_ones_id() -> None:
    """Events come in order, the cursor with the last line of a batch; `end` repeats the final state."""

    async def story() -> None:
        client = Client()
        told = events(state("RUNNING", "1."), line("a"), line("b", "1.x"), state("DONE", "2.x"))
        await Streams().send(client.exchange, told)
        assert client.status == 200
        assert client.complete
        assert client.body.decode().split("\n\n")[:-1] == [
            'id: 1.\nevent: state\ndata: {"to":"RUNNING","why":"because","state":"RUNNING","sentence":"because"}',
            'event: log\ndata: {"text":"a","task":"workerpool0-0"}',
            'id: 1.x\nevent: log\ndata: {"text":"b","task":"workerpool0-0"}',
            'id: 2.x\nevent: state\ndata: {"to":"DONE","why":"because","state":"DONE","sentence":"because"}',
            'event: end\ndata: {"to":"DONE","why":"because","state":"DONE","sentence":"because"}',
        ]

    uvloop.run(story())


def test_other_tasks_lines_are_left_out_but_their_cursor_counts() -> None:
    """A narrowed stream still moves its cursor over what it does not show."""

    async def story() -> None:
        client = Client()
        told = events(line("mine", task="a"), line("other", "1.y", task="b"))
        await Streams().send(client.exchange, told, "a")
        assert b"other" not in client.body
        assert b"id: 1.y\n\n" in client.body
        assert b"mine" in client.body

    uvloop.run(story())


def test_what_is_refused_at_the_first_step_is_raised() -> None:
    """No such job: the caller answers a 404, nothing was streamed."""

    async def story() -> None:
        client = Client()
        with pytest.raises(NotFound):
            await Streams().send(client.exchange, events(NotFound("gone")))
        assert client.status == 0

    uvloop.run(story())


def test_a_job_deleted_meanwhile_ends_the_stream() -> None:
    """After the first event there is no other status to give: the stream just ends, without `end`."""

    async def story() -> None:
        client = Client()
        await Streams().send(client.exchange, events(state("RUNNING", "1."), NotFound("gone")))
        assert client.complete
        assert b"event: end" not in client.body

    uvloop.run(story())


def test_a_defect_cuts_the_stream() -> None:
    """What nobody foresaw is raised, so that the connection is cut and not ended as if all were told."""

    async def story() -> None:
        client = Client()
        with pytest.raises(RuntimeError):
            await Streams().send(client.exchange, events(state("RUNNING", "1."), RuntimeError("defect")))
        assert not client.complete

    uvloop.run(story())


def test_silence_is_broken_by_comments() -> None:
    """While nothing happens a comment goes out every so often, and the head is not held back."""

    async def story() -> None:
        client, never = Client(), asyncio.Event()
        task = asyncio.ensure_future(Streams(heartbeat_seconds=0.01).send(client.exchange, events(wait=never)))
        while client.body.count(b": still here\n\n") < 3:
            await asyncio.sleep(0.001)
        assert client.status == 200
        client.left.set()
        await asyncio.wait_for(task, 60)

    uvloop.run(story())


def test_stopping_ends_every_stream_without_an_end() -> None:
    """When the service stops, streams end so that their clients come back."""

    async def story() -> None:
        streams, clients, never = Streams(), [Client() for _ in range(3)], asyncio.Event()
        tasks = [
            asyncio.ensure_future(streams.send(each.exchange, events(state("RUNNING", "1."), wait=never)))
            for each in clients
        ]
        while not all(each.body for each in clients):
            await asyncio.sleep(0)
        streams.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        assert all(each.complete and b"event: end" not in each.body for each in clients)

    uvloop.run(story())
