"""How long to wait before trying again: short at first, doubling, never longer than the cap."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 1.0
CAP_SECONDS: Final = 60.0


def delay_seconds(failures: int, first: float = FIRST_SECONDS, cap: float = CAP_SECONDS) -> float:
    """Seconds to wait after the `failures`-th failure in a row (1 is the first): first, 2 first, 4 first … cap."""
    doublings = min(max(failures, 1) - 1, 32)  # beyond that every sensible cap is reached, and 2**n stays small
    return min(first * 2.0**doublings, cap)
