"""Ids are handed in and grow with time: the create order, the page token and the time range in one number."""

from __future__ import annotations

from typing import Protocol

from trainyard.core.clock import Clock

_PER_MICROSECOND = 1000


class Ids(Protocol):
    """A source of fresh ids."""

    def next_id(self) -> int:
        """A positive 63-bit number, larger than every one before."""


class TimeOrderedIds:
    """Microseconds since the epoch times 1000, plus a count within the microsecond: 19 digits, as the original's."""

    def __init__(self, clock: Clock, last: int = 0) -> None:
        """Start after `last`, the largest id in the store, so that a clock set back cannot repeat one."""
        self._clock = clock
        self._last = last

    def next_id(self) -> int:
        """Larger than every id before, also when the clock stands still or jumps back."""
        self._last = max(self._last + 1, self._clock.now_us() * _PER_MICROSECOND)
        return self._last


def lowest_id_at(time_us: int) -> int:
    """The smallest id that a job created at `time_us` can have."""
    return time_us * _PER_MICROSECOND
