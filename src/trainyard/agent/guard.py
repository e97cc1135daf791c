"""The first of a replica's two agents: holds the incarnation's lock and pipes, and takes over if the second one dies.

The program is a child of the second, the supervisor. Both are subreapers: when the supervisor is killed, the kernel
makes every process of the replica a child of the guard, exit statuses included. The guard does as little as it can
before it waits: each page that it touches is copied twice.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from trainyard.agent import kernel, records, supervisor
from trainyard.agent.task import Task


def guard(packet: bytes, channel: socket.socket) -> None:
    """Keep one incarnation until its end is on record, unless another agent has it or had it.

    `packet` is the path of its files (see records.py), a line end, and the request as JSON. Raises OSError while
    nothing has been started: the executor may then ask again.
    """
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control, _, request = packet.partition(b"\n")
    lock = records.take_lock(control.decode())
    if lock is None or os.fstat(lock).st_size:
        return
    kernel.adopt_orphans()
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
    pid = os.fork()
    if pid == 0:
        leave(lambda: supervisor.supervise(Task(json.loads(request), channel, lock, pipes)))
    channel.close()
    for _, writing in pipes:
        os.close(writing)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        supervisor.take_over(Task(json.loads(request), channel, lock, [(reading, -1) for reading, _ in pipes]))


def leave(work: Callable[[], object]) -> NoReturn:
    """Do the work and exit, whatever happens: a forked process must never run on in its parent's code."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:     # the traceback goes to the agents' log, and the other agent takes over
        import traceback  # noqa: PLC0415 - a megabyte that no agent needs while all is well

        traceback.print_exc()
    finally:
        os._exit(code)
