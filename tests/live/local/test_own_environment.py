"""A job with a plain image may call pip, as the official client makes it do; this machine's Python stays as it is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from one_program import ran

from trainyard.core.runs import Cause, Exit, ReplicaSpec
from trainyard.executors.local.client import LocalOptions
from trainyard.executors.local.own_environment import calls_pip


@pytest.fixture
def host_python(tmp_path: Path) -> Path:
    """The directory of a Python with pip, standing for this machine's own: what is done to it can be seen."""
    home = tmp_path / "host"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    return home / "bin"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A package of one module."""
    path = tmp_path / "greeting-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("greeting.py", "print('hello from', __file__)\n")
        archive.writestr("greeting-1.0.dist-info/METADATA", metadata)
        archive.writestr(
            "greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("greeting-1.0.dist-info/RECORD", "")
    return path


async def run(data_dir: Path, program: str, bin_dir: Path, home: Path) -> tuple[Exit, str, tuple[str, ...]]:
    """Run a shell program with a machine's Python first on PATH; its end, its stdout, and what people are told."""
    environment = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}", "HOME": str(home)}
    reading, printed = await ran(data_dir, program, LocalOptions(environment=environment), "python:3.12")
    end = reading.of("workerpool0-0").exit
    assert end is not None
    return end, printed, reading.notes


def test_what_a_job_installs_stays_with_the_job(tmp_path: Path, host_python: Path, wheel: Path) -> None:
    """`pip3 install --user` works as it does in a container, and neither the host's Python nor the home has it."""
    home = tmp_path / "home"
    home.mkdir()
    program = f"pip3 install -q --no-index --user {wheel} && python3 -m greeting"
    end, printed, notes = asyncio.run(run(tmp_path / "data", program, host_python, home))
    assert (end.cause, end.code) == (Cause.EXITED, 0), end
    assert printed.startswith(f"hello from {tmp_path / 'data' / 'runs'}")
    assert any("calls pip" in note for note in notes)
    found = subprocess.run([host_python / "python3", "-c", "import greeting"], capture_output=True, check=False)
    assert found.returncode == 1
    assert not list(home.rglob("greeting*"))


def test_a_job_that_calls_pip_sees_what_its_python_has(tmp_path: Path, host_python: Path, wheel: Path) -> None:
    """Packages of the machine's own Python are still there, also where that is a virtual environment."""
    subprocess.run([host_python / "python3", "-m", "pip", "install", "-q", "--no-index", wheel], check=True)
    end, printed, _ = asyncio.run(
        run(tmp_path / "data", "pip install -q --help >/dev/null; python3 -m greeting", host_python, tmp_path)
    )
    assert (end.code, printed.startswith(f"hello from {tmp_path / 'host'}")) == (0, True)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("sh", "-c", "pip install --upgrade pip && pip3 install -q --user /gcs/b/x.tar.gz && python3 -m m"), True),
        (("python3", "-m", "pip", "install", "x"), True),
        (("/usr/bin/pip3.12", "install", "x"), True),
        (("sh", "-c", "echo pipeline install"), False),
        (("python3", "train.py"), False),
        ((), False),
    ],
)
def test_calling_pip_is_seen_in_the_command_line(command: tuple[str, ...], expected: bool) -> None:
    """Only who installs pays for an environment."""
    assert calls_pip(ReplicaSpec("workerpool0-0", 0, 0, "img", command)) is expected
