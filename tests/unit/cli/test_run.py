"""From a program to a job, and from a job's end to an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainyard.cli import background, run
from trainyard.cli.demo import sdk_lines
from trainyard.cli.follow import Follower, is_routine, labelled, shown_text
from trainyard.cli.problems import Problem, Unreachable
from trainyard.cli.service_api import ServiceApi
from trainyard.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("state", "message", "code"),
    [
        ("SUCCEEDED", "", 0),
        ("CANCELLED", "The replica workerpool0-0 exited with a non-zero status of 9.", 130),
        ("FAILED", "The replica workerpool1-1 exited with a non-zero status of 7. Termination reason: Error.", 7),
        ("FAILED", "Resources are insufficient in region: us-central1.", 1),
        ("FAILED", "The replica workerpool0-0 exited with a non-zero status of 256.", 1),
    ],
)
def test_the_exit_code_tells_how_the_job_ended(state: str, message: str, code: int) -> None:
    """0, 130 for cancelled, the program's own code, 1 where it had none."""
    assert run.exit_code({"state": f"JOB_STATE_{state}", "error": {"message": message}}) == code


def test_dollars_reach_the_program() -> None:
    """What the service would expand is written so that it arrives as it was typed."""
    assert run.literal("$(HOME) $$ $x") == "$$(HOME) $$$$ $$x"


def test_python_is_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The active virtual environment's Python, else the first on PATH."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    assert run.python() == str(python)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "gone"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    named = tmp_path / "bin" / "python3"
    named.touch(0o755)
    assert run.python() == str(named)


def test_the_data_directory_is_the_services_own_default(tmp_path: Path) -> None:
    """The client looks where settings.py puts it, variable by variable."""
    from trainyard.settings import default_data_dir

    for environment in ({"HOME": "/h"}, {"HOME": "/h", "XDG_DATA_HOME": "/x"}, {"HOME": "/h", "XDG_DATA_HOME": "rel"}):
        assert background.data_dir(environment) == default_data_dir(environment)
    assert background.data_dir({"TRAINYARD_DATA_DIR": str(tmp_path)}) == tmp_path
    assert background.data_dir({"TRAINYARD_DATA_DIR": "/other"}, str(tmp_path)) == tmp_path


def test_somebody_elses_server_is_not_taken_for_ours(stand_in: Any) -> None:
    """A port on which another program answers is a Problem that says so, not a reason to start a second service."""
    stand_in.answer = lambda asked: (404, b"<html>")
    with pytest.raises(Problem, match="no Trainyard"):
        background.answers(stand_in.target)
    stand_in.answer = lambda asked: (503, {"error": {"message": "starting", "status": "UNAVAILABLE"}})
    assert background.answers(stand_in.target) is False
    stand_in.answer = lambda asked: (200, {"status": "ok"})
    assert background.answers(stand_in.target) is True


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """No place for the data is one sentence with the place."""
    (tmp_path / "file").touch()
    with pytest.raises(Problem, match="can't keep its data"), background.start_lock(tmp_path / "file" / "below"):
        pass


def test_lines_are_shown_with_their_replica(screen: Any) -> None:
    """A label, the message of a JSON line, the last frame of a progress bar; only warnings of the narration."""
    terminal = Terminal(screen(False), screen(False), {})
    assert labelled(terminal, "workerpool0-0", "text", 15) == "workerpool0-0   │ text"
    assert shown_text({"text": "10%\r50%\r90%\r"}, live=True) == "90%"
    assert shown_text({"text": "10%\r50%"}, live=False) == "10%\r50%"
    assert shown_text({"payload": {"message": "m"}, "severity": "ERROR"}, live=False) == "ERROR: m"
    assert shown_text({"payload": {"loss": 1}}, live=False) == '{"loss": 1}'
    assert is_routine({"task": "service", "severity": "INFO"})
    assert not is_routine({"task": "service", "severity": "WARNING"})
    assert not is_routine({"task": "workerpool0-0", "severity": "INFO"})


def test_the_end_is_known_though_the_service_leaves(stand_in: Any, screen: Any) -> None:
    """A service that goes away right after the end leaves us with what the stream told."""

    def answer(asked: Any) -> Any:
        if "/logs" not in asked.path:
            return lambda handler: None
        told = '{"state": "JOB_STATE_FAILED", "sentence": "exited with a non-zero status of 7."}'

        def write(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.end_headers()
            handler.wfile.write(f"id: 1\nevent: state\ndata: {told}\n\nevent: end\ndata: {told}\n\n".encode())

        return write

    stand_in.answer = answer
    api = ServiceApi(stand_in.target)
    job = Follower(api, "projects/1/locations/l/customJobs/7", Terminal(screen(False), screen(False), {})).follow()
    assert run.exit_code(job) == 7
    with pytest.raises(Unreachable):
        api.get("projects/1/locations/l/customJobs/7")


def test_three_lines_point_the_sdk_here() -> None:
    """They are Python, and there are three."""
    lines = sdk_lines("http://127.0.0.1:1")
    assert len(lines) == 3
    compile("\n".join(lines), "lines", "exec")
