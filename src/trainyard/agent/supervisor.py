"""Watches one incarnation of a replica from its first instruction to its exit record.

Run by the supervisor, and by the guard if the supervisor dies: it keeps nothing in memory that it could not find
again in the kernel (children, pipes) or in the control directory.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from trainyard.agent import ending, kernel, processes, program, records
from trainyard.agent.container import NotStarted, judged, not_started
from trainyard.agent.memory import OWN_GROUPS, KillCounter
from trainyard.agent.pump import tail
from trainyard.agent.shells import Shells
from trainyard.agent.task import MOST_BYTES_OF_A_PACKET, Task, complaint

_LOOK_AT_STOP_AGAIN_SECONDS = 0.5
_RETRY_SECONDS = 0.5
_SLOW_TO_DIE_SECONDS = 5.0


class Watch:
    """The loop beside one program. `main` is the program's pid, a child of the caller."""

    def __init__(self, task: Task, memory: KillCounter) -> None:
        """Take up the pipes of `task`; nothing is started yet."""
        self._task = task
        self._memory = memory
        self._streams = task.streams
        self._shells = Shells(task)
        self._main = 0
        self._started_us: int | None = None
        self._ended: kernel.Ended | None = None
        self._stop_at: float | None = None  # when the grace of a stop is over
        self._stopped = False  # a SIGTERM was sent while the program ran
        self._note = ""
        self._family_changed = True  # a child has ended since we last looked
        self._signals, self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def close(self) -> None:
        """Let go of the signals and of who may ask."""
        self._shells.close()
        signal.set_wakeup_fd(-1)
        os.close(self._signals)
        os.close(self._wakeup)

    def start(self, argv: list[str], env: dict[str, str]) -> bool:
        """Execute the program and say so; False if it could not be, which is then recorded."""
        task = self._task
        self._started_us = ending.now_us()
        try:
            if task.engine:
                self._main = task.engine.start(argv, env, *task.write_ends())
                self._memory, self._started_us = KillCounter.of_new_groups(task.engine.counters()), ending.now_us()
            else:
                self._main = program.start(argv, env, task.work, *task.write_ends())
        except program.CannotStart as failure:
            task.close_write_ends()
            self._finish(ending.unstarted(ending.START_FAILED, str(failure)))
            return False
        except NotStarted as failure:
            task.close_write_ends()
            assert task.engine is not None
            self._finish(not_started(str(failure), task.engine))
            return False
        self._announce()
        task.close_write_ends()
        return True

    def resume(self, main: int, started_us: int | None, *, stopped: bool) -> None:
        """Go on watching a program that another agent started, and may have sent SIGTERM already (`stopped`)."""
        self._main, self._started_us, self._stopped = main, started_us, stopped
        for stream in self._streams:
            with contextlib.suppress(FileNotFoundError):
                stream.open()
        self._announce()

    def find(self) -> bool:
        """Go on where the agent before was killed while its engine started the container; as `start`."""
        engine = self._task.engine
        assert engine is not None
        self._started_us = ending.now_us()
        try:
            self._main = engine.find()
        except NotStarted as failure:
            self._finish(not_started(str(failure), engine))
            return False
        self._memory = KillCounter.of_new_groups(engine.counters())
        self._announce()
        return True

    def _announce(self) -> None:
        self._task.usage.begin(self._task.engine)
        process = processes.read(self._main)
        self._task.say(
            {
                "pid": self._main,
                "start_ticks": process.start_ticks if process else 0,
                "started_us": self._started_us,
                "boot_id": records.boot_id(),
                "kills_before": self._memory.before,
                **self._shells.announced(),
            }
        )

    def run(self) -> None:
        """Until the whole tree is gone and its end is on record."""
        try:
            while not self._is_over():
                self._wait()
        except ChildProcessError:
            self._end_tree()
            self._finish(ending.unstarted(ending.LOST, "Its exit status was taken by a process that is not ours."))
            return
        self._end_tree()
        assert self._ended is not None
        record = ending.of_program(self._ended, stopped=self._stopped, memory=self._memory, started_us=self._started_us)
        if self._task.engine:
            self._drain()
            record = judged(record, self._task.engine, self._last_lines)
            if self._task.engine.is_foreground:
                self._task.engine.remove()  # its container is nobody's child: it may still run
        self._finish(record)

    def _is_over(self) -> bool:
        if self._family_changed:
            self._family_changed = False
            self._reap()
        if self._stop_at is None:
            return self._ended is not None  # as when a container's first process ends
        if time.monotonic() >= self._stop_at:
            return True
        return self._ended is not None and not self._shells.others(self._others())

    def _reap(self) -> None:
        """Note the program's end without reaping it; reap the orphans that we adopted."""
        if self._ended is None:
            self._ended = kernel.ended(self._main)
        for pid in self._others():
            gone, status, used = os.wait4(pid, os.WNOHANG)
            self._task.usage.reaped(used)
            self._shells.reaped(gone, status)

    def _others(self) -> list[int]:
        return [pid for pid in processes.children() if pid != self._main]

    def _wait(self) -> None:
        """Sleep until something happens, then move bytes, index them and look at the stop marker."""
        now = time.monotonic()
        poller = select.poll()
        poller.register(self._signals, select.POLLIN)
        self._shells.watch(poller)
        times = [] if self._stop_at is None else [self._stop_at]
        if self._task.wake >= 0:
            poller.register(self._task.wake, select.POLLIN)
        if self._stop_at is not None or self._task.wake < 0:
            times.append(now + _LOOK_AT_STOP_AGAIN_SECONDS)
        for stream in self._streams:
            if not stream.at_end:
                if stream.ready_at <= now:
                    poller.register(stream.pipe, select.POLLIN)
                else:
                    times.append(stream.ready_at)
            due = stream.index_due()
            if due is not None:
                times.append(due)
        if self._task.usage.due is not None:
            times.append(self._task.usage.due)
        timeout = max(0.0, min(times) - now) * 1000 + 0.5 if times else None
        self._handle({descriptor for descriptor, _ in poller.poll(timeout)}, time.monotonic())

    def _handle(self, seen: set[int], now: float) -> None:
        if self._signals in seen:
            os.read(self._signals, 4096)
            self._family_changed = True
        if self._task.wake in seen or self._stop_at is not None or self._task.wake < 0:
            self.look_at_stop()
        self._shells.hear(seen, self._main)
        for stream in self._streams:
            if stream.pipe in seen and not stream.at_end:
                stream.pump(now)
            due = stream.index_due()
            if due is not None and due <= now:
                stream.write_index(self._task.index, now)
        usage = self._task.usage
        if usage.due is not None and usage.due <= now:
            usage.sample(self._started_us)
        self._tell_trouble()

    def look_at_stop(self) -> None:
        """If the end was asked for, tell everybody; asked again, only the time that is left may be less."""
        if self._task.wake >= 0:
            records.drain(self._task.wake)
        first = self._stop_at is None
        self._stop_at = records.read_stop(self._task.run_directory)
        if not first or self._stop_at is None:
            return
        self._reap()
        if self._ended is None:
            self._stopped = True
            self._task.say({"stopping": True})  # whoever takes over knows that its end is our doing
        for process in self._those_to_ask():
            processes.send(process, signal.SIGTERM)
            processes.send(process, signal.SIGCONT)  # what is stopped can't hear

    def _those_to_ask(self) -> list[processes.Process]:
        """Whom a stop is told: everybody, but not an init that passes it on to somebody who has it already."""
        engine = self._task.engine
        below = processes.descendants([self._main]) if engine and engine.has_init else []
        return below or processes.descendants([os.getpid()])

    def _tell_trouble(self) -> None:
        trouble = next((stream.trouble for stream in self._streams if stream.trouble), "")
        note = (
            f"Its output can't be written: {trouble}. It waits until that is mended; nothing is lost."
            if trouble
            else ""
        )
        if note != self._note:
            self._note = note
            self._task.say({"note": note})

    def _end_tree(self) -> None:
        """Nothing below us lives when this returns."""
        if self._ended is not None and not self._others():
            return  # who is ended forks no more, and whoever it left behind would be a child of ours by now

        def living() -> list[processes.Process]:
            return processes.descendants([os.getpid()]) if self._ended is None or self._others() else []

        while True:
            gone = processes.end_all(living, self._reap_quietly, time.monotonic() + _SLOW_TO_DIE_SECONDS)
            self._reap_quietly()
            if gone and not self._others():
                return  # a look at /proc can miss who forks faster than it reads; the list of our children can't
            if not gone and (left := living()):
                self._task.say(
                    {
                        "note": f"Waits for process {left[0].pid}, which the kernel does not end though it "
                        "was sent SIGKILL."
                    }
                )

    def _reap_quietly(self) -> None:
        try:
            self._reap()
        except ChildProcessError:  # somebody took the program's status; the others are still ours to reap
            for pid in self._others():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _finish(self, record: dict[str, Any]) -> None:
        """The last bytes, the durable files, the record; only then is the program reaped."""
        self._shells.close()  # whoever knows of the record is refused one at once
        task = self._task
        if not task.is_forgotten():
            self._drain()
        silent = record.get("code") == 0 or "engine_words" in record or task.is_sealed
        record["last_lines"] = "" if silent else self._last_lines()
        if task.report:
            record["report"] = ending.newest_lines(task.report)
        while True:
            try:
                task.close_logs()
                records.write_exit(task.control, record)
                break
            except OSError as error:
                if task.is_forgotten():
                    break
                task.say({"note": f"Its end can't be recorded: {error.strerror}. Trying again."})
                time.sleep(_RETRY_SECONDS)
        task.tell()
        clear_children()

    def _drain(self) -> None:
        """All that the pipes hold; the tree is gone, so nothing more can come."""
        for stream in self._streams:
            while not stream.at_end:
                before = stream.length
                stream.pump(time.monotonic())
                if stream.trouble:
                    self._tell_trouble()
                    time.sleep(_RETRY_SECONDS)
                elif stream.length == before:
                    break
            while stream.index_due() is not None:
                stream.write_index(self._task.index, time.monotonic())
                if stream.index_due() is not None:
                    time.sleep(_RETRY_SECONDS)

    def _last_lines(self) -> str:
        """From stderr where there is any, else from stdout."""
        stdout, stderr = (stream.target for stream in self._streams)
        return tail(stderr) or tail(stdout)


def clear_children() -> None:
    """Reap every child; end any that slipped in after all. Afterwards the kernel says that we have none."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                processes.end_all(lambda: processes.descendants([os.getpid()]), lambda: None, time.monotonic() + 1.0)


def serve(guard: socket.socket) -> None:
    """The supervisor's whole life: one task after the other, until its guard goes. The caller exits afterwards."""
    kernel.adopt_orphans()
    while True:
        request, descriptors, _, _ = socket.recv_fds(guard, MOST_BYTES_OF_A_PACKET, 5)
        if not request:
            return
        for descriptor in descriptors:  # else the program would inherit them, and hold lock and pipes for ever
            os.set_inheritable(descriptor, False)
        lock, *ends = descriptors
        task = Task(json.loads(request), lock, [(ends[0], ends[1]), (ends[2], ends[3])])
        names = Names(guard)
        answer = supervise(task, names.are_durable)
        names.are_durable()
        task.close()
        guard.send(b"d" + answer)  # before tidying up: the server's next launch may be on its way already
        gc.collect()


class Names:
    """What the guard says, once for each task, of the names that it makes durable meanwhile."""

    def __init__(self, guard: socket.socket) -> None:
        self._guard: socket.socket | None = guard

    def are_durable(self) -> bool:
        """Wait for its word; False where they may not be, or where it was asked before."""
        guard, self._guard = self._guard, None
        return guard is not None and guard.recv(1) == b"y"


def supervise(task: Task, named: Callable[[], bool] = lambda: False) -> bytes:
    """See one task to its end; empty, or a complaint where nothing could be started yet."""
    try:
        if not task.prepare():
            return b""
        argv, env = task.program()
        task.mark_started(named)
    except OSError as error:
        return complaint(task.control, error)
    watch = Watch(task, KillCounter())
    if watch.start(argv, env):
        watch.run()
    watch.close()
    if task.engine:
        task.engine.remove()
    return b""


def take_over(task: Task) -> None:
    """The guard's second life, after its supervisor died: the same loop, over children that the kernel handed us."""
    if records.read_exit(task.control) is not None:
        clear_children()
    else:
        _go_on(task)
    if task.engine:
        task.engine.remove()


def _go_on(task: Task) -> None:
    state = records.read_state(task.control)
    orphans = processes.children()
    if state.running is None and not orphans and not (task.engine and task.engine.was_begun()):
        supervise(task)  # we hold the lock and no child became ours, so nothing was ever executed
        return
    task.watch_for_stop()
    groups = task.engine.counters() if task.engine else OWN_GROUPS
    if state.running is not None:
        watch = Watch(task, KillCounter(state.running["kills_before"], groups))
        watch.resume(state.running["pid"], state.running["started_us"], stopped=state.is_stopping)
    elif task.engine:
        watch = Watch(task, KillCounter(0))
        if not watch.find():
            return
    else:
        # Killed between exec and its record: of the children that became ours, the program is the oldest.
        ages = {pid: process.start_ticks for pid in orphans if (process := processes.read(pid))}
        watch = Watch(task, KillCounter())
        watch.resume(min(ages, key=lambda pid: (ages[pid], pid)), ending.now_us(), stopped=False)
    watch.look_at_stop()  # what woke the agent before is gone with it
    watch.run()
