"""Time is handed in: whoever needs it gets a Clock, and only the composition root knows the real one."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """Two readings: the calendar for people, and a steady one for durations that no clock change can move."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch (UTC)."""

    def steady_us(self) -> int:
        """Microseconds since an unknown moment; never goes back, not even when the calendar does."""


def rfc3339(time_us: int) -> str:
    """`2026-11-21T10:00:00.123456Z`; 0, 3 or 6 fraction digits as proto3 JSON writes them."""
    whole, micros = divmod(time_us, MICROSECONDS)
    text = whole_second(whole)
    if not micros:
        return text + "Z"
    return f"{text}.{micros // 1000:03d}Z" if micros % 1000 == 0 else f"{text}.{micros:06d}Z"


@lru_cache(maxsize=256)
def whole_second(seconds: int) -> str:
    """`2026-11-21T10:00:00`, in UTC. Remembered: what is written in one go is mostly of the same few seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
