"""Following a job: every line once and in order, whatever connection is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from trainyard.cli.log_stream import Event, LogStream, parse_events, whole_groups
from trainyard.cli.problems import Problem

DEADLINE_SECONDS = 20.0


def lines_of(text: str) -> list[bytes]:
    return [line + b"\n" for line in text.encode().split(b"\n")[:-1]]


def test_events_are_read_by_the_rules() -> None:
    """Comments are skipped, data lines are joined, an unfinished event is dropped, an id alone comes out too."""
    text = ': hello\n\nid: 1\nevent: log\ndata: {"a":\ndata: 1}\n\nid: 2\n\nevent: end\ndata: [1]\n\ndata: {"cut"'
    events = list(parse_events(lines_of(text + "\n")))
    assert events == [Event("log", {"a": 1}, "1"), Event("", {}, "2"), Event("end", {})]


def test_lines_are_held_until_their_cursor_is_known() -> None:
    """A group without its cursor is not handed out; a state or an end needs none."""
    first, second, cut = Event("log", {"n": 1}), Event("log", {"n": 2}, "c"), Event("log", {"n": 3})
    assert list(whole_groups([first, second, Event("state", {}), cut])) == [[first, second], [Event("state", {})]]


def stream_of(*parts: str, whole: bool = True) -> Callable[[Any], None]:
    """An event stream; `whole` False breaks it off without its last chunk."""

    def write(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            data = part.encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        if whole:
            handler.wfile.write(b"0\r\n\r\n")

    return write


def log(number: int, cursor: str = "") -> str:
    mark = f"id: {cursor}\n" if cursor else ""
    return f"{mark}event: log\ndata: {json.dumps({'n': number})}\n\n"


END = "event: end\ndata: {}\n\n"


def told(stream: LogStream) -> list[Event]:
    events = []
    while not events or events[-1].kind != "end":
        event = stream.next(DEADLINE_SECONDS)
        assert event is not None, f"nothing came after {events}"
        events.append(event)
    return events


def test_a_lost_connection_is_taken_up_behind_the_last_cursor(stand_in: Any) -> None:
    """Lines told twice by the service after a break are told once by us, in order; loss and return are announced."""
    answers = [
        stream_of(log(1), log(2, "two"), log(3), whole=False),
        (503, {"error": {"message": "starting", "status": "UNAVAILABLE"}}),
        stream_of(log(3), log(4, "four")),
        stream_of(END),
    ]
    stand_in.answer = lambda asked: answers[len(stand_in.asked) - 1]
    events = told(LogStream(stand_in.target, "job"))
    assert [event.data["n"] for event in events if event.kind == "log"] == [1, 2, 3, 4]
    kinds = [event.kind for event in events]
    assert kinds == ["log", "log", "lost", "back", "log", "log", "lost", "back", "end"]
    assert "cursor=" not in stand_in.asked[0].path
    assert "cursor=two" in stand_in.asked[1].path
    assert "cursor=two" in stand_in.asked[2].path
    assert "cursor=four" in stand_in.asked[3].path


def test_a_job_that_is_gone_ends_the_stream_with_the_services_words(stand_in: Any) -> None:
    """What will not come back is raised, not waited for."""
    stand_in.answer = lambda asked: (404, {"error": {"message": "gone", "status": "NOT_FOUND"}})
    with pytest.raises(Problem, match="gone"):
        LogStream(stand_in.target, "job").next(DEADLINE_SECONDS)


def test_what_streams_nothing_is_refused(stand_in: Any) -> None:
    """An answer that is no event stream is said to be none."""
    stand_in.answer = lambda asked: (200, {})
    with pytest.raises(Problem, match="does not stream"):
        LogStream(stand_in.target, "job").next(DEADLINE_SECONDS)


def test_a_task_and_a_cursor_are_asked_for(stand_in: Any) -> None:
    """One replica's lines behind a cursor are asked of the service, not sifted here."""
    stand_in.answer = lambda asked: stream_of(END)
    told(LogStream(stand_in.target, "job", "workerpool1-0", "c"))
    assert stand_in.asked[0].path == "/trainyard/v1/job/logs?follow=true&task=workerpool1-0&cursor=c"
    assert stand_in.asked[0].headers["Accept"] == "text/event-stream"


def test_nothing_in_time_is_none(stand_in: Any) -> None:
    """Waiting has an end: None, so that the caller can show a sign of life."""
    stand_in.answer = lambda asked: stream_of(END)
    stream = LogStream(stand_in.target, "job")
    told(stream)
    assert stream.next(0.01) is None
