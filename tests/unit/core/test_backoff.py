"""Waiting longer after each failure, but never for ever."""

from __future__ import annotations

from trainyard.core.backoff import CAP_SECONDS, delay_seconds


def test_the_wait_doubles_up_to_the_cap() -> None:
    """1, 2, 4 … 60, and no overflow however often it failed."""
    assert [delay_seconds(n) for n in (0, 1, 2, 3, 6, 7)] == [1.0, 1.0, 2.0, 4.0, 32.0, CAP_SECONDS]
    assert delay_seconds(10**9) == CAP_SECONDS
    assert delay_seconds(3, first=0.1, cap=0.3) == 0.3
