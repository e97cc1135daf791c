"""The files by which agents and executor know of each other: each is written once, whole, and outlives both.

    <runs>/hints                               FIFO: agents write a run id when its reading may have changed
    <runs>/<run id>/stop                       JSON {"grace_seconds", "asked_at"}: end what runs, start nothing more
    <runs>/<run id>/wake                       FIFO: one byte in it says "read `stop`"; it is never taken out
    <runs>/<run id>/<replica>/<incarnation>/
        lock                                   flock held by the agents while one of them lives
        started                                made once, durable, before the program is executed (law 5)
        running                                JSON {"pid", "start_ticks", "started_us", "boot_id"}; then lines of notes
        exit.json                              the evidence of the end, durable before the program is reaped
        work/                                  the program's working directory

Whoever writes `exit.json` holds `lock`.
"""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any, Final

HINTS: Final = "hints"
STOP: Final = "stop"
WAKE: Final = "wake"
LOCK: Final = "lock"
STARTED: Final = "started"
RUNNING: Final = "running"
EXIT: Final = "exit.json"
WORK: Final = "work"
MARKER_VARIABLE: Final = "TRAINYARD_RUN"       # with the next one, in the environment of every process of a replica
RUNS_VARIABLE: Final = "TRAINYARD_RUNS"
MOST_BYTES_OF_A_RECORD: Final = 64 * 1024


def marker(run_id: str, replica: str, incarnation: int) -> str:
    """The value of TRAINYARD_RUN in the environment of every process of one incarnation."""
    return f"{run_id}/{replica}/{incarnation}"


def take_lock(directory: str) -> int | None:
    """The lock of an incarnation as an open descriptor (children share it), or None if somebody holds it."""
    descriptor = os.open(f"{directory}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_upwards(path: str, root: str) -> None:
    """Make a path durable: its names from `path` up to and including those in `root`.

    On a journalling file system the first call commits them all and the others find nothing to do.
    """
    while True:
        sync_directory(path)
        if path == root:
            return
        path = os.path.dirname(path)  # noqa: PTH120 - no pathlib in the agent


def mark_started(directory: str, root: str) -> bool:
    """True for exactly one caller ever, and then durably so."""
    try:
        descriptor = os.open(f"{directory}/{STARTED}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    try:
        os.fsync(descriptor)
        sync_upwards(directory, root)
    except OSError:
        os.unlink(f"{directory}/{STARTED}")      # nothing is executed after this, so it may be tried again  # noqa: PTH108 - no pathlib in the agent
        raise
    finally:
        os.close(descriptor)
    return True


def write_running(directory: str, record: dict[str, Any]) -> None:
    """Say that the program runs. One write below a page: a reader sees all of it or nothing."""
    _append(f"{directory}/{RUNNING}", record)


def write_note(directory: str, note: str) -> None:
    """Say what is wrong meanwhile; it fits in the file's first block, so it works on a full disk, too."""
    with contextlib.suppress(OSError):
        _append(f"{directory}/{RUNNING}", {"note": note})


def write_stopping(directory: str) -> None:
    """Say that the program is about to be sent SIGTERM; on a full disk, too."""
    with contextlib.suppress(OSError):
        _append(f"{directory}/{RUNNING}", {"stopping": True})


def is_stopping(directory: str) -> bool:
    """Whether an agent has come to the point of sending SIGTERM."""
    return b'{"stopping": true}' in _read(f"{directory}/{RUNNING}")


def _append(path: str, record: dict[str, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(record).encode() + b"\n")
    finally:
        os.close(descriptor)


def read_running(directory: str) -> tuple[dict[str, Any] | None, str]:
    """The record of the running program and the last note; (None, "") before it runs."""
    record: dict[str, Any] | None = None
    note = ""
    for line in _read(f"{directory}/{RUNNING}").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if "pid" in entry:
                record = entry
            note = entry.get("note", note)
    return record, note


def write_exit(directory: str, record: dict[str, Any]) -> None:
    """Write the exit record so that it is there whole or not at all, also after a power cut."""
    _replace(f"{directory}/{EXIT}", record, durable=True)


def read_exit(directory: str) -> dict[str, Any] | None:
    """The exit record, or None while there is none."""
    text = _read(f"{directory}/{EXIT}")
    return json.loads(text) if text else None


def write_stop(run_directory: str, grace_seconds: float, asked_at: float) -> None:
    """Ask for the end of a run group. `asked_at` is on the machine's monotonic clock, which all processes share."""
    _replace(f"{run_directory}/{STOP}", {"grace_seconds": grace_seconds, "asked_at": asked_at}, durable=False)


def read_stop(run_directory: str) -> float | None:
    """When the grace is over, on the monotonic clock; None when no stop was asked."""
    text = _read(f"{run_directory}/{STOP}")
    if not text:
        return None
    record = json.loads(text)
    return float(record["asked_at"]) + float(record["grace_seconds"])


def tell(runs_directory: str, run_id: str) -> None:
    """Leave a hint for the server. A hint only: with nobody reading, or a full FIFO, it is dropped."""
    with contextlib.suppress(OSError):
        descriptor = os.open(f"{runs_directory}/{HINTS}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, run_id.encode() + b"\n")
        finally:
            os.close(descriptor)


def boot_id() -> str:
    """Changes with every boot of the machine; empty where the kernel does not say."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    try:
        return os.read(descriptor, MOST_BYTES_OF_A_RECORD)
    finally:
        os.close(descriptor)


def _replace(path: str, record: dict[str, Any], *, durable: bool) -> None:
    draft = f"{path}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        content = json.dumps(record).encode()
        if os.write(descriptor, content) != len(content):
            raise OSError(28, os.strerror(28), path)     # ENOSPC in the middle of a small record
        if durable:
            os.fsync(descriptor)
    except OSError:
        os.unlink(draft)  # noqa: PTH108 - no pathlib in the agent
        raise
    finally:
        os.close(descriptor)
    os.rename(draft, path)  # noqa: PTH104 - no pathlib in the agent
    if durable:
        sync_directory(os.path.dirname(path))  # noqa: PTH120 - no pathlib in the agent
