"""The first of a replica's two agents: starts an incarnation at most once, and takes over if the second one dies.

The program is a child of the second, the supervisor. Both are subreapers: when the supervisor is killed, the kernel
makes every process of the replica a child of the guard, exit statuses included.
"""
from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import NoReturn

from trainyard.agent import ending, kernel, records, supervisor
from trainyard.agent.memory import KillCounter
from trainyard.agent.task import Task


def prepare(task: Task) -> bool:
    """Whether this process is the one that keeps the task: never started before, not to be stopped.

    Raises OSError while nothing has been started: the executor may then ask again.
    """
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    task.make_directories()
    if not task.take_lock() or records.read_exit(task.control) is not None:
        return False
    # The FIFO is opened before the marker is read: a stop that we do not see here will wake us.
    task.wake = os.open(f"{task.run_directory}/{records.WAKE}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    if task.was_started():
        return False
    if records.read_stop(task.run_directory) is not None:
        task.close_logs()
        records.write_exit(task.control, ending.unstarted(ending.STOPPED, ending.STOPPED_BEFORE_START))
        task.tell()
        return False
    task.open_streams()
    return True


def keep(task: Task) -> None:
    """Stay with the task until its end is on record."""
    kernel.adopt_orphans()
    memory = KillCounter()
    pid = os.fork()
    if pid == 0:
        leave(lambda: supervisor.supervise(task, memory))
    task.close_channel()
    task.close_write_ends()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        supervisor.take_over(task, memory)


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
