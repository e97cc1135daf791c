"""The service's own routes: health, explanations, logs in pages, in raw bytes, and followed live."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from edge_server import BUSY_SECONDS, Api, Server, running


@dataclass
class Event:
    """One server-sent event."""

    kind: str
    data: Any
    id: str


class Stream:
    """A raw reader of server-sent events."""

    def __init__(self, port: int, name: str, query: str = "", headers: dict[str, str] | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        path = f"/trainyard/v1/{name}/logs?follow=true{query}"
        self.connection.request("GET", path, headers=headers or {})
        self.response = self.connection.getresponse()

    def __iter__(self) -> Iterator[Event]:
        event = Event("", None, "")
        for raw in iter(self.response.readline, b""):
            field, _, value = raw.decode().rstrip("\n").partition(": ")
            match field:
                case "event":
                    event.kind = value
                case "data":
                    event.data = json.loads(value)
                case "id":
                    event.id = value
                case "" if event.kind or event.id:
                    yield event
                    event = Event("", None, "")

    def close(self) -> None:
        self.connection.close()


def lines(events: list[Event], task: str = "workerpool0-0") -> list[str]:
    return [event.data["text"] for event in events if event.kind == "log" and event.data["task"] == task]


def test_health_says_how_it_is(server: Server, api: Api) -> None:
    """GET /trainyard/v1/health: status, problems, version, process."""
    health = api.call("GET", "/trainyard/v1/health").json
    assert (health["status"], health["problems"], health["pid"]) == ("ok", [], server.process.pid)
    assert api.call("GET", "/").json["version"] == health["version"]


def test_an_explanation(api: Api) -> None:
    """GET …:explain says in one sentence why a job failed, with history and replicas."""
    name = api.made(running("sh", "-c", "echo no luck; exit 3"))["name"]
    api.wait(name)
    told = api.call("GET", f"/trainyard/v1/{name}:explain").json
    assert "workerpool0-0" in told["sentence"]
    assert [change["to"] for change in told["history"]][-1] == "JOB_STATE_FAILED"
    assert [replica["exitCode"] for replica in told["replicas"]] == [3]
    assert api.call("GET", f"/trainyard/v1/{api.parent}/customJobs/5:explain").status == 404
    assert api.call("POST", f"/trainyard/v1/{name}:explain", {}).status == 405


def test_pages_of_lines_join_up(api: Api) -> None:
    """Pages by cursor hold every line once and in order, and say when there will be no more."""
    name = api.made(running("seq", "1", "250"))["name"]
    api.wait(name)
    got: list[str] = []
    cursor, complete = "", False
    while not complete:
        url = f"/trainyard/v1/{name}/logs?task=workerpool0-0&size=40&cursor={quote(cursor)}"
        page = api.call("GET", url).json
        got += [entry["text"] for entry in page["entries"]]
        cursor, complete = page["cursor"], page["complete"]
    assert got == [str(n) for n in range(1, 251)]


def test_bad_log_requests_are_refused(api: Api) -> None:
    """A bad cursor, size, parameter, stream or job is refused by name."""
    name = api.made(running("true"))["name"]
    api.wait(name)
    base = f"/trainyard/v1/{name}/logs"
    for path in (
        "?cursor=nonsense",
        "?size=x",
        "?size=-1",
        "?nope=1",
        "?follow=perhaps",
        "/workerpool0-0/stdwhat",
        "?follow=true&cursor=nonsense",
        "?task=nope",
        "/nope/stdout",
        "/workerpool0-0/stdout?attempt=x",
    ):
        answer = api.call("GET", base + path)
        assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT"), path
    for path in (
        f"/trainyard/v1/{api.parent}/customJobs/5/logs",
        f"/trainyard/v1/{api.parent}/customJobs/5/logs?follow=true",
        "/trainyard/v1/nothing",
        f"{base}/a/b/c",
    ):
        assert api.call("GET", path).status == 404, path


def test_a_job_is_followed_live(server: Server, api: Api, tmp_path: Path) -> None:
    """Lines arrive while the job runs, states as they change, `end` last; the stream ends by itself."""
    gate = tmp_path / "gate"
    script = f"echo first; while [ ! -e {gate} ]; do sleep 0.02; done; echo second; printf third"
    name = api.made(running("sh", "-c", script))["name"]
    stream = Stream(server.port, name)
    assert stream.response.getheader("content-type") == "text/event-stream"
    seen: list[Event] = []
    for event in stream:
        seen.append(event)
        if lines(seen) == ["first"] and not gate.exists():
            assert api.get(name).json["state"] in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING")
            gate.touch()
    assert lines(seen) == ["first", "second", "third"]
    states = [event.data["state"] for event in seen if event.kind == "state"]
    assert states[0] == "JOB_STATE_QUEUED"
    assert states[-1] == "JOB_STATE_SUCCEEDED"
    assert seen[-1].kind == "end"
    assert seen[-1].data["state"] == "JOB_STATE_SUCCEEDED"
    assert seen[-2].kind == "state"
    stream.close()


@pytest.mark.parametrize("how", ["query", "header"])
def test_a_cursor_resumes_without_loss_or_doubling(server: Server, api: Api, how: str) -> None:
    """Breaking off anywhere and resuming behind the last id gives every line exactly once."""
    name = api.made(running("sh", "-c", "for i in $(seq 1 3000); do echo $i; done"))["name"]
    got: list[str] = []
    cursor, breaks, ended = "", 0, False
    while not ended:
        query = f"&cursor={quote(cursor)}" if how == "query" and cursor else ""
        headers = {"Last-Event-ID": cursor} if how == "header" and cursor else {}
        stream = Stream(server.port, name, query, headers)
        held: list[str] = []
        for count, event in enumerate(stream, 1):
            held += lines([event])
            if event.id:
                got += held
                held, cursor = [], event.id
            ended = event.kind == "end"
            if count > 300 and breaks < 8:
                breaks += 1
                break
        stream.close()
    assert got == [str(n) for n in range(1, 3001)]


def test_a_followers_task_narrows_its_lines(server: Server, api: Api) -> None:
    """`task=` shows one replica's lines only; states are told all the same."""
    job = running("sh", "-c", "echo $CLOUD_ML_JOB_ID")
    job["jobSpec"]["workerPoolSpecs"].append({**job["jobSpec"]["workerPoolSpecs"][0], "replicaCount": 2})
    name = api.made(job)["name"]
    api.wait(name)
    events = list(Stream(server.port, name, "&task=workerpool1-1"))
    assert {event.data["task"] for event in events if event.kind == "log"} == {"workerpool1-1"}
    assert events[-1].kind == "end"


def test_accept_alone_asks_for_the_stream(server: Server, api: Api) -> None:
    """`Accept: text/event-stream` is enough."""
    name = api.made(running("echo", "hi"))["name"]
    answer = api.call("GET", f"/trainyard/v1/{name}/logs", headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"] == "text/event-stream"
    assert b"event: end\n" in answer.body


def test_a_deleted_job_ends_its_stream(server: Server, api: Api) -> None:
    """When the job ends, its follower ends too; following it after its deletion is a 404."""
    name = api.made(running("true"))["name"]
    assert list(Stream(server.port, name))[-1].kind == "end"
    api.call("DELETE", name)
    assert api.call("GET", f"/trainyard/v1/{name}/logs?follow=true").status == 404


def test_a_reader_that_does_not_read_costs_no_memory(server: Server, api: Api) -> None:
    """A follower that stops reading is waited for; the flood of lines stays in the files."""
    flood = "import sys\nfor _ in range(60): sys.stdout.write(('x' * 1023 + '\\n') * 1024)"
    name = api.made(running("python3", "-c", flood))["name"]
    api.wait(name, seconds=60)
    before = server.memory_bytes()
    with socket.create_connection(("127.0.0.1", server.port)) as lazy:
        lazy.sendall(f"GET /trainyard/v1/{name}/logs?follow=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(1.5)
        assert server.memory_bytes() - before < 30_000_000
        assert api.call("GET", "/trainyard/v1/health").status == 200
    raw = api.call("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout")
    assert len(raw.body) == 60 * 1024 * 1024


def test_many_followers_at_once(server: Server, api: Api, tmp_path: Path) -> None:
    """A hundred followers of one job all get every line and the end."""
    gate = tmp_path / "gate"
    name = api.made(running("sh", "-c", f"echo up; while [ ! -e {gate} ]; do sleep 0.05; done; seq 1 100"))["name"]
    results: list[int] = []

    def follow() -> None:
        events = list(Stream(server.port, name))
        assert events[-1].kind == "end"
        results.append(len(lines(events)))

    threads = [threading.Thread(target=follow) for _ in range(100)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    gate.touch()
    for thread in threads:
        thread.join(120)
    assert results == [101] * 100


def test_a_stopping_server_ends_its_streams(tmp_path: Path) -> None:
    """SIGTERM ends a stream without an `end` event, so that the follower comes back; after the restart it resumes."""
    gate = tmp_path / "gate"
    with Server(tmp_path / "data", "--drain", "60") as server:
        api = Api(server.port)
        name = api.made(running("sh", "-c", f"echo one; while [ ! -e {gate} ]; do sleep 0.02; done; echo two"))["name"]
        stream = Stream(server.port, name)
        first: list[Event] = []
        for event in stream:
            first.append(event)
            if lines(first) == ["one"] and event.id:
                break
        api.wait(name, {"JOB_STATE_RUNNING"})
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 3 + BUSY_SECONDS
        rest = list(stream)
        assert "end" not in [event.kind for event in rest]
        api.close()
    gate.touch()
    cursor = [event.id for event in (*first, *rest) if event.id][-1]
    with Server(tmp_path / "data") as server:
        again = list(Stream(server.port, name, f"&cursor={quote(cursor)}"))
        assert lines(again) == ["two"]
        assert again[-1].data["state"] == "JOB_STATE_SUCCEEDED"


def test_raw_bytes_by_range(api: Api) -> None:
    """…/logs/{task}/{stream} gives the exact bytes, whole or one range; HEAD gives the size."""
    name = api.made(running("sh", "-c", "printf 'a\\0b\\r\\nc'; printf oops >&2"))["name"]
    api.wait(name)
    path = f"/trainyard/v1/{name}/logs/workerpool0-0"
    whole = api.call("GET", f"{path}/stdout")
    assert (whole.status, whole.body, whole.headers["accept-ranges"]) == (200, b"a\0b\r\nc", "bytes")
    assert api.call("GET", f"{path}/stderr").body == b"oops"
    for asked, wanted, span in (
        ("bytes=0-1", b"a\0", "0-1/6"),
        ("bytes=4-", b"\nc", "4-5/6"),
        ("bytes=-2", b"\nc", "4-5/6"),
    ):
        part = api.call("GET", f"{path}/stdout", headers={"Range": asked})
        assert (part.status, part.body, part.headers["content-range"]) == (206, wanted, f"bytes {span}")
    beyond = api.call("GET", f"{path}/stdout", headers={"Range": "bytes=6-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */6")
    assert api.call("GET", f"{path}/stdout?attempt=7").body == b""
    head = api.call("HEAD", f"{path}/stdout")
    assert (head.status, head.headers["content-length"], head.body) == (200, "6", b"")
