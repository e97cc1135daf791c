"""The first of a replica's two agents: holds the incarnation's lock and pipes, and takes over if the second one dies.

The program is a child of the second, the supervisor. Both are subreapers: when the supervisor is killed, the kernel
makes every process of the replica a child of the guard, exit statuses included. The guard does as little as it can
before it waits: each page that it touches is copied twice.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from trainyard.agent import kernel, records, supervisor
from trainyard.agent.task import MOST_BYTES_OF_A_PACKET, Task, complaint

_MOST_TASKS = 1000  # of one pair, so that what a bug of ours leaks stays small


def guard(packet: bytes, home: socket.socket) -> None:
    """Keep one incarnation after the other; `packet` is the first, the others come from the spawner at `home`.

    A packet is the path of an incarnation's files (see records.py), a line end, and the request as JSON.
    """
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    kernel.adopt_orphans()
    keeper = Guard(home)
    for _ in range(_MOST_TASKS):
        answer = keeper.keep(packet)
        if answer is None:
            return
        try:
            home.send(b"i" + answer)
            packet = home.recv(MOST_BYTES_OF_A_PACKET)
        except OSError:  # the spawner is gone
            return
        if not packet:
            return
        gc.collect()


class Guard:
    """One guard and the supervisor that it has forked."""

    def __init__(self, home: socket.socket) -> None:
        """`home` leads to the spawner; a supervisor has no use for it."""
        self._home = home
        self._hire()

    def _hire(self) -> None:
        self._partner, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            self._home.close()
            self._partner.close()
            leave(partial(supervisor.serve, theirs))
        theirs.close()

    def keep(self, packet: bytes) -> bytes | None:
        """See one incarnation to its end: empty, or a complaint for the server; None if the supervisor died over it."""
        control, _, request = packet.partition(b"\n")
        try:
            lock = records.take_lock(control.decode())
        except OSError as error:
            return complaint(control.decode(), error)
        if lock is None:
            return b""
        if os.fstat(lock).st_size:  # it was started once
            os.close(lock)
            return b""
        ends = [end for _ in range(2) for end in os.pipe2(os.O_CLOEXEC)]
        self._hand_over(request, [lock, *ends])
        for writing in ends[1::2]:
            os.close(writing)
        self._name(control.decode())
        try:
            answer = self._partner.recv(MOST_BYTES_OF_A_PACKET)
        except OSError:
            answer = b""
        if not answer:
            how = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            os.write(2, f"{control.decode()}: the supervisor ended with {how}; the guard goes on.\n".encode())
            supervisor.take_over(Task(json.loads(request), lock, [(ends[0], -1), (ends[2], -1)]))
            return None
        for descriptor in (lock, *ends[0::2]):
            os.close(descriptor)
        return answer[1:]

    def _name(self, control: str) -> None:
        """Make the names above the state file durable while the other agent makes its content so, and say it."""
        said = b"n"
        with contextlib.suppress(OSError):
            records.sync_upwards(os.path.dirname(control), os.path.dirname(os.path.dirname(control)))
            said = b"y"
        with contextlib.suppress(OSError):
            self._partner.send(said)

    def _hand_over(self, request: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._partner, [request], descriptors)
        except OSError:  # it was killed while it was idle
            self._partner.close()
            os.waitpid(self._pid, 0)
            self._hire()
            socket.send_fds(self._partner, [request], descriptors)


def leave(work: Callable[[], object]) -> NoReturn:
    """Do the work and exit, whatever happens: a forked process must never run on in its parent's code."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # the traceback goes to the agents' log, and the other agent takes over
        import traceback  # noqa: PLC0415 - a megabyte that no agent needs while all is well

        traceback.print_exc()
    finally:
        os._exit(code)
