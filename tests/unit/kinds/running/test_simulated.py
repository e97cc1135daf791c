"""Simulated preemptions: the same seed, the same moments; and only for who may be preempted."""

from __future__ import annotations

import pytest

from trainyard.kinds.running.policy import RunPolicy
from trainyard.kinds.running.simulated import NEVER, Preemptions

SPOT = RunPolicy(("workerpool0-0",), preemptible=True)


def test_the_same_seed_gives_the_same_moments() -> None:
    """Six of them, growing, other ones for another seed or name."""
    told = Preemptions.parse("60,7")
    moments = told.moments("train")
    assert moments == Preemptions(60.0, "7").moments("train")
    assert len(moments) == 6
    assert list(moments) == sorted(moments)
    assert moments not in (Preemptions.parse("60,8").moments("train"), told.moments("other"))


def test_the_rate_is_an_average() -> None:
    """Sixty an hour is one a minute, over many jobs."""
    lasts = [Preemptions(60.0).moments(str(number))[-1] for number in range(2000)]
    assert sum(lasts) / len(lasts) / 6 == pytest.approx(60.0, rel=0.05)


def test_who_is_not_preemptible_is_left_alone() -> None:
    """As everybody is while nothing is simulated."""
    told = Preemptions(1.0)
    assert told.over(SPOT, "j").preempted_after == told.moments("j")
    firm = RunPolicy(("workerpool0-0",))
    assert told.over(firm, "j") is firm
    assert NEVER.over(SPOT, "j") is SPOT


@pytest.mark.parametrize("text", ["", "often", "-1", "3601", "nan", "inf,3"])
def test_a_rate_that_cannot_be_meant_is_refused(text: str) -> None:
    """Nothing is guessed at."""
    with pytest.raises(ValueError):  # noqa: PT011 - its caller has the sentence
        Preemptions.parse(text)
