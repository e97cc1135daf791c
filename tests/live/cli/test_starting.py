"""`run` and `demo` start a service where none runs; `doctor` says beforehand whether it will work."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("trainyard"))
STARTED = re.compile(r"process (\d+)")
ENOUGH_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def alone(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """A user without a service; those started meanwhile are ended."""
    told = {**environment, "HOME": str(tmp_path), "TRAINYARD_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    yield told
    for log in tmp_path.rglob("*.pid"):
        os.kill(int(log.read_text()), signal.SIGTERM)


def note(errors: str, directory: Path) -> list[int]:
    """Remember started services for the end of the test."""
    found = [int(number) for number in STARTED.findall(errors)]
    for number in found:
        (directory / f"{number}.pid").write_text(str(number))
    return found


def test_run_starts_a_service_once_and_leaves_it_running(alone: dict[str, str], tmp_path: Path) -> None:
    """Of two commands at the same time one starts a service, both use it, and it is there afterwards."""
    (tmp_path / "quick.py").write_text("print('quick')")
    command = [PROGRAM, "run", str(tmp_path / "quick.py")]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=alone)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=ENOUGH_SECONDS) for process in both]
    started = note("".join(errors for _, errors in told), tmp_path)
    assert [process.returncode for process in both] == [0, 0], told
    assert [out for out, _ in told] == ["quick\n", "quick\n"]
    assert len(started) == 1
    health = subprocess.run(
        [PROGRAM, "health", "--format=value(pid)"], capture_output=True, text=True, env=alone, check=True
    )
    assert health.stdout.split() == [str(started[0])]
    assert (tmp_path / ".local" / "share" / "trainyard" / "trainyard.db").exists()


def test_run_does_not_start_somebody_elses_service(alone: dict[str, str], tmp_path: Path) -> None:
    """An endpoint that is not this machine's is not ours to start: exit code 3."""
    (tmp_path / "quick.py").write_text("")
    command = [PROGRAM, "run", "--endpoint", "http://127.0.0.1:1/prefix", str(tmp_path / "quick.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=alone, check=False)
    assert done.returncode == 3
    assert "not this machine's to start" in done.stderr


def test_a_service_that_cannot_start_gives_its_last_words(alone: dict[str, str], tmp_path: Path) -> None:
    """What keeps the service from starting is shown, with where the rest of its output is."""
    (tmp_path / "quick.py").write_text("")
    data = tmp_path / "data"
    data.mkdir()
    (data / "settings.toml").write_text("colour = 'red'\n")
    command = [PROGRAM, "run", str(tmp_path / "quick.py")]
    told = {**alone, "TRAINYARD_DATA_DIR": str(data)}
    done = subprocess.run(command, capture_output=True, text=True, env=told, check=False)
    assert done.returncode == 1
    assert "colour" in done.stderr
    assert str(data / "serve.log") in done.stderr


def test_doctor_finds_this_machine_fit(alone: dict[str, str]) -> None:
    """Every essential check passes here; --format=json says the same to programs."""
    done = subprocess.run([PROGRAM, "doctor"], capture_output=True, text=True, env=alone, check=False)
    assert done.returncode == 0, done.stdout
    assert "Jobs will run on this machine" in done.stdout
    report = json.loads(
        subprocess.run(
            [PROGRAM, "doctor", "--format=json"], capture_output=True, text=True, env=alone, check=True
        ).stdout
    )
    assert report["ready"] is True
    assert {"Python", "splice", "data directory"} <= {each["name"] for each in report["findings"] if each["core"]}


def test_doctor_fails_where_nothing_would_work(alone: dict[str, str], tmp_path: Path) -> None:
    """A data directory that can't be made is essential: exit code 1, and what to do."""
    (tmp_path / "file").write_text("")
    command = [PROGRAM, "doctor", "--data-dir", str(tmp_path / "file" / "below")]
    done = subprocess.run(command, capture_output=True, text=True, env=alone, check=False)
    assert done.returncode == 1
    assert re.search(r"NO +data directory", done.stdout)
    assert "--data-dir" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("lightgbm") is None, reason="the demo's packages are not installed; make demo installs them"
)
def test_the_demo_trains_one_model_on_three_replicas(alone: dict[str, str], tmp_path: Path) -> None:
    """The main job: all three replicas speak, the model lies where it is said to, its service ends with it."""
    command = [PROGRAM, "demo", "--data-dir", str(tmp_path / "d"), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=alone, check=False, timeout=ENOUGH_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    for replica in ("workerpool0-0", "workerpool1-0", "workerpool1-1"):
        assert f"│ up as {replica}" in done.stdout
    accuracy = re.search(r"^  accuracy +(0\.\d+)", done.stdout, re.MULTILINE)
    assert accuracy
    assert float(accuracy.group(1)) > 0.9
    model = re.search(r"^  model +(\S+)", done.stdout, re.MULTILINE)
    assert model
    assert "num_class=10" in Path(model.group(1)).read_text()
    assert "aiplatform.init(" in done.stdout
    (pid,) = STARTED.findall(done.stdout)
    assert not Path("/proc", pid).exists()


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("lightgbm") is None, reason="the demo's packages are not installed; make demo installs them"
)
def test_the_demo_takes_everything_with_it(alone: dict[str, str], tmp_path: Path) -> None:
    """Ended from outside in the middle of training, the demo leaves neither its service nor a replica behind."""
    command = [PROGRAM, "demo", "--data-dir", str(tmp_path / "d"), "--port", "0"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=alone)
    assert demo.stdout is not None
    while "│ up as" not in (line := demo.stdout.readline()):
        assert line, "the demo ended by itself"
    assert processes_of(tmp_path)
    demo.terminate()
    demo.stdout.read()
    demo.stdout.close()
    assert demo.wait(ENOUGH_SECONDS) == 128 + signal.SIGTERM
    deadline = time.monotonic() + ENOUGH_SECONDS
    while processes_of(tmp_path):
        assert time.monotonic() < deadline, processes_of(tmp_path)
        time.sleep(0.05)


def processes_of(directory: Path) -> list[str]:
    """Every process that was started for a data directory: it stands in its command line or in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(directory / "d").encode() in told:
            found.append(process.name)
    return found


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("lightgbm") is None, reason="the demo's packages are not installed; make demo installs them"
)
def test_the_demo_leaves_its_service_when_asked(alone: dict[str, str], tmp_path: Path) -> None:
    """--keep: the three lines work right away, because the service answers at the address that they name."""
    command = [PROGRAM, "demo", "--keep", "--data-dir", str(tmp_path / "d"), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=alone, check=False, timeout=ENOUGH_SECONDS)
    note(done.stdout, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r'api_endpoint="(\S+?)"', done.stdout)
    assert found
    listing = [PROGRAM, "custom-jobs", "list", "--endpoint", found.group(1), "--format=value(displayName,state)"]
    listed = subprocess.run(listing, capture_output=True, text=True, env=alone, check=True)
    assert listed.stdout == "distributed-digits\tJOB_STATE_SUCCEEDED\n"
