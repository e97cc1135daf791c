"""Interactive shells beside a program: each a child of the replica's agent, so that none outlives the replica.

The server hands in a terminal (the far end of a pair that it keeps) over a socket of whole packets; its name is
abstract (unix(7)), made as that of records.listen is. Who is heard shows the key that stands in the state file and
nowhere else: a container that shares this machine's network can reach the socket, as a user of the same number even,
but not that file. On the same connection the server is told, in JSON, {"pid"} or {"refused"}, and at the end {"exit"}.
Should it die, the terminal hangs up and the shell with it; the program goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any, Final

from trainyard.agent import processes, program, records
from trainyard.agent.task import Task

MOST_SHELLS: Final = 16
SHELL: Final = "bash"
SHELL_VARIABLE: Final = "TRAINYARD_SHELL"
_HUNG_UP: Final = 128 + signal.SIGHUP
_MOST_BYTES: Final = 4096
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: struct ucred, unix(7)


class Shells:
    """The open shells of one incarnation. Nothing is listened for unless its task says so."""

    def __init__(self, task: Task) -> None:
        """Listen from now on."""
        self._task = task
        self._listening = records.listen_for_shells(task.lock) if task.opens_shells else None
        self._key = _key_of(task) if self._listening is not None else ""
        self._asking: dict[int, socket.socket] = {}  # by descriptor: their request is not here yet
        self._open: dict[int, socket.socket] = {}  # by pid
        self._marks: dict[int, bytes] = {}  # by pid: what only the shell that an engine has opened there carries

    def announced(self) -> dict[str, str]:
        """What the state file says of us."""
        return {records.SHELLS: self._key} if self._key else {}

    def close(self) -> None:
        """Hear nobody any more."""
        for each in (self._listening, *self._asking.values(), *self._open.values()):
            if each is not None:
                each.close()

    def watch(self, poller: select.poll) -> None:
        """Have the poller wake us."""
        if self._listening is not None:
            for descriptor in (self._listening.fileno(), *self._asking):
                poller.register(descriptor, select.POLLIN)

    def hear(self, seen: set[int], main: int) -> None:
        """Take up who asks, and open the shells that were asked for; `main` is the program."""
        if self._listening is None:
            return
        for descriptor in seen.intersection(self._asking):
            connection = self._asking.pop(descriptor)
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
                if self._answer(connection, main):
                    continue
            connection.close()
        if self._listening.fileno() in seen:
            with contextlib.suppress(OSError):
                connection, _ = self._listening.accept()
                if _user_of(connection) in (os.geteuid(), 0):
                    connection.setblocking(False)
                    if len(self._asking) >= MOST_SHELLS:  # who says nothing makes room for who may
                        self._asking.pop(next(iter(self._asking))).close()
                    self._asking[connection.fileno()] = connection
                else:
                    connection.close()

    def others(self, children: Iterable[int]) -> list[int]:
        """The children that a replica's end waits for: neither shells, deaf to SIGTERM, nor what was begun in them."""
        if self._listening is None:
            return list(children)
        return [pid for pid in children if pid not in self._open and not _was_begun_in_a_shell(pid)]

    def reaped(self, pid: int, status: int) -> None:
        """A child is gone, with this status (wait(2)); where it was a shell, whoever asked for it is told."""
        connection = self._open.pop(pid, None)
        if connection is not None:
            code = os.waitstatus_to_exitcode(status)
            code = code if code >= 0 else 128 - code  # as a shell gives it
            mark = self._marks.pop(pid, b"")
            if mark and code == _HUNG_UP:
                _hang_up(mark)
            _tell(connection, {"exit": code})
            connection.close()

    def _answer(self, connection: socket.socket, main: int) -> bool:
        """Whether the connection is of use any more. Raises OSError, and other errors on what is no request."""
        request, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 1)
        try:
            if not request or not descriptors:
                return False
            asked = json.loads(request)
            if not _is_same(asked["key"], self._key):
                return False
            if len(self._open) >= MOST_SHELLS:
                raise program.CannotStart(f"{MOST_SHELLS} shells are open in it already; leave one of them.")
            pid = self._start(str(asked["term"]), descriptors[0], main)
        except program.CannotStart as failure:
            _tell(connection, {"refused": str(failure)})
            return False
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._open[pid] = connection
        _tell(connection, {"pid": pid})
        return True

    def _start(self, term: str, terminal: int, main: int) -> int:
        """Raises CannotStart."""
        task = self._task
        variables = {"TERM": term, SHELL_VARIABLE: f"{os.getpid()}.{time.monotonic_ns()}"}
        if task.engine is None:
            return program.start_on([SHELL], {**self._environment(main), **variables}, task.work, terminal)
        if not task.engine.shell:
            raise program.CannotStart("Its container engine opens no shells.")
        environment = {**task.engine.env, **variables}
        pid = program.start_on(task.engine.shell, environment, task.engine.directory, terminal)
        self._marks[pid] = f"{SHELL_VARIABLE}={variables[SHELL_VARIABLE]}".encode()
        return pid

    def _environment(self, main: int) -> dict[str, str]:
        """What the program was started with; from the kernel where the request for it is gone from its file."""
        try:
            return self._task.program()[1]
        except OSError:
            with contextlib.suppress(OSError), open(f"/proc/{main}/environ", "rb") as file:
                pairs = (os.fsdecode(entry).partition("=") for entry in file.read().split(b"\0") if b"=" in entry)
                return {name: value for name, _, value in pairs}
            return {}


def _was_begun_in_a_shell(pid: int) -> bool:
    """Its environment tells, also when it has left its shell (setsid)."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return any(entry.startswith(SHELL_VARIABLE.encode() + b"=") for entry in file.read().split(b"\0"))
    return False


def _hang_up(mark: bytes) -> None:
    """The engine's command was hung up, and has left its shell in the container without a word."""
    for process in processes.descendants([os.getpid()]):
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/environ", "rb") as file:
            if mark in file.read().split(b"\0"):
                processes.send(process, signal.SIGHUP)


def _key_of(task: Task) -> str:
    """That of the agent before us, or a new one."""
    known = records.read_state(task.control).running or {}
    return str(known.get(records.SHELLS) or os.urandom(16).hex())


def _is_same(key: str, own: str) -> bool:
    import hmac  # noqa: PLC0415 - most agents are never asked for a shell

    return hmac.compare_digest(key, own)


def _user_of(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])


def _tell(connection: socket.socket, said: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.send(json.dumps(said).encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
