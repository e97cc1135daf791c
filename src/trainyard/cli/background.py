"""Starts a service in the background when none runs: once, however many commands want one at the same time."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from trainyard.cli.connection import Target
from trainyard.cli.problems import Problem, Refused, Unreachable
from trainyard.cli.service_api import ServiceApi
from trainyard.cli.terminal import Terminal

READY_SECONDS: Final = 30.0
_LOOK_EVERY_SECONDS: Final = 0.01
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_ADDRESS: Final = re.compile(rb"https?://[^\s/]+:\d+")


@dataclass(frozen=True, slots=True)
class Running:
    """A service that this command started."""

    endpoint: str
    process: subprocess.Popen[bytes]
    log: Path


def data_dir(environment: Mapping[str, str], given: str = "", leaf: str = "trainyard") -> Path:
    """Where a service keeps its state when nobody says: as settings.default_data_dir, which costs more to import."""
    chosen = given or environment.get("TRAINYARD_DATA_DIR", "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = environment.get("XDG_DATA_HOME", "")
    if base.startswith("/"):
        return Path(base) / leaf
    return Path(environment.get("HOME") or "~").expanduser() / ".local" / "share" / leaf


def ensure(api: ServiceApi, terminal: Terminal, environment: Mapping[str, str]) -> None:
    """Return when a service answers at the endpoint; starts one where the endpoint is this machine's own.

    Raises Unreachable where it is not, or Problem with the service's own last words.
    """
    if answers(api.target):
        return
    parts = urlsplit(api.target.endpoint)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK or parts.path.strip("/"):
        raise Unreachable(api.target.endpoint, "and it is not this machine's to start")
    directory = data_dir(environment)
    with start_lock(directory):
        if answers(api.target):
            return
        options = ["--host", parts.hostname or "", "--port", str(parts.port or 80)]
        running = start(directory, options, api.target.endpoint)
    terminal.line(
        f"started a service in the background: process {running.process.pid}, data in {directory}", "dim", err=True
    )


def answers(target: Target) -> bool:
    """Whether a service of ours is ready there. Raises Problem where somebody else's is."""
    try:
        ServiceApi(target).health()
    except Unreachable:
        return False
    except Refused as refusal:
        if refusal.status == "UNAVAILABLE":
            return False
        raise Problem(f"what answers at {target.endpoint} is no Trainyard ({refusal.sentence})") from None
    return True


@contextmanager
def start_lock(directory: Path) -> Iterator[None]:
    """Held while a service is being started on a data directory; the kernel lets go of it when we die."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Problem(f"the service can't keep its data in {directory}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def start(directory: Path, options: Sequence[str], endpoint: str = "") -> Running:
    """Start a service and wait until it is ready; without `endpoint` its own ready line says where it listens.

    The service outlives this command: a session of its own, output to a file. Raises Problem with its last words.
    """
    log = directory / "serve.log"
    command = [sys.executable, "-m", "trainyard", "serve", "--data-dir", str(directory), *options]
    with log.open("ab") as output:
        before = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    try:
        return _ready(process, log, before, endpoint)
    except BaseException:
        process.terminate()  # also when the user has had enough: nobody else knows of it yet
        raise


def _ready(process: subprocess.Popen[bytes], log: Path, before: int, endpoint: str) -> Running:
    """Wait until it answers; `before` is where its output begins in the log."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        where = endpoint or _ready_line(log, before)
        if where and answers(Target(where, "", "")):
            return Running(where, process, log)
        if process.poll() is not None:
            raise Problem(f"the service did not start (exit code {process.returncode})", _last_words(log, before))
        time.sleep(_LOOK_EVERY_SECONDS)
    raise Problem(f"the service was not ready after {READY_SECONDS:.0f} seconds", _last_words(log, before))


def stop(running: Running, patience_seconds: float = 20.0) -> None:
    """End a service that this command started."""
    running.process.terminate()
    try:
        running.process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        running.process.kill()
        running.process.wait()


def _ready_line(log: Path, offset: int) -> str:
    with log.open("rb") as written:
        written.seek(offset)
        whole, _, _ = written.read().rpartition(b"\n")
    match = _ADDRESS.search(whole)
    return match.group().decode() if match else ""


def _last_words(log: Path, offset: int) -> list[str]:
    with log.open("rb") as written:
        written.seek(offset)
        lines = written.read().decode("utf-8", "replace").splitlines()
    return [*lines[-8:], f"its output is in {log}"]
