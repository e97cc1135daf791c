"""One incarnation as an agent holds it: what to run, and where its streams come from and go to."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

from trainyard.agent import ending, records
from trainyard.agent.container import Engine
from trainyard.agent.pump import Index, Stream
from trainyard.agent.usage import Usage
from trainyard.core.log_files import CLOSED, INDEX, STREAMS
from trainyard.core.usage_records import USAGE

MOST_BYTES_OF_A_PACKET = 128 * 1024


class Task:
    """All paths are absolute. Lock and pipes are the guard's, from before the agents parted; the rest is found anew."""

    def __init__(self, request: dict[str, Any], lock: int, pipes: list[tuple[int, int]]) -> None:
        """`request` is what the executor sent: see executors/local/launcher.py.

        `pipes` are reading and writing ends of stdout and stderr; a writing end of -1 is made anew when it is needed.
        """
        self.run_id: str = request["run_id"]
        self.runs: str = request["runs"]
        self.run_directory = f"{self.runs}/{self.run_id}"
        self.control = self.work = records.control_path(
            self.runs, self.run_id, request["replica"], request["incarnation"]
        )
        self.logs: str = request["logs"]
        self.logs_root: str = request["logs_root"]
        self._program: dict[str, Any] | str = request["program"]
        self.report: str = request.get("report", "")  # an agent of before this field may be asked by one of after it
        self._output: str = request.get("output", "")
        self.opens_shells: bool = request.get("shells", False)
        self.is_sealed: bool = request.get("sealed", False)
        self.engine = Engine(self.control, request["engine"]) if "engine" in request else None
        self.usage = Usage(f"{self.logs}/{USAGE}", request.get("usage", {}))
        self.wake = -1
        self.lock = lock
        self._pipes = pipes
        self.index = Index(f"{self.logs}/{INDEX}")
        self.streams = [Stream(number, pipes[number][0], f"{self.logs}/{name}") for number, name in enumerate(STREAMS)]

    def program(self) -> tuple[list[str], dict[str, str]]:
        """Arguments and environment; in a file of their own where they are too large for a packet. Raises OSError."""
        program = self._program
        if isinstance(program, str):
            with open(program, "rb") as file:
                program = json.load(file)
        assert isinstance(program, dict)
        return program["argv"], program["env"]

    def prepare(self) -> bool:
        """Whether the program is to be started now: not ended, not stopped. Raises OSError where there is no place."""
        self.watch_for_stop()
        if os.fstat(self.lock).st_size and records.read_exit(self.control) is not None:
            return False
        if records.read_stop(self.run_directory) is not None:
            records.write_exit(self.control, ending.unstarted(ending.STOPPED, ending.STOPPED_BEFORE_START))
            self.tell()
            return False
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.work)
        if self.report and self.engine:
            os.chmod(self.work, 0o777)  # noqa: S103 - for whoever the image runs as; above it, nobody else may pass
        if self._output:
            os.makedirs(self._output, exist_ok=True)
        return True

    def watch_for_stop(self) -> None:
        """Listen, before the marker is read: a stop that is not seen then will wake us."""
        if self.wake < 0:
            self.wake = records.listen(self.lock)

    def mark_started(self, named: Callable[[], bool]) -> None:
        """From here on the incarnation counts as started, for ever. Raises OSError if that can't be made durable."""
        if not os.fstat(self.lock).st_size:
            records.mark_started(self.control, self.lock, self.runs, named)

    def is_forgotten(self) -> bool:
        """Whether the files were removed while it ran: nobody can be told of it any more."""
        return os.fstat(self.lock).st_nlink == 0

    def say(self, entry: dict[str, Any]) -> None:
        """Add a line to the state file and hint the server; on a failing disk the line is lost, nothing else."""
        with contextlib.suppress(OSError):
            records.append(self.lock, entry)
        self.tell()

    def tell(self) -> None:
        """Hint the server that this group's reading has changed."""
        records.tell(self.runs, self.run_id)

    def write_ends(self) -> tuple[int, int]:
        """Where the program writes: stdout, stderr."""
        for number, (reading, writing) in enumerate(self._pipes):
            if writing < 0:
                again = os.open(f"/proc/self/fd/{reading}", os.O_WRONLY | os.O_CLOEXEC)
                self._pipes[number] = (reading, again)
        return self._pipes[0][1], self._pipes[1][1]

    def close_write_ends(self) -> None:
        """Let go of the program's ends, so that the pipes end when its last process does."""
        for number, (reading, writing) in enumerate(self._pipes):
            if writing >= 0:
                os.close(writing)
            self._pipes[number] = (reading, -1)

    def close_logs(self) -> None:
        """Make the output, if there is any, durable and say that it is complete. May be repeated; raises OSError."""
        targets = (*(stream.target for stream in self.streams), self.index.target, self.usage.target)
        written = [target for target in targets if target >= 0]
        if not written:
            return
        for target in written:
            os.fdatasync(target)
        os.close(os.open(f"{self.logs}/{CLOSED}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        records.sync_upwards(self.logs, self.logs_root)

    def close(self) -> None:
        """Let go of every descriptor, and of the devices."""
        self.close_write_ends()
        self.usage.close()
        targets = (*(stream.target for stream in self.streams), self.index.target, self.usage.target)
        for descriptor in (*targets, self.wake, self.lock, *(reading for reading, _ in self._pipes)):
            if descriptor >= 0:
                os.close(descriptor)


def complaint(control: str, error: OSError) -> bytes:
    """What the server is told of an incarnation that can't be started now."""
    why = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    return json.dumps({"control": control, "error": why}).encode()
