"""The verbs, against answers written down."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from trainyard.cli.main import main

NAME = "projects/1/locations/us-central1/customJobs/7"
JOB = {
    "name": NAME,
    "displayName": "mine",
    "state": "JOB_STATE_RUNNING",
    "createTime": "2026-11-21T10:00:00Z",
    "startTime": "2026-11-21T10:00:01Z",
}
CONTAINER = "--worker-pool-spec=machine-type=m,container-image-uri=i"


@pytest.fixture
def run(stand_in: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a verb; gives exit code, stdout and stderr."""
    monkeypatch.setenv("TRAINYARD_ENDPOINT", stand_in.endpoint)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)

    def go(*arguments: str) -> tuple[int, str, str]:
        code = main(["custom-jobs", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return go


def test_create_says_how_to_go_on_and_prints_what_was_asked_for(stand_in: Any, run: Any) -> None:
    """The message goes to stderr, so that --format=value(name) on stdout is the name and nothing else."""
    stand_in.answer = lambda asked: (200, JOB)
    code, out, err = run("create", "--display-name=mine", CONTAINER, "--format=value(name)")
    assert (code, out) == (0, f"{NAME}\n")
    assert f"CustomJob [{NAME}] is submitted successfully." in err
    assert "stream-logs 7" in err
    assert run("create", "--display-name=mine", CONTAINER)[1] == ""


def test_a_bad_format_creates_nothing(stand_in: Any, run: Any) -> None:
    """A wrong --format is found before the job is created."""
    assert run("create", "--display-name=mine", CONTAINER, "--format=xml")[0] == 2
    assert stand_in.asked == []


def test_list_is_a_table_for_people(stand_in: Any, run: Any) -> None:
    """The table has id, name, state, creation and duration; sorting and limit work on fields."""
    ended = {**JOB, "name": NAME + "1", "displayName": "a", "endTime": "2026-11-21T10:00:03Z"}
    waiting = {"name": NAME + "2", "displayName": "z", "state": "JOB_STATE_QUEUED"}
    stand_in.answer = lambda asked: (200, {"customJobs": [JOB, ended, waiting]})
    lines = run("list")[1].splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATE", "CREATED", "RAN", "FOR"]
    assert lines[2].split()[:3] == ["71", "a", "RUNNING"]
    assert lines[2].endswith("2.00s")
    names = run("list", "--sort-by=~displayName", "--limit=2", "--format=value(displayName)")[1]
    assert names.split() == ["z", "mine"]
    assert run("list", "--sort-by=endTime,displayName", "--format=value(displayName)")[1].split() == ["a", "mine", "z"]
    assert run("list", "--uri")[1].splitlines()[0] == f"{stand_in.endpoint}/v1/{NAME}"


def test_an_empty_list_is_said_on_stderr(stand_in: Any, run: Any) -> None:
    """No jobs: nothing on stdout, so that counting lines gives zero."""
    code, out, err = run("list")
    assert (code, out) == (0, "")
    assert "Listed 0 items" in err
    assert json.loads(run("list", "--format=json")[1]) == []


def test_describe_shows_the_resource_and_why(stand_in: Any, run: Any) -> None:
    """Text adds the explanation; json and yaml are the resource as it is."""

    def answer(asked: Any) -> Any:
        return 200, ({"sentence": "It runs."} if asked.path.endswith(":explain") else JOB)

    stand_in.answer = answer
    out = run("describe", "7")[1]
    assert "displayName: mine" in out
    assert "WHY\n  It runs." in out
    assert json.loads(run("describe", "7", "--format=json")[1]) == JOB


def test_cancel_tells_an_ended_job_from_a_running_one(stand_in: Any, run: Any) -> None:
    """Cancelling what has ended says so and is no fault."""
    stand_in.answer = lambda asked: (200, JOB)
    assert "has been sent" in run("cancel", "7")[2]
    assert (stand_in.asked[0].verb, stand_in.asked[0].body) == ("POST", {})
    stand_in.answer = lambda asked: (200, {**JOB, "state": "JOB_STATE_FAILED"})
    code, _, err = run("cancel", "7")
    assert code == 0
    assert "has ended before: FAILED" in err


@pytest.mark.parametrize(("typed", "deleted"), [("y\n", True), ("\n", False), ("no\n", False), ("", False)])
def test_delete_asks_on_a_terminal(
    stand_in: Any, run: Any, screen: Any, monkeypatch: pytest.MonkeyPatch, typed: str, deleted: bool
) -> None:
    """Only yes deletes; without a terminal or with --quiet nobody is asked."""
    stand_in.answer = lambda asked: (200, JOB)
    terminal = screen(True)
    terminal.write(typed)
    terminal.seek(0)
    monkeypatch.setattr("sys.stdin", terminal)
    code, _, _ = run("delete", "7")
    assert (code == 0) is deleted
    assert any(asked.verb == "DELETE" for asked in stand_in.asked) is deleted
    stand_in.asked.clear()
    assert run("delete", "7", "--quiet")[0] == 0
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run("delete", "7")[0] == 0
    assert [asked.verb for asked in stand_in.asked] == ["DELETE", "DELETE"]


def events(*told: tuple[str, dict[str, Any]]) -> Any:
    def write(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for number, (kind, data) in enumerate(told):
            handler.wfile.write(f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode())

    return write


LINE = {"time": "2026-11-21T10:00:00Z", "task": "workerpool0-0", "stream": "stdout", "severity": "INFO", "text": "hi"}


def test_stream_logs_prints_lines_until_the_end(stand_in: Any, run: Any) -> None:
    """On a pipe a line is severity, time, task and message between tabs; --format=json is one object a line."""
    report = {**LINE, "severity": "ERROR", "payload": {"message": "bad", "x": 1}}
    stand_in.answer = lambda asked: (
        events(("log", LINE), ("log", report), ("end", {})) if "/logs" in asked.path else (200, JOB)
    )
    code, out, _ = run("stream-logs", "7")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["INFO", "ERROR"]
    assert [row[2:] for row in rows] == [["workerpool0-0", "hi"], ["workerpool0-0", "ERROR: bad"]]
    assert [json.loads(line) for line in run("stream-logs", "7", "--format=json")[1].splitlines()] == [LINE, report]


def test_stream_logs_may_begin_at_the_end(stand_in: Any, run: Any) -> None:
    """--no-from-start follows behind the last line that there is."""

    def answer(asked: Any) -> Any:
        if "follow=true" in asked.path:
            return events(("end", {}))
        return 200, ({"entries": [LINE], "cursor": "here"} if "/logs" in asked.path else JOB)

    stand_in.answer = answer
    assert run("stream-logs", "7", "--no-from-start", "--task-name=workerpool0-0")[0] == 0
    assert any("cursor=here" in asked.path and "follow=true" in asked.path for asked in stand_in.asked)


def test_stream_logs_knows_two_formats(run: Any) -> None:
    """A stream can't be a table."""
    assert run("stream-logs", "7", "--format=table")[0] == 2


def test_health_tells_well_from_degraded(stand_in: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A degraded service is exit code 1 and shows its problems."""
    stand_in.answer = lambda asked: (200, {"status": "ok"})
    assert main(["health", "--endpoint", stand_in.endpoint]) == 0
    stand_in.answer = lambda asked: (200, {"status": "degraded", "problems": ["disk full"]})
    assert main(["health", "--endpoint", stand_in.endpoint]) == 1
    assert "disk full" in capsys.readouterr().out
