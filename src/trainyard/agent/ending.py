"""The exit record: what ended, how, and the evidence for it, in the fields of core.runs.Exit."""

from __future__ import annotations

import os
import signal
import stat
import time
from typing import Any

from trainyard.agent.kernel import Ended
from trainyard.agent.memory import KillCounter

# The values of core.runs.Cause; a test holds them equal. Importing it would double the agent's memory.
EXITED, SIGNALED, STOPPED, OUT_OF_MEMORY = "exited", "signaled", "stopped", "oom"
START_FAILED, LOST = "start failed", "lost"
STOPPED_BEFORE_START = "It was stopped before it was started."

_LONGEST_LINE_OF_A_RECORD = 64 * 1024
_ENOUGH_FOR_A_RECORD = 2048  # the record fits into what a full disk still has
_KILLED_AS_A_SHELL_TELLS = 128 + signal.SIGKILL


def now_us() -> int:
    """Calendar time in microseconds: the agent is the place where a replica's times are taken."""
    return time.time_ns() // 1000


def of_program(end: Ended, *, stopped: bool, memory: KillCounter, started_us: int | None) -> dict[str, Any]:
    """The record of a program that ran."""
    kills = memory.risen() if end.code else 0
    cause, message = _cause(end, stopped, kills, memory)
    return {
        "cause": cause,
        "code": end.code,
        "signal": end.signal,
        "message": message,
        "started_us": started_us,
        "ended_us": now_us(),
        "peak_memory_bytes": end.peak_memory_bytes,
        "cpu_seconds": end.cpu_seconds,
    }


def unstarted(cause: str, message: str, *, internal: bool = False) -> dict[str, Any]:
    """The record of a program that was never executed, or whose status nobody has. `internal`: for a fault of ours."""
    return {"cause": cause, "message": message, "ended_us": now_us(), "internal": internal}


def newest_lines(path: str) -> str | None:
    """The end of a file that a program has left: whole lines, few enough for a record; None without such a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return None
        start = max(0, found.st_size - _LONGEST_LINE_OF_A_RECORD)
        content = os.pread(descriptor, _LONGEST_LINE_OF_A_RECORD, start)
    finally:
        os.close(descriptor)
    lines = content.splitlines(keepends=True)
    kept = lines[-1:]
    for line in reversed(lines[:-1]):
        if len(kept) > 1 and sum(map(len, kept)) + len(line) > _ENOUGH_FOR_A_RECORD:
            break
        kept.insert(0, line)
    return b"".join(kept).decode(errors="replace")


def _cause(end: Ended, stopped: bool, kills: int, memory: KillCounter) -> tuple[str, str]:
    if stopped:
        return STOPPED, ""
    if kills and end.code == _KILLED_AS_A_SHELL_TELLS:
        where = "its control group" if memory.is_ours else "this machine"
        return OUT_OF_MEMORY, (
            f"It was ended by SIGKILL, not by us, while the kernel counted {kills} out-of-memory "
            f"{'kill' if kills == 1 else 'kills'} in {where}."
        )
    message = "It dumped core." if end.core_dumped else ""
    if kills:
        message = f"{message} Meanwhile the kernel ended {kills} process(es) for lack of memory.".strip()
    return (EXITED if end.signal is None else SIGNALED), message
