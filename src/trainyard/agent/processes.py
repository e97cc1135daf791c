"""Process trees as the kernel tells them: who descends from whom, and how to end all of them, forkers included."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

_DEAD_STATES = "ZX"


class Process:
    """One line of /proc: a process as it was when it was read. pid and start_ticks together name it for ever."""

    __slots__ = ("group", "parent", "pid", "session", "start_ticks", "state", "threads")

    def __init__(self, pid: int, stat: bytes) -> None:
        """Read /proc/PID/stat (proc(5)); the command in it may hold any byte, so parse after its last bracket."""
        fields = stat[stat.rindex(b")") + 2 :].split()
        self.pid = pid
        self.state = fields[0].decode()
        self.parent, self.group, self.session = int(fields[1]), int(fields[2]), int(fields[3])
        self.threads = int(fields[17])
        self.start_ticks = int(fields[19])

    @property
    def key(self) -> tuple[int, int]:
        """Names this process and no later one with the same pid."""
        return self.pid, self.start_ticks

    @property
    def is_alive(self) -> bool:
        """Whether it can still do anything; a zombie can't, unless only its first thread has ended."""
        return self.state not in _DEAD_STATES or self.threads > 1


def read(pid: int) -> Process | None:
    """One process, or None if there is none."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return Process(pid, os.read(descriptor, 4096))
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)


def everyone() -> list[Process]:
    """Every process that /proc shows."""
    seen = (read(int(name)) for name in os.listdir("/proc") if name.isdecimal())
    return [process for process in seen if process is not None]


def children() -> list[int]:
    """The pids of this (single-threaded) process's children, zombies included.

    Only the caller itself removes entries from that list, by reaping, so the read misses none.
    """
    try:
        descriptor = os.open("/proc/thread-self/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        me = os.getpid()
        return [process.pid for process in everyone() if process.parent == me]
    try:
        content = b""
        while chunk := os.read(descriptor, 65536):
            content += chunk
    finally:
        os.close(descriptor)
    return [int(pid) for pid in content.split()]


def descendants(roots: Iterable[int], table: list[Process] | None = None) -> list[Process]:
    """Every living process below `roots` (not the roots themselves)."""
    by_parent: dict[int, list[Process]] = {}
    for process in everyone() if table is None else table:
        by_parent.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    ahead = list(roots)
    while ahead:
        for child in by_parent.get(ahead.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                ahead.append(child.pid)
    return [process for process in found.values() if process.is_alive]


def send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process: never a later one that was given its pid."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        now = read(process.pid)
        if now is not None and now.key == process.key:
            signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return
    finally:
        os.close(descriptor)


def end_all(find: Callable[[], list[Process]], between: Callable[[], None], deadline: float | None = None) -> bool:
    """SIGKILL whatever `find` finds until it finds nothing; False if `deadline` (monotonic) came first.

    All are stopped before any is killed: a program that forks for ever can't use the room that the killing makes.
    `between` is called after each round, for reaping.
    """
    while True:
        found = _freeze(find)
        if not found:
            return True
        for group in _groups(found):
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        for process in found:
            send(process, signal.SIGKILL)
        between()
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(0.001)


def _freeze(find: Callable[[], list[Process]]) -> list[Process]:
    stopped: dict[tuple[int, int], Process] = {}
    while True:
        fresh = [process for process in find() if process.key not in stopped]
        if not fresh:
            return list(stopped.values())
        for group in _groups(fresh):
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGSTOP)  # one call, and the kernel lets no fork slip through it
        for process in fresh:
            send(process, signal.SIGSTOP)
            stopped[process.key] = process


def _groups(found: Iterable[Process]) -> set[int]:
    """Process groups that hold nobody but descendants: every session but our own was begun by one of them."""
    mine = os.getsid(0)
    return {process.group for process in found if process.session != mine and process.group > 1}
