"""Time that jumps instead of passing."""

from __future__ import annotations

import asyncio
import time

import pytest

from trainyard.testing.virtual_time import EPOCH_US, NothingLeftToHappen, VirtualClock, VirtualLoop, run_virtually


def test_a_day_takes_no_time() -> None:
    """Timers fire in order, at their time, without anybody waiting for them."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    fired = []

    async def main() -> None:
        for hours in (24, 1, 3):
            loop.call_later(hours * 3600, fired.append, hours)
        await asyncio.sleep(25 * 3600)
        assert clock.steady_us() == 25 * 3600 * 1_000_000
        assert clock.now_us() == EPOCH_US + clock.steady_us()

    began = time.monotonic()
    run_virtually(main(), loop)
    assert fired == [1, 3, 24]
    assert time.monotonic() - began < 5


def test_the_calendar_jumps_and_the_steady_clock_does_not() -> None:
    """As when somebody sets the time of the machine."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    clock.jump(-3600)
    assert (clock.now_us(), clock.steady_us()) == (EPOCH_US - 3_600_000_000, 0)
    loop.close()


def test_what_would_hang_for_ever_is_an_error() -> None:
    """A deadlock in virtual time is found at once."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingLeftToHappen):
        run_virtually(main())
