"""The files by which agents and executor know of each other: each outlives both, and says one thing once.

    <runs>/hints                            FIFO: agents write a run id when its reading may have changed
    <runs>/<run id>/stop                    JSON {"grace_seconds", "asked_at"}: end what runs, start nothing more
    <runs>/<run id>/<replica>.<incarnation>.state
                                            flock held by the agents while one of them lives; lines of JSON:
                                            {"started"}, durable before the program is executed (law 5),
                                            {"pid", "start_ticks", "started_us", "boot_id"} once it is, and
                                            "shells", what who asks for one has to show (agent/shells.py),
                                            {"stopping"} before it is sent SIGTERM, {"note"} what troubles it,
                                            {"exit"}: the evidence of the end, durable before the program is reaped
    <runs>/<run id>/<replica>.<incarnation>/
                                            the program's working directory

Whoever writes the first line of `state`, or its `exit`, holds the lock. One file and few directories, because
creating those costs more than all else that an agent does. Functions take the path without its ending: `control`.

A datagram to the agents of an incarnation says "read `stop`". Their socket has no file either: its name is abstract
(unix(7)), made of the state file's device and inode. It is a hint; who takes over reads `stop` of himself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable
from functools import cache
from typing import Any, Final

HINTS: Final = "hints"
STOP: Final = "stop"
SHELLS: Final = "shells"
MARKER_VARIABLE: Final = "TRAINYARD_RUN"  # with the next one, in the environment of every process of a replica
RUNS_VARIABLE: Final = "TRAINYARD_RUNS"
_MOST_BYTES_AT_ONCE: Final = 64 * 1024


class State:
    """What the state file of an incarnation says."""

    __slots__ = ("exit", "is_started", "is_stopping", "note", "running")

    def __init__(self, content: bytes) -> None:
        """Read the lines; a torn one counts as none, but the file as started from its first byte."""
        self.is_started = bool(content)
        self.is_stopping = False
        self.running: dict[str, Any] | None = None
        self.exit: dict[str, Any] | None = None
        self.note = ""
        for line in content.splitlines():
            with contextlib.suppress(ValueError, AttributeError):
                entry = json.loads(line)
                self.exit = entry.get("exit", self.exit)
                if "pid" in entry:
                    self.running = entry
                self.is_stopping = self.is_stopping or "stopping" in entry
                self.note = entry.get("note", self.note)


def control_path(runs: str, run_id: str, replica: str, incarnation: int) -> str:
    """Where the files of one incarnation lie, without their ending; also its working directory."""
    return f"{runs}/{run_id}/{replica}.{incarnation}"


def marker(run_id: str, replica: str, incarnation: int) -> str:
    """The value of TRAINYARD_RUN in the environment of every process of one incarnation."""
    return f"{run_id}/{replica}/{incarnation}"


def take_lock(control: str) -> int | None:
    """The state file of an incarnation, open and locked (children share it), or None if somebody holds it."""
    descriptor = os.open(f"{control}.state", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
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
        path = os.path.dirname(path)


def mark_started(control: str, lock: int, runs: str, named: Callable[[], bool] = lambda: False) -> None:
    """Make it durable that the program may be executed; if this raises OSError, it may not, and was not.

    `named` is asked after the content whether somebody else has made the file's names durable meanwhile.
    """
    try:
        append(lock, {"started": True})
        os.fsync(lock)
        if not named():
            sync_upwards(os.path.dirname(control), runs)
    except OSError:
        os.ftruncate(lock, 0)
        raise


def append(state: int, entry: dict[str, Any]) -> None:
    """Add a line to the state file. It fits in the file's first block, so it works on a full disk, too."""
    os.write(state, json.dumps(entry).encode() + b"\n")


def read_state(control: str) -> State:
    """The state of an incarnation; an empty one while there is none."""
    return State(_read(f"{control}.state"))


def write_exit(control: str, record: dict[str, Any]) -> None:
    """Add the exit record, so that it is there whole or not at all, also after a power cut. The caller has the lock."""
    content = b"\n" + json.dumps({"exit": record}).encode() + b"\n"  # a line of its own, also behind a torn one
    descriptor = os.open(f"{control}.state", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{control}.state")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
    if not before:  # it was never started, so nobody has made its name durable yet
        sync_directory(os.path.dirname(control))


def read_exit(control: str) -> dict[str, Any] | None:
    """The exit record, or None while there is none."""
    return read_state(control).exit


def write_stop(run_directory: str, grace_seconds: float, asked_at: float) -> None:
    """Ask for the end of a run group. `asked_at` is on the machine's monotonic clock, which all processes share."""
    path, record = f"{run_directory}/{STOP}", {"grace_seconds": grace_seconds, "asked_at": round(asked_at, 6)}
    draft = f"{path}.{os.urandom(8).hex()}"  # others may ask at the same time, in this process too
    try:
        _replace(path, draft, record)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.symlink(json.dumps(record), draft)  # so short a target is kept in the inode: it takes no room
        os.rename(draft, path)


def listen(state: int) -> int:
    """A socket that `wake` reaches, for the agent that has the state file open; -1 where the kernel denies it one."""
    hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        hearing.bind(_name_of(os.fstat(state)))
    except OSError:
        hearing.close()
        return -1
    return hearing.detach()


def listen_for_shells(state: int) -> socket.socket | None:
    """As `listen`, for who asks for a shell (agent/shells.py); None where the kernel denies us one."""
    hearing = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        hearing.bind(shells_name(os.fstat(state)))
        hearing.listen()
    except OSError:
        hearing.close()
        return None
    return hearing


def shells_name(state: os.stat_result) -> str:
    """Where the agents of the incarnation with this state file hear who asks for a shell."""
    return f"{_name_of(state)}/{SHELLS}"


def drain(hearing: int) -> None:
    """Take out what has come: whoever reads `stop` after this misses nothing."""
    with contextlib.suppress(BlockingIOError):
        while os.read(hearing, 1):
            continue


def wake(run_directory: str) -> None:
    """Have the agents of a run group read `stop`, which is there already; one who comes up now reads it anyway."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as calling,
        os.scandir(run_directory) as entries,
    ):
        for entry in entries:
            if entry.name.endswith(".state"):
                with contextlib.suppress(OSError):  # nobody listens, or somebody is woken many times over
                    calling.sendto(b"s", _name_of(entry.stat()))


def read_stop(run_directory: str) -> float | None:
    """When the grace is over, on the monotonic clock; None when no stop was asked."""
    path = f"{run_directory}/{STOP}"
    text: str | bytes | None
    try:
        text = os.readlink(path)
    except OSError:  # it is a file, or nothing
        text = _read(path)
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


@cache
def boot_id() -> str:
    """Changes with every boot of the machine; empty where the kernel does not say."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def _name_of(state: os.stat_result) -> str:
    return f"\0trainyard/{state.st_dev:x}/{state.st_ino:x}"


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    try:
        content = os.read(descriptor, _MOST_BYTES_AT_ONCE)
        while len(content) % _MOST_BYTES_AT_ONCE == 0 and (more := os.read(descriptor, _MOST_BYTES_AT_ONCE)):
            content += more
        return content
    finally:
        os.close(descriptor)


def _replace(path: str, draft: str, record: dict[str, Any]) -> None:
    """Whole or not at all, as far as processes see it."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        content = json.dumps(record).encode()
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    except OSError:
        os.unlink(draft)
        raise
    finally:
        os.close(descriptor)
    os.rename(draft, path)
