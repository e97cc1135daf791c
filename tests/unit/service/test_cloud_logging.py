"""Pages of log entries over a log book in memory: late lines, bounded work, deep payloads, several jobs and tokens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from trainyard.contract.pool import message_class
from trainyard.core.errors import DeadlineExceeded, InvalidArgument, Unimplemented
from trainyard.core.jobs import Severity
from trainyard.core.names import JobName
from trainyard.service import log_search
from trainyard.service.access import Caller
from trainyard.service.log_entries import DEEPEST
from trainyard.store import LogBatch, LogLine

from .desk import T0, Bench, operation


class Lines:
    """A log book over lines by job; the cursor is how many have been read."""

    def __init__(self) -> None:
        self.lines: dict[int, list[LogLine]] = {}

    async def read(self, job_id: int, cursor: str = "", size: int = 1000, task: str = "") -> LogBatch:
        start = int(cursor or 0)
        found = [line for line in self.lines.get(job_id, ()) if task in ("", line.task)]
        end = min(start + size, len(found))
        return LogBatch(tuple(found[start:end]), str(end), end < len(found))

    def raw_files(self, job_id: int, task: str, stream: str, attempt: int | None = None) -> tuple[str, ...]:
        return ()


def line(serial: int, text: str = "", payload: dict[str, Any] | None = None) -> LogLine:
    mark = f"0001-workerpool0-0-0000-{serial:015d}"
    time_us = T0 + serial * 1000
    return LogLine(time_us, "workerpool0-0", 1, "stdout", Severity.INFO, text or f"line {serial}", payload, mark)


@pytest.fixture
def bench() -> Bench:
    """A service over such a log book."""
    return Bench(logbook=Lines())


def job_with(bench: Bench, *lines: LogLine) -> int:
    job_id = JobName.parse(bench.create()["name"]).id
    bench.logbook.lines[job_id] = list(lines)
    return job_id


def page(bench: Bench, **fields: Any) -> tuple[list[str], str]:
    answer = bench.call("ListLogEntries", {"resourceNames": ["projects/p1"], **fields}, "v2")
    texts = [entry.get("textPayload") or json.dumps(entry["jsonPayload"]) for entry in answer.get("entries", [])]
    return texts, answer.get("nextPageToken", "")


def test_several_jobs_are_one_sequence(bench: Bench) -> None:
    """Lines of three jobs in order of time, page by page, each once, in both orders."""
    for first in (1, 2, 3):
        job_with(bench, *(line(serial) for serial in range(first, 30, 3)))
    whole = [f"line {serial}" for serial in range(1, 30)]
    for order, wanted in (("timestamp asc", whole), ("timestamp desc", whole[::-1])):
        told, token = [], ""
        while True:
            texts, token = page(bench, orderBy=order, pageSize=4, pageToken=token)
            told += texts
            if not token:
                break
        assert told == wanted


def test_a_line_that_comes_late_is_told_once(bench: Bench) -> None:
    """Between two pages, and between the reading of a batch and the finding of its place."""
    one, two = job_with(bench, line(1), line(3), line(5)), job_with(bench, line(2), line(4))
    lines = bench.logbook.lines
    texts, token = page(bench, pageSize=3)
    assert texts == ["line 1", "line 2", "line 3"]
    lines[two] += [line(6)]
    lines[one] += [line(7)]
    assert page(bench, pageSize=9, pageToken=token) == (["line 4", "line 5", "line 6", "line 7"], "")
    read, moved = bench.logbook.read, []

    async def moving(job_id: int, cursor: str = "", size: int = 1000, task: str = "") -> LogBatch:
        if job_id == one and size == 2 and not moved:
            lines[one].insert(0, line(0))
            moved.append(True)
        return await read(job_id, cursor, size, task)

    bench.logbook.read = moving
    told, token = page(bench, pageSize=3)
    while token:
        texts, token = page(bench, pageSize=3, pageToken=token)
        told += texts
    assert sorted(told) == [f"line {serial}" for serial in range(8)]


def test_a_long_search_ends_in_an_empty_page_and_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ascending with a token, as the original does; descending with a refusal that says what to narrow."""
    monkeypatch.setattr(log_search, "MOST_LINES_AHEAD", 400)
    monkeypatch.setattr(log_search, "MOST_LINES_BACKWARDS", 400)
    job_with(bench, *(line(serial) for serial in range(2000)))
    texts, token = page(bench, filter='"line 1999"', pageSize=1)
    assert (texts, bool(token)) == ([], True)
    pages = 1
    while token:
        texts, token = page(bench, filter='"line 1999"', pageSize=1, pageToken=token)
        pages += 1
        if texts:
            break
    assert texts == ["line 1999"]
    assert pages > 4
    with pytest.raises(DeadlineExceeded, match="name a job or a time"):
        page(bench, filter='"line 1"', orderBy="timestamp desc", pageSize=1)


def test_only_the_newest_jobs_are_looked_at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that can have written in the time asked for; a job that is named is found however old it is."""
    monkeypatch.setattr(log_search, "MOST_JOBS", 2)
    jobs = [job_with(bench, line(serial)) for serial in range(4)]
    assert page(bench)[0] == ["line 2", "line 3"]
    assert page(bench, filter=f'resource.labels.job_id="{jobs[0]}"')[0] == ["line 0"]
    assert page(bench, filter='resource.labels.job_id="99999999999999999999" OR resource.labels.job_id=x')[0] == []
    assert page(bench, filter='timestamp<"2001-01-01"')[0] == []
    assert page(bench, filter='timestamp>"2100-01-01"')[0] == []


def test_a_payload_as_deep_as_a_line_may_be(bench: Bench) -> None:
    """Clients read a hundred nested messages: what lies deeper is given as JSON text, and can be read by all."""
    deep: dict[str, Any] = {"end": [1, None, True, {"x": "y"}]}
    for _ in range(80):
        deep = {"d": deep}
    job_with(bench, line(1, payload=deep))
    (text,), _ = page(bench)
    levels, value = 0, json.loads(text)
    while isinstance(value, dict):
        levels, value = levels + 1, value["d"]
    assert levels == DEEPEST
    assert '"end": [1, null, true, {"x": "y"}]' in value


def test_special_fields_are_lifted_out_of_a_payload(bench: Bench) -> None:
    """Trace, span and labels of a structured line become the entry's; what is of the wrong type stays."""
    special = {
        "logging.googleapis.com/trace": "projects/p/traces/1",
        "logging.googleapis.com/spanId": 7,
        "logging.googleapis.com/trace_sampled": True,
        "logging.googleapis.com/labels": {"epoch": "3"},
        "message": "m",
    }
    job_with(bench, line(1, payload=special))
    answer = bench.call("ListLogEntries", {"resourceNames": ["projects/p1"], "filter": "labels.epoch=3"}, "v2")
    (entry,) = answer["entries"]
    assert (entry["trace"], entry["traceSampled"]) == ("projects/p/traces/1", True)
    assert entry["jsonPayload"] == {"logging.googleapis.com/spanId": 7.0, "message": "m"}


def test_tail_is_no_unary_call_and_knows_its_window(bench: Bench) -> None:
    """501 over plain HTTP; a window that is too long is refused; a stream without a request ends."""
    with pytest.raises(Unimplemented, match="gRPC"):
        bench.call("TailLogEntries", {"resourceNames": ["projects/p1"]}, "v2")
    request = message_class("google.logging.v2.TailLogEntriesRequest")

    async def first(*requests: Any) -> Any:
        async def given() -> Any:
            for each in requests:
                yield each

        stream = bench.service.stream(operation("TailLogEntries"), given(), Caller())
        try:
            return await anext(stream, None)
        finally:
            await stream.aclose()

    asked: Any = request(resource_names=["projects/p1"])
    assert asyncio.run(first(asked)) is not None
    assert asyncio.run(first()) is None
    asked.buffer_window.seconds = 61
    with pytest.raises(InvalidArgument, match="buffer_window"):
        asyncio.run(first(asked))
