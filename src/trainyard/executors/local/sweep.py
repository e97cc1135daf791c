"""Ends what is left of an incarnation whose agents were both killed, and writes the record that they could not."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from trainyard.agent import ending, processes, records
from trainyard.core.log_files import CLOSED, INDEX, STREAMS, index_record

_SLOW_TO_DIE_SECONDS = 10.0


def bury(control: str, logs: Path, name: str, lock: int) -> bool:
    """End every process of an incarnation without agents and record it as lost; False: try again later.

    Blocks; `lock` is the incarnation's, held by the caller and given up here.
    """
    try:
        if records.read_exit(control) is not None:
            return True
        running = records.read_state(control).running
        runs = str(Path(control).parent.parent)
        needles = f"{records.MARKER_VARIABLE}={name}".encode(), f"{records.RUNS_VARIABLE}={runs}".encode()
        rebooted = running is not None and running["boot_id"] != records.boot_id()
        ended: set[tuple[int, int]] = set()

        def left() -> list[processes.Process]:
            found = [] if rebooted else _members(needles, running)
            ended.update(process.key for process in found)
            return found

        if not processes.end_all(left, lambda: None, time.monotonic() + _SLOW_TO_DIE_SECONDS):
            return False
        close_logs(logs)
        record = ending.unstarted(ending.LOST, _sentence(running, rebooted, len(ended)))
        record["started_us"] = running["started_us"] if running else None
        records.write_exit(control, record)
    except OSError:
        return False  # a full disk, say: the lock is free again and the next look comes back here
    finally:
        os.close(lock)
    return True


def close_logs(logs: Path) -> None:
    """Say in an agent's stead that an incarnation's output is complete: its index up to date, its marker there."""
    if not logs.exists():  # it never said anything
        return
    lengths = [
        (number, path.stat().st_size) for number, stream in enumerate(STREAMS) if (path := logs / stream).exists()
    ]
    with (logs / INDEX).open("ab") as index:
        for number, length in lengths:
            if length:
                index.write(index_record(ending.now_us(), number, length))
    (logs / CLOSED).touch()


def _members(needles: tuple[bytes, bytes], running: dict[str, Any] | None) -> list[processes.Process]:
    """All living processes of an incarnation: by their environment, their session, their descent."""
    table = processes.everyone()
    marked = [process for process in table if process.is_alive and _carries(process.pid, needles)]
    sessions = {process.session for process in marked} - {os.getsid(0)}
    if running and any(p.pid == running["pid"] and p.start_ticks == running["start_ticks"] for p in table):
        sessions.add(running["pid"])
    found = {process.key: process for process in marked}
    found.update({p.key: p for p in table if p.is_alive and p.session in sessions})
    below = processes.descendants([process.pid for process in found.values()], table)
    found.update({process.key: process for process in below})
    return [process for process in found.values() if process.pid != os.getpid()]


def _carries(pid: int, needles: tuple[bytes, bytes]) -> bool:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # gone, or another user's: nothing that we started
    return all(needle in entries for needle in needles)


def _sentence(running: dict[str, Any] | None, rebooted: bool, ended: int) -> str:
    if rebooted:
        return "This machine was restarted while it ran, so its exit status is not known."
    if running is None:
        return (
            "Both of its agents were killed while they were starting it: their lock is free and there is no exit "
            f"record. {ended} process(es) of it were found and ended."
        )
    return (
        "Both of its agents were killed, so its exit status is not known: their lock is free and there is no exit "
        f"record. {ended} process(es) of it were found and ended."
    )
