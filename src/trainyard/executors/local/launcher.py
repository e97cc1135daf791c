"""The server's end of the spawner: every launch is asked again until its marker is seen, so no death loses one."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trainyard
from trainyard.agent.records import control_path
from trainyard.agent.task import MOST_BYTES_OF_A_PACKET
from trainyard.executors.local.plan import Places, ReplicaPlan

_SOURCE = Path(trainyard.__file__).parent.parent
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from trainyard.agent.spawner import main; main()"
_ASK_AGAIN_SECONDS = 1.0
_RESTART_SECONDS = 0.05


class Launcher:
    """Sends requests to a spawner that it keeps alive. `complain(control, why)` hears what could not be started yet."""

    def __init__(self, python: str, log: Path, complain: Callable[[str, str], None], view: Sequence[Path] = ()) -> None:
        """Nothing is started before `start`. `log` gets what the agents write to stderr: tracebacks of ours.

        `view`: the buckets that programs are to see at /gcs, and a scratch directory for it (agent/view.py).
        """
        self.why_no_view = ""
        self._view = [str(path) for path in view]
        self._command = [python, "-I", "-S", "-c", _BOOT, str(_SOURCE)]
        self._log = log
        self._complain = complain
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: dict[str, tuple[float, bytes, Path]] = {}
        self._unsent: collections.deque[str] = collections.deque()
        self._closed = False

    def start(self) -> None:
        """Start the spawner; it takes requests at once, even while it comes up. Raises OSError."""
        for directory in self._view:
            Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno()), *self._view],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._receive)

    def close(self) -> None:
        """Let the spawner go; what it has started stays."""
        self._closed = True
        self._drop()

    @property
    def pid(self) -> int | None:
        """The spawner's process; None between two of them."""
        return self._process.pid if self._process else None

    def launch(self, name: str, request: dict[str, Any], overflow: Path) -> None:
        """Ask for one incarnation: `request` is what agent/task.py reads.

        A program too large for a packet goes through the file `overflow`. Raises OSError.
        """
        control = control_path(request["runs"], request["run_id"], request["replica"], request["incarnation"])
        packet = f"{control}\n{json.dumps(request)}".encode()
        if len(packet) > MOST_BYTES_OF_A_PACKET:
            overflow.touch(0o600)  # the environment may hold secrets
            overflow.write_text(json.dumps(request["program"]))
            packet = f"{control}\n{json.dumps({**request, 'program': str(overflow)})}".encode()
        self._asked[name] = (asyncio.get_running_loop().time(), packet, overflow)
        self._unsent.append(name)
        self._send()

    def settled(self, name: str) -> None:
        """The incarnation has been started, or never will be: stop asking."""
        if asked := self._asked.pop(name, None):
            asked[2].unlink(missing_ok=True)

    def unsettled(self) -> list[str]:
        """What has been asked and not been seen to start."""
        return list(self._asked)

    def ask_again(self) -> None:
        """Repeat what has gone unanswered for a second; harmless where the answer is only late."""
        now = asyncio.get_running_loop().time()
        for name, (asked, packet, overflow) in self._asked.items():
            if now - asked > _ASK_AGAIN_SECONDS and name not in self._unsent:
                self._asked[name] = (now, packet, overflow)
                self._unsent.append(name)
        if self._channel is None and not self._closed:
            with contextlib.suppress(OSError):  # no memory, no descriptors: the next call tries again
                self.start()
        self._send()

    def _send(self) -> None:
        if self._channel is None:
            return
        loop = asyncio.get_running_loop()
        while self._unsent:
            asked = self._asked.get(self._unsent[0])
            try:
                if asked:
                    self._channel.send(asked[1])
            except BlockingIOError:
                loop.add_writer(self._channel.fileno(), self._send)
                return
            except OSError:  # the spawner is gone; its end of file brings the next
                return
            self._unsent.popleft()
        loop.remove_writer(self._channel.fileno())

    def _receive(self) -> None:
        assert self._channel is not None
        try:
            packet = self._channel.recv(MOST_BYTES_OF_A_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            answer = json.loads(packet)
            if "view" in answer:
                self.why_no_view = answer["view"]
                return
            self._complain(answer["control"], answer["error"])
            return
        self._drop()
        if not self._closed:
            asyncio.get_running_loop().call_later(_RESTART_SECONDS, self._restart)

    def _restart(self) -> None:
        """A new spawner, asked for everything that the old one may not have done."""
        if self._closed or self._channel is not None:
            return
        self._unsent = collections.deque(self._asked)
        self.ask_again()

    def _drop(self) -> None:
        if self._channel is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._channel.fileno())
            loop.remove_writer(self._channel.fileno())
            self._channel.close()
            self._channel = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1.0)
            self._process = None


class Launchers:
    """Two spawners as one: programs see the buckets at /gcs, container engines this machine's own mounts.

    The second is started with the first container.
    """

    def __init__(self, python: str, log: Path, complain: Callable[[str, str], None], view: Sequence[Path] = ()) -> None:
        """As Launcher."""
        self._programs = Launcher(python, log, complain, view)
        self._containers = Launcher(python, log, complain)
        self._both: tuple[Launcher, ...] = (self._programs,)

    def start(self) -> None:
        """Raises OSError."""
        self._programs.start()

    def close(self) -> None:
        """Let both go."""
        for launcher in self._both:
            launcher.close()

    @property
    def pid(self) -> int | None:
        """The process that forks the agents of programs."""
        return self._programs.pid

    @property
    def why_no_view(self) -> str:
        """Why programs do not see /gcs; empty where they do."""
        return self._programs.why_no_view

    def launch(self, name: str, request: dict[str, Any], overflow: Path) -> None:
        """As Launcher.launch."""
        if "engine" not in request:
            self._programs.launch(name, request, overflow)
            return
        if len(self._both) == 1:
            self._containers.start()
            self._both = (self._programs, self._containers)
        self._containers.launch(name, request, overflow)

    def settled(self, name: str) -> None:
        """As Launcher.settled."""
        for launcher in self._both:
            launcher.settled(name)

    def unsettled(self) -> list[str]:
        """As Launcher.unsettled."""
        return [name for launcher in self._both for name in launcher.unsettled()]

    def ask_again(self) -> None:
        """As Launcher.ask_again."""
        for launcher in self._both:
            launcher.ask_again()


def request_of(planned: ReplicaPlan, places: Places, usage: Mapping[str, object]) -> dict[str, Any]:
    """What agent/task.py reads of one incarnation."""
    return {
        "run_id": planned.run_id,
        "replica": planned.replica,
        "incarnation": planned.incarnation,
        "runs": str(places.runs),
        "logs": str(planned.logs),
        "logs_root": str(places.logs),
        "program": {"argv": planned.argv, "env": dict(planned.env)},
        "report": planned.report,
        "output": planned.output,
        "usage": usage,
        **({"shells": True} if planned.shells else {}),
        **({"sealed": True} if planned.is_sealed else {}),
        **({"engine": planned.engine} if planned.engine else {}),
    }


def this_python() -> str:
    """The interpreter that runs the server; agents use the same unless told otherwise."""
    return sys.executable or os.environ.get("PYTHON", "python3")
