"""Time is handed in: whoever needs it gets a Clock, and only the composition root knows the real one."""

from __future__ import annotations

from datetime import UTC, datetime
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
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if not micros:
        return text + "Z"
    return f"{text}.{micros // 1000:03d}Z" if micros % 1000 == 0 else f"{text}.{micros:06d}Z"
