"""The notebook between two decisions."""

from __future__ import annotations

import json

import pytest

from trainyard.core.jobs import Problem
from trainyard.kinds.running.memo import End, Memo, Timer, Verdict, incarnations

FULL = Memo(
    verdict=Verdict(End.FAILED, "exited", Problem(3, 'It said: "no".')),
    incarnations={"w": 2},
    recorded={"w": 1},
    retries={"crashed": 1},
    timer=Timer(5, 6, 7),
    ran=True,
    retry_after_us=8,
    retry_delay_us=9,
    told=("ab",),
)


@pytest.mark.parametrize("memo", [Memo(), FULL, Memo(verdict=Verdict(End.SUCCEEDED)), Memo(timer=Timer(1))])
def test_what_was_written_is_read_back(memo: Memo) -> None:
    """Nothing is lost on the way through the store, and the same memo gives the same text."""
    assert Memo.parse(memo.dump()) == memo
    assert Memo.parse(memo.dump()).dump() == memo.dump()


def test_an_empty_memo_is_what_a_fresh_job_has() -> None:
    """`{}`, as Status says."""
    assert Memo().dump() == "{}"
    assert Memo.parse("{}") == Memo()
    assert json.loads(FULL.dump())["inc"] == {"w": 2}


def test_a_retry_keeps_what_counts_over_the_job() -> None:
    """Retries, the stopwatch of a job that ran, and what was told; not the incarnations of the old attempt."""
    kept = FULL.between_attempts("crashed", 100, 50)
    assert kept == Memo(
        retries={"crashed": 2}, timer=Timer(5, 6, 7), ran=True, retry_after_us=100, retry_delay_us=50, told=("ab",)
    )
    assert Memo(timer=Timer(1)).between_attempts("internal", 1, 1).timer is None


def test_restarts_and_records_are_counted_by_replica() -> None:
    """The incarnation grows by one; a record remembers the highest."""
    memo = Memo().restarted("a").restarted("a").restarted("b").with_record("a", 1)
    assert memo.incarnations == {"a": 2, "b": 1}
    assert memo.recorded == {"a": 2}
    assert incarnations(memo.dump()) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("timer", "now_us", "steady_us", "elapsed"),
    [
        (Timer(1000, 10), 999_999, 35, 25),  # the calendar jumped forward: it does not count
        (Timer(1000, 10), 0, 35, 25),  # or back
        (Timer(1000, 10, 100), 0, 35, 125),  # with what was carried over a reboot
        (Timer(1000, 10), 1500, 5, 500),  # the steady clock has started anew: the calendar bridges
        (Timer(1000, 10), 500, 5, 0),  # never negative
        (Timer(1000, None), 1500, 5, 500),  # started without a steady clock
        (Timer(1000, 10), 1500, None, 500),  # or looked at without one
    ],
)
def test_a_stopwatch_trusts_the_steady_clock_first(timer, now_us, steady_us, elapsed) -> None:
    """Calendar jumps do not count; only where there is no steady clock to go by does the calendar."""
    assert timer.elapsed_us(now_us, steady_us) == elapsed


def test_a_stopwatch_is_anchored_anew_after_a_reboot() -> None:
    """What had passed is carried, and later jumps of the calendar do not count any more."""
    timer = Timer(1000, 10)
    assert timer.rebased(5000, 20) is timer
    assert timer.rebased(5000, None) is timer
    anew = timer.rebased(1600, 3)
    assert anew == Timer(1600, 3, 600)
    assert anew.elapsed_us(9_999_999, 13) == 610
    assert Timer(1000, None).rebased(1400, 8) == Timer(1400, 8, 400)
