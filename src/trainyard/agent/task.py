"""One incarnation as its agents hold it: what to run, and the open files that guard and supervisor share."""
from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any

from trainyard.agent import records
from trainyard.core.log_files import CLOSED, INDEX, STREAMS


class Task:
    """All paths are absolute. The descriptors are opened once, before the agents part, so that both have the same."""

    def __init__(self, request: dict[str, Any], channel: socket.socket) -> None:
        """`request` is what the executor sent over `channel`: see executors/local/launcher.py."""
        self._channel = channel
        self.run_id: str = request["run_id"]
        replica, incarnation = request["replica"], request["incarnation"]
        self.name = records.marker(self.run_id, replica, incarnation)
        self.runs: str = request["runs"]
        self.run_directory = f"{self.runs}/{self.run_id}"
        self.control = self.work = records.control_path(self.runs, self.run_id, replica, incarnation)
        self.logs: str = request["logs"]
        self.logs_root: str = request["logs_root"]
        self.argv: list[str] = request["argv"]
        self.env: dict[str, str] = request["env"]
        self.lock = -1
        self.wake = -1
        self.index = -1
        self.pipes: list[int] = []
        self.targets: list[int] = []
        self._write_ends: list[int] = []

    def make_directories(self) -> None:
        """Working and log directories; raises OSError."""
        os.makedirs(self.work, exist_ok=True)  # noqa: PTH103 - no pathlib in the agent
        os.makedirs(self.logs, exist_ok=True)  # noqa: PTH103 - no pathlib in the agent

    def take_lock(self) -> bool:
        """Whether this process, and what it forks, is now the one that holds the incarnation."""
        lock = records.take_lock(self.control)
        self.lock = -1 if lock is None else lock
        return lock is not None

    def was_started(self) -> bool:
        """Whether any agent ever came to the point of executing the program."""
        return os.fstat(self.lock).st_size > 0

    def open_streams(self) -> None:
        """Pipes for the program, files for their bytes, and the index; raises OSError."""
        for name in STREAMS:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reading, False)
            self.pipes.append(reading)
            self._write_ends.append(writing)
            # Without O_APPEND, which splice refuses; readable for the last lines.
            self.targets.append(os.open(f"{self.logs}/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        self.index = os.open(f"{self.logs}/{INDEX}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write_ends(self) -> tuple[int, int]:
        """Where the program writes: stdout, stderr. A pipe whose writing end we closed is opened anew."""
        if not self._write_ends:
            self._write_ends = [os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_CLOEXEC) for pipe in self.pipes]
        return self._write_ends[0], self._write_ends[1]

    def close_write_ends(self) -> None:
        """Let go of the program's ends, so that the pipes end when its last process does."""
        for descriptor in self._write_ends:
            os.close(descriptor)
        self._write_ends = []

    def close_logs(self) -> None:
        """Make the output durable and say that it is complete. May be repeated; raises OSError."""
        if any(os.fstat(target).st_size for target in self.targets):
            for descriptor in (*self.targets, self.index):
                os.fdatasync(descriptor)
            records.sync_upwards(self.logs, self.logs_root)
        os.close(os.open(f"{self.logs}/{CLOSED}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))

    def mark_started(self) -> None:
        """From here on the incarnation counts as started, for ever. Raises OSError if that can't be made durable."""
        if not self.was_started():
            records.mark_started(self.control, self.lock, self.runs)

    def say(self, entry: dict[str, Any]) -> None:
        """Add a line to the state file and hint the server; on a failing disk the line is lost, nothing else."""
        with contextlib.suppress(OSError):
            records.append(self.lock, entry)
        self.tell()

    def complain(self, error: OSError) -> None:
        """Tell the server why nothing could be started yet. Nobody may listen: the next server asks for itself."""
        why = f"{error.strerror}: {error.filename}" if error.filename else str(error)
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps({"name": self.name, "error": why}).encode(), socket.MSG_DONTWAIT)

    def close_channel(self) -> None:
        """Let go of the server's channel: its end of file is how the server sees the spawner's death."""
        self._channel.close()

    def tell(self) -> None:
        """Hint the server that this group's reading has changed."""
        records.tell(self.runs, self.run_id)
