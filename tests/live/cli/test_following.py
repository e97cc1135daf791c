"""Following a job on a terminal and through the death of the service."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"


@pytest.fixture
def sleeper(tmp_path: Path) -> str:
    path = tmp_path / "sleeper.py"
    path.write_text(SLEEPER)
    return str(path)


def state_of(trainyard: Run, display_name: str) -> str:
    return trainyard("custom-jobs", "describe", display_name, "--format=value(state)").stdout.strip()


def test_on_a_terminal_states_are_coloured_and_a_status_is_drawn(on_terminal: Any, sleeper: str) -> None:
    """A real terminal gets colours and a status line that is drawn over; Ctrl-C cancels the job and waits: 130."""
    shown = on_terminal("run", "--name", "coloured", sleeper)
    shown.wait_for("up\r\n")
    shown.wait_for("\r\x1b[K")
    assert "\x1b[36;1m● RUNNING" in shown.drawn
    assert re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]\x1b\[0m RUNNING", shown.drawn)
    shown.interrupt()
    shown.wait_for("Ctrl-C again")
    assert shown.end() == 130
    assert "● CANCELLED" in shown.drawn


def test_a_terminal_shows_how_far_a_job_is(on_terminal: Any, tmp_path: Path) -> None:
    """The status line has what the program says of its progress, and follows it."""
    path = tmp_path / "far.py"
    says = 'print(\'{"progress": %s, "secondsLeft": %s}\', flush=True)\n'
    gate = tmp_path / "gate"
    wait = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\n"
    path.write_text(f"{says % (0.25, 540)}{wait}{says % (0.5, 62)}time.sleep(600)")
    shown = on_terminal("run", "--name", "far", str(path))
    shown.wait_for("RUNNING  25%, 9m00s left")
    gate.touch()
    shown.wait_for("RUNNING  50%, 1m02s left")
    shown.interrupt()
    assert shown.end() == 130


def test_no_color_draws_without_colours(on_terminal: Any, tmp_path: Path) -> None:
    """NO_COLOR on a terminal: no colour at all."""
    (tmp_path / "quick.py").write_text("print('quick')")
    shown = on_terminal("run", str(tmp_path / "quick.py"), NO_COLOR="1")
    assert shown.end() == 0
    assert "● SUCCEEDED" in shown.drawn
    assert not re.search(r"\x1b\[[0-9;]*m", shown.drawn)


def test_on_a_pipe_nothing_is_drawn(trainyard: Run, tmp_path: Path) -> None:
    """A pipe gets plain lines: no escape sequence, no carriage return."""
    (tmp_path / "quick.py").write_text("print('quick')")
    done = trainyard("run", str(tmp_path / "quick.py"))
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr


def test_a_second_interrupt_leaves_the_job_to_the_service(on_terminal: Any, trainyard: Run, tmp_path: Path) -> None:
    """Whoever does not want to wait for the end of a stubborn program leaves; the service ends it all the same."""
    path = tmp_path / "stubborn.py"
    path.write_text("import signal, time\nsignal.signal(15, signal.SIG_IGN)\n" + SLEEPER)
    shown = on_terminal("run", "--name", "stubborn", str(path))
    shown.wait_for("up\r\n")
    shown.interrupt()
    shown.wait_for("Ctrl-C again")
    shown.interrupt()
    assert shown.end() == 130
    assert "left to the service" in shown.drawn
    assert state_of(trainyard, "stubborn") in ("JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED")


def test_delete_asks_on_a_real_terminal(on_terminal: Any, trainyard: Run, tmp_path: Path) -> None:
    """Without a yes nothing is deleted."""
    (tmp_path / "keep.py").write_text("pass")
    assert trainyard("run", "--name", "kept", str(tmp_path / "keep.py")).returncode == 0
    shown = on_terminal("custom-jobs", "delete", "kept")
    shown.wait_for("(y/N)?")
    import os

    os.write(shown.master, b"n\n")
    assert shown.end() == 1
    assert state_of(trainyard, "kept") == "JOB_STATE_SUCCEEDED"


@pytest.mark.kill
def test_a_killed_service_loses_no_line_and_doubles_none(service: Any, background: Any, tmp_path: Path) -> None:
    """kill -9 of the service in the middle of a stream: after its restart every line is there once, in order."""
    path = tmp_path / "count.py"
    path.write_text("import time\nfor n in range(400):\n    print(n, flush=True)\n    time.sleep(0.005)\n")
    process = background("run", str(path))
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(50)]
    for _ in range(2):
        service.kill()
        service.start()
        seen += [process.stdout.readline() for _ in range(20)]
    seen += process.stdout.readlines()
    assert [int(line) for line in seen] == list(range(400))
    assert process.wait(60) == 0
    assert "the service is back" in process.stderr.read()


def test_sigterm_ends_the_client_and_not_the_job(background: Any, trainyard: Run, sleeper: str) -> None:
    """A client that is ended from outside leaves its job running."""
    process = background("run", "--name", "left-alone", sleeper)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert state_of(trainyard, "left-alone") == "JOB_STATE_RUNNING"
    assert trainyard("custom-jobs", "cancel", "left-alone").returncode == 0
