"""Leaves nothing of a data directory's jobs alive once its service has ended: agents are asked, then all are killed."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from trainyard.agent import processes, records

_AGENTS_SECONDS: Final = 5.0
_KILL_SECONDS: Final = 10.0
_LOOK_EVERY_SECONDS: Final = 0.01


def end_all(runs: Path) -> None:
    """End every process of every run below `runs`. The service that launched them must be gone.

    Raises TimeoutError if the kernel does not let go of one.
    """
    for directory in _directories(runs):
        if _is_held(directory):
            _ask(directory)
    deadline = time.monotonic() + _AGENTS_SECONDS
    while any(_is_held(directory) for directory in _directories(runs)) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_SECONDS)
    if not processes.end_all(lambda: _members(runs), lambda: None, time.monotonic() + _KILL_SECONDS):
        raise TimeoutError(f"processes of {runs} did not end: {[each.pid for each in _members(runs)]}")


def _directories(runs: Path) -> list[Path]:
    try:
        return [each for each in runs.iterdir() if each.is_dir()]
    except FileNotFoundError:
        return []


def _is_held(directory: Path) -> bool:
    """Whether an agent of this run lives: each holds the lock of its state file (agent/records.py)."""
    return any(not _is_free(path) for path in directory.glob("*.state"))


def _is_free(path: Path) -> bool:
    with path.open("rb") as state:
        try:
            fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _ask(directory: Path) -> None:
    """The stop marker with no grace, and the wake-up that makes agents read it."""
    records.write_stop(str(directory), 0.0, time.monotonic())
    records.wake(str(directory))


def _members(runs: Path) -> list[processes.Process]:
    """Living processes that carry these runs in their environment, and all below them."""
    needle = f"{records.RUNS_VARIABLE}={runs}".encode()
    table = processes.everyone()
    marked = {each.key: each for each in table if each.is_alive and _carries(each.pid, needle)}
    below = processes.descendants([each.pid for each in marked.values()], table)
    marked.update({each.key: each for each in below})
    return [each for each in marked.values() if each.pid != os.getpid()]


def _carries(pid: int, needle: bytes) -> bool:
    try:
        return needle in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # gone, or another user's: nothing that was started here
