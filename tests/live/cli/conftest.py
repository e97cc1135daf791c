"""A real service, a home of its own, and the installed program on a pipe or on a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = str(Path(sys.executable).with_name("trainyard"))
DEADLINE_SECONDS = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    """Poll until it holds; a live test's only way to wait."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


@dataclass
class Service:
    """A service that can be killed and started again on the same port and data."""

    data: Path
    environment: Mapping[str, str]
    endpoint: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        port = self.endpoint.rpartition(":")[2] or "0"
        command = [PROGRAM, "serve", "--port", port, "--data-dir", str(self.data)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.environment)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        found = re.search(r"http://\S+:\d+", ready)
        assert found, f"no ready line but {ready!r}"
        self.endpoint = found.group()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(DEADLINE_SECONDS) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a user's shell has: a home, a PATH, nothing of ours."""
    home = tmp_path_factory.mktemp("home")
    return {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TERM": "xterm",
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("data"), environment)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def small_service(tmp_path: Path, environment: dict[str, str]) -> Iterator[Service]:
    """One with room for a single replica."""
    data = tmp_path / "small"
    data.mkdir()
    (data / "settings.toml").write_text("replicas = 1\n")
    running = Service(data, environment)
    running.start()
    yield running
    running.stop()


@dataclass
class OnTerminal:
    """The program on a pseudo-terminal: what it draws, and what is typed."""

    process: subprocess.Popen[bytes]
    master: int
    drawn: str = ""
    codes: list[int] = field(default_factory=list)

    def read(self) -> bool:
        ready, _, _ = select.select([self.master], [], [], 0.05)
        if ready:
            try:
                self.drawn += os.read(self.master, 65536).decode("utf-8", "replace")
            except OSError:
                return False
        return True

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while text not in self.drawn:
            assert self.read() or text in self.drawn, f"it ended without {text!r}: {self.drawn}"
            assert time.monotonic() < deadline, f"never drawn: {text!r}; but {self.drawn}"

    def end(self) -> int:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.read() and time.monotonic() < deadline:
            pass
        os.close(self.master)
        return self.process.wait(DEADLINE_SECONDS)

    def interrupt(self) -> None:
        os.write(self.master, b"\x03")


@pytest.fixture
def on_terminal(service: Service, environment: dict[str, str]) -> Callable[..., OnTerminal]:
    """Start the program on a terminal of its own, Ctrl-C included."""

    def start(*arguments: str, **more: str) -> OnTerminal:
        master, slave = pty.openpty()
        told = {**environment, "TRAINYARD_ENDPOINT": service.endpoint, **more}
        # A child of ours takes the terminal as its own, so that ^C typed into it reaches the program as SIGINT.
        take = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", take, PROGRAM, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=told,
            start_new_session=True,
        )
        os.close(slave)
        return OnTerminal(process, master)

    return start


@pytest.fixture
def trainyard(service: Service, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program to its end, on pipes."""

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            cwd=cwd,
            check=False,
            env={**environment, "TRAINYARD_ENDPOINT": service.endpoint},
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture
def background(service: Service, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the program on pipes and go on; whatever still runs at the end is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "TRAINYARD_ENDPOINT": service.endpoint},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
