"""A loop that never waits: with nothing left to do, its clock moves to the next timer (a day takes a millisecond)."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from trainyard.core.clock import MICROSECONDS

T = TypeVar("T")
EPOCH_US = 1_800_000_000 * MICROSECONDS  # some moment in 2027


class NothingLeftToHappen(Exception):  # a statement about the world, not an error
    """Everything waits, and no timer is set: in real time this would hang for ever."""


class _Jump(selectors.DefaultSelector):
    """Instead of waiting for the next timer, moves the loop's clock there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise NothingLeftToHappen
        self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, from 0 seconds on."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._jump.now


class VirtualClock:
    """The loop's time as a Clock; the calendar can be made to jump, the steady clock cannot."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch_us: int = EPOCH_US) -> None:
        self._loop = loop
        self._epoch_us = epoch_us

    def now_us(self) -> int:
        """Calendar time."""
        return self._epoch_us + self.steady_us()

    def steady_us(self) -> int:
        """Virtual time since the loop was made."""
        return round(self._loop.time() * MICROSECONDS)

    def jump(self, seconds: float) -> None:
        """Somebody sets the calendar."""
        self._epoch_us += round(seconds * MICROSECONDS)


def run_virtually(main: Coroutine[Any, Any, T], loop: VirtualLoop | None = None) -> T:
    """Run to the end in virtual time and close the loop; raises NothingLeftToHappen where it would hang."""
    loop = loop or VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
