"""The promise of a searcher: history in, points out; the same seed and history give the same points, on any machine.

Keepers are in `searchers/`, listed in its BUILT_IN table; each module has `open_searcher(space, seed) -> Searcher`.
A searcher is a pure function in the clothes of an object: what it proposes follows from the space, the seed and the
sequence of `asked` and `told` calls alone. So it needs no file of its own: after a crash `replay` brings it back.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from trainyard.core.space import Point, Space
from trainyard.core.trials import ENDED, Ending, Metric, Trial

# Rewards beyond this are cut, so that sums of squares stay finite.
LARGEST_REWARD = 1e100


class Searcher(Protocol):
    """One search. Numbers of trials count from 1 in the order of `asked`."""

    def propose(self) -> Point | None:
        """The point to try next; changes nothing, so asking twice gives it twice.

        Never one that is being tried now, as long as there is another. None: there is nothing new to try, and once
        nothing is being tried either, there will never be.
        """

    def asked(self, point: Point) -> None:
        """This point is being tried from now on: the answer of `propose`, or what history says was tried here."""

    def told(self, number: int, reward: float | None) -> None:
        """A trial has ended: its reward (larger is better), or None where it was infeasible."""


Open: TypeAlias = Callable[[Space, int], Searcher]


@dataclass(frozen=True, slots=True)
class Past:
    """One line of a history, in the order asked: see Trial for `asked_after` and `ended_as` (None: still tried)."""

    point: Point
    asked_after: int = 0
    ended_as: int | None = None
    reward: float | None = None


def past(trial: Trial, metric: Metric) -> Past:
    """What a trial teaches: its reward by the metric once it has ended, nothing while it is open."""
    if trial.state not in ENDED:
        return Past(trial.point, trial.asked_after)
    return Past(trial.point, trial.asked_after, trial.ended_as, metric.reward(trial.measurement))


def lessons(trials: Sequence[Trial], metric: Metric, behind: int = 0) -> list[Past]:
    """What the trials of one search, in the order asked, teach; those cut short are left out, as if never asked.

    `behind`: how many trials, all of them ended, a searcher has seen before these.
    """
    taught = [trial for trial in trials if trial.ending is not Ending.CUT_SHORT]
    ends = sorted(trial.ended_as for trial in taught if trial.ended_as is not None)
    place = {ended_as: behind + number for number, ended_as in enumerate(ends, 1)}
    return [
        replace(
            past(trial, metric),
            asked_after=behind + bisect.bisect_right(ends, trial.asked_after),
            ended_as=None if trial.ended_as is None else place[trial.ended_as],
        )
        for trial in taught
    ]


def replay(searcher: Searcher, history: Sequence[Past]) -> None:
    """Bring a new searcher to where one stands that lived through this history."""
    ends = sorted((line.ended_as, number) for number, line in enumerate(history, 1) if line.ended_as is not None)
    told = 0
    for line in history:
        while told < min(line.asked_after, len(ends)):
            _tell(searcher, history, ends[told][1])
            told += 1
        searcher.asked(line.point)
    for _, number in ends[told:]:
        _tell(searcher, history, number)


def propose(opened: Open, space: Space, history: Sequence[Past], count: int, seed: int) -> tuple[Point, ...]:
    """Up to `count` further points for this history, to be tried at the same time; fewer when there is nothing new."""
    searcher = opened(space, seed)
    replay(searcher, history)
    points: list[Point] = []
    while len(points) < count and (point := searcher.propose()) is not None:
        searcher.asked(point)
        points.append(point)
    return tuple(points)


def _tell(searcher: Searcher, history: Sequence[Past], number: int) -> None:
    searcher.told(number, history[number - 1].reward)
