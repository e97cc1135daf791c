"""Samples what one replica uses, so seldom that nobody notices, and appends it beside the replica's output.

Nothing is done before the first interval is over: a short program is never sampled. Later intervals grow with the
program's age (a week of it is some ten thousand records) and with what a sample costs, so that sampling takes no more
than a five-thousandth of a core for a replica, however many processes it has.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from trainyard.agent import processes
from trainyard.agent.accounts import Account, of_groups, of_tree
from trainyard.core.usage_records import RECORD, Sample, packed, samples

if TYPE_CHECKING:
    from trainyard.agent.container import Engine

MOST_OF_A_CORE = 1 / 5000
_OF_ITS_AGE = 1 / 4000  # the least part of the program's age between two samples


class Usage:
    """The sampler of one incarnation. Times are on the monotonic clock, in seconds."""

    __slots__ = ("_engine", "_every", "_gpus", "_last", "_names", "_reaped", "due", "path", "target")

    def __init__(self, path: str, request: dict[str, Any]) -> None:
        """`path` of the file; `request`: `every` so many seconds (0: never), `gpus` the names of its devices."""
        self.path = path
        self.target = -1
        self.due: float | None = None
        self._every: float = request.get("every", 0.0)
        self._names: list[str] = request.get("gpus", [])
        self._gpus: Any = None
        self._engine: Engine | None = None
        self._last: Sample | None = None
        self._reaped = Account()

    def begin(self, engine: Engine | None) -> None:
        """The program is there, perhaps in a container: from now on time counts."""
        self._engine = engine
        if self._every > 0:
            self.due = time.monotonic() + self._every

    def reaped(self, used: Any) -> None:
        """A process of the tree that was a child of ours is gone; `used` is what wait4 says of it."""
        self._reaped.cpu_us += round((used.ru_utime + used.ru_stime) * 1e6)
        self._reaped.read_bytes += used.ru_inblock * 512
        self._reaped.written_bytes += used.ru_oublock * 512

    def sample(self, started_us: int | None) -> None:
        """Take one sample and say when the next is due. What can't be read or written now is left out."""
        began = time.thread_time()
        now_us = time.time_ns() // 1000
        started_us = min(started_us or now_us, now_us)
        with contextlib.suppress(OSError):
            self._keep(self._look(now_us), started_us)
        cost = time.thread_time() - began
        age = (now_us - started_us) / 1e6
        self.due = time.monotonic() + max(self._every, cost / MOST_OF_A_CORE, age * _OF_ITS_AGE)

    def close(self) -> None:
        """Let go of the devices; the file is its task's to close."""
        if self._gpus is not None:
            self._gpus.close()

    def _look(self, now_us: int) -> Sample:
        roots = self._engine.roots() if self._engine else processes.children()
        account = of_tree(roots)
        account.add(self._reaped)
        if self._engine and roots:
            of_groups(account, f"/proc/{roots[0]}/cgroup")
        percent = None
        if self._names:
            from trainyard.agent.gpus import Gpus  # noqa: PLC0415 - only for a replica that was given one

            self._gpus = self._gpus or Gpus(self._names)
            percent, account.gpu_memory_bytes = self._gpus.look()
        return Sample(
            now_us,
            account.cpu_us,
            account.memory_bytes,
            account.read_bytes,
            account.written_bytes,
            account.gpu_memory_bytes,
            account.processes,
            percent,
        )

    def _keep(self, sample: Sample, started_us: int) -> None:
        """Append it behind the last whole record: on a full disk, and in a power cut, a part of one may be left."""
        if self.target < 0:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self.target = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        size = os.fstat(self.target).st_size
        if torn := size % RECORD.size:
            size -= torn
            os.ftruncate(self.target, size)
        before = self._last or next(samples(os.pread(self.target, RECORD.size, max(0, size - RECORD.size))), None)
        first = b""
        if before is None:
            first = packed(Sample(started_us))
        else:  # what an agent before us has reaped is known from its last record only
            sample = sample._replace(
                cpu_us=max(sample.cpu_us, before.cpu_us),
                read_bytes=max(sample.read_bytes, before.read_bytes),
                written_bytes=max(sample.written_bytes, before.written_bytes),
            )
        os.write(self.target, first + packed(sample))
        self._last = sample
