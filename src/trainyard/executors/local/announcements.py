"""That something may have changed, told at once to who listens: what agents hint at through a FIFO, and our own.

Hints only (law 3): one that is torn or lost changes nothing but the delay.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_MOST_AT_ONCE = 1 << 16


class Announcements:
    """Run ids whose reading may have changed. Used in one event loop."""

    def __init__(self, fifo: Path) -> None:
        """Nothing is opened before `open`."""
        self._fifo = fifo
        self._reading = -1
        self._listeners: set[asyncio.Queue[str]] = set()

    def open(self) -> None:
        """Make the FIFO, if need be, and read it from now on. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISFIFO(self._fifo.lstat().st_mode):
                self._fifo.unlink()
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._fifo, 0o600)
        self._reading = os.open(self._fifo, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._reading, self._hear)

    def close(self) -> None:
        """Let go of the FIFO; what is written into it meanwhile is dropped."""
        if self._reading >= 0:
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)
            self._reading = -1

    def announce(self, run_id: str) -> None:
        """Tell all that listen now."""
        for queue in self._listeners:
            queue.put_nowait(run_id)

    @contextlib.contextmanager
    def listening(self) -> Iterator[asyncio.Queue[str]]:
        """A queue of all that is announced while the block runs."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def _hear(self) -> None:
        """Hints from agents; a torn one is no run id of ours and changes nothing."""
        with contextlib.suppress(BlockingIOError):
            for run_id in dict.fromkeys(os.read(self._reading, _MOST_AT_ONCE).decode(errors="replace").split()):
                self.announce(run_id)
