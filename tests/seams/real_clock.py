"""The machine's clocks, for keepers that are tried for real."""

from __future__ import annotations

import time


class RealClock:
    """Microseconds since the epoch, and since some moment."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def steady_us(self) -> int:
        return time.monotonic_ns() // 1000
