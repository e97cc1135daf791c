"""Opens a shell beside a replica's program: the terminal's near end stays here, its far end goes to the agents."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any, Final

from trainyard.agent import records
from trainyard.core.errors import FailedPrecondition, Unavailable
from trainyard.core.shells import Terminal
from trainyard.executors.local.groups import Groups

_ANSWER_SECONDS: Final = 30.0
_MOST_AT_ONCE: Final = 1 << 16
_NOT_NOW: Final = "It is starting, or has just ended."


class LocalShell:
    """Keeps the promise of core.shells.Shell over a pair of terminals and the agents' connection."""

    def __init__(self, terminal: int, agents: socket.socket) -> None:
        """`terminal` is the near end, not blocking; `agents` will tell the shell's end."""
        self._terminal = terminal
        self._closed = False
        self._end: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._agents = agents
        asyncio.get_running_loop().add_reader(agents.fileno(), self._hear)

    async def read(self) -> bytes:
        """What it printed next; empty once nothing more can come: what runs on in the background is not waited for."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            over = self._end.done()
            try:
                return os.read(self._terminal, _MOST_AT_ONCE)
            except BlockingIOError:
                if over:
                    return b""
                await self._until(loop.add_reader, loop.remove_reader)
            except OSError as error:
                if error.errno != errno.EIO:  # nobody has the far end open any more
                    raise
                return b""
        return b""

    async def write(self, data: bytes) -> None:
        """Type this."""
        loop = asyncio.get_running_loop()
        view = memoryview(data)
        while view and not self._closed and not self._end.done():
            try:
                view = view[os.write(self._terminal, view) :]
            except BlockingIOError:
                await self._until(loop.add_writer, loop.remove_writer)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return

    def resize(self, rows: int, columns: int) -> None:
        """Who runs in the foreground gets SIGWINCH."""
        if not self._closed:
            _resize(self._terminal, rows, columns)

    async def ended(self) -> int | None:
        """Its exit code; None where its agents were killed before they could tell."""
        return await asyncio.shield(self._end)

    def close(self) -> None:
        """Hang up."""
        if self._closed:
            return
        self._closed = True
        self._over(None)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._terminal)
        loop.remove_writer(self._terminal)
        os.close(self._terminal)

    def _hear(self) -> None:
        try:
            said = self._agents.recv(_MOST_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self._over(json.loads(said)["exit"] if said else None)

    def _over(self, code: int | None) -> None:
        if not self._end.done():
            asyncio.get_running_loop().remove_reader(self._agents.fileno())
            self._agents.close()
            self._end.set_result(code)

    async def _until(self, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
        """The terminal is ready for that, or the shell has ended."""
        ready = asyncio.get_running_loop().create_future()
        add(self._terminal, lambda: None if ready.done() else ready.set_result(None))
        try:
            await asyncio.wait((ready, self._end), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not self._closed:
                remove(self._terminal)


class Shells:
    """Opens shells in the groups that this machine holds."""

    def __init__(self, groups: Groups) -> None:
        """Look for incarnations there."""
        self._groups = groups

    async def open(self, run_id: str, replica: str, terminal: Terminal) -> LocalShell:
        """A shell in the replica's newest incarnation; raises as `open_shell`."""
        incarnation = self._groups.of(run_id).newest.get(replica)
        if incarnation is None:
            raise FailedPrecondition(_NOT_NOW)
        return await open_shell(incarnation.control, terminal)


async def open_shell(control: str, terminal: Terminal) -> LocalShell:
    """A shell beside the program of this incarnation.

    Raises FailedPrecondition where there can be none, Unavailable where its agents don't answer.
    """
    state = records.read_state(control)
    key = (state.running or {}).get(records.SHELLS)
    if key is None or state.exit is not None:
        raise FailedPrecondition(_NOT_NOW)
    with contextlib.ExitStack() as undo:
        agents = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        undo.callback(agents.close)
        try:
            agents.connect(records.shells_name(os.stat(f"{control}.state")))  # noqa: PTH116 - paths of agents are texts
        except BlockingIOError:
            raise Unavailable("Many ask for a shell in it at the same time; try again.") from None
        except OSError:
            raise FailedPrecondition(_NOT_NOW) from None
        near, far = os.openpty()
        undo.callback(os.close, near)
        try:
            os.set_blocking(near, False)
            _resize(near, terminal.rows, terminal.columns)
            socket.send_fds(agents, [json.dumps({"key": key, "term": terminal.term}).encode()], [far])
        except OSError as error:
            raise Unavailable(f"Its agents can't be asked for a shell: {error.strerror}.") from None
        finally:
            os.close(far)  # theirs alone from now on: when it is closed there, reading ends here
        said = await _answer(agents)
        if "refused" in said:
            raise FailedPrecondition(said["refused"])
        undo.pop_all()
        return LocalShell(near, agents)


async def _answer(agents: socket.socket) -> dict[str, Any]:
    """What the agents say to the request. Raises Unavailable."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            said = await asyncio.get_running_loop().sock_recv(agents, _MOST_AT_ONCE)
    except (TimeoutError, OSError):
        said = b""
    if not said:
        raise Unavailable("Its agents did not answer; it may have ended this moment.")
    answer: dict[str, Any] = json.loads(said)
    return answer


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
