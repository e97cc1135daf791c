"""A search kept in memory beside the pure decision: always what a replay of its history would give, only sooner.

It is known by its mark, a checksum over every ask, end and choice in order. A decision whose commit failed leaves
behind a search with a mark that no memo has; the next decision then reads the history and replays it.
"""

from __future__ import annotations

import bisect
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from trainyard.core.jobs import Job
from trainyard.core.space import Point
from trainyard.core.trials import Ending, Metric, Stage, Trial, TrialState
from trainyard.kinds.nas_job.memo import Memo
from trainyard.kinds.nas_job.plan import SearchPlan
from trainyard.searcher import Open, Searcher, lessons, replay


class LiveSearch:
    """The searcher of one job, its points by number, who was best, and what was trained."""

    def __init__(self, searcher: Searcher) -> None:
        """Begin anew; `rebuilt` begins with a history."""
        self._searcher = searcher
        self._points: list[Point] = []
        self._numbers_before = 0  # trials of the past: a searcher counts them, the job does not
        self._ranking: list[tuple[float, int]] = []
        self._trained: set[Point] = set()
        self.best: float | None = None
        self.mark = 0

    def propose(self) -> Point | None:
        """See Searcher."""
        return self._searcher.propose()

    def asked(self, point: Point) -> None:
        """The next search trial tries this point."""
        self._searcher.asked(point)
        self._points.append(point)
        self._mark(["asked", *point])

    def told(self, number: int, reward: float | None) -> None:
        """A search trial has ended."""
        self._searcher.told(self._numbers_before + number, reward)
        self._ranked(number, reward)
        self._mark([number, reward])

    def trains(self, number: int) -> None:
        """The point of this search trial was picked for training."""
        self._trained.add(self._points[number - 1])
        self._mark(["trains", number])

    def point(self, number: int) -> Point:
        """The point of a search trial."""
        return self._points[number - 1]

    def untrained(self, most: int) -> list[int]:
        """Of the `most` best different points, the search trials of those that were not picked for training before."""
        best: dict[Point, int] = {}
        for _, number in self._ranking:
            best.setdefault(self._points[number - 1], number)
            if len(best) == most:
                break
        return [number for point, number in best.items() if point not in self._trained]

    def take_up(self, history: Sequence[Trial], metric: Metric, queue: Sequence[int], mark: int) -> None:
        """Be what the search was that lived through this history; only once, on a new one."""
        past = lessons([trial for trial in history if trial.stage is Stage.PAST], metric)
        search = [trial for trial in history if trial.stage is Stage.SEARCH]
        self._numbers_before = len(past)
        # What was cut short is as if it were still tried, not as if it had never been: others keep their numbers.
        own = [_untold(trial) if trial.ending is Ending.CUT_SHORT else trial for trial in search]
        replay(self._searcher, [*past, *lessons(own, metric, len(past))])
        self._points = [trial.point for trial in search]
        for trial in search:
            if trial.ending is not None:
                self._ranked(trial.number, metric.reward(trial.measurement))
        for number in (*(trial.of for trial in history if trial.stage is Stage.TRAIN), *queue):
            self.trains(number)
        self.mark = mark

    def _ranked(self, number: int, reward: float | None) -> None:
        if reward is not None:
            bisect.insort(self._ranking, (-reward, number))
            self.best = -self._ranking[0][0]

    def _mark(self, event: list[object]) -> None:
        self.mark = zlib.crc32(json.dumps(event).encode(), self.mark)


def _untold(trial: Trial) -> Trial:
    return replace(trial, state=TrialState.REQUESTED, ended_as=None, ending=None)


class LiveSearches:
    """The newest few, by job."""

    def __init__(self, open_searcher: Callable[[str], Open], most: int = 64) -> None:
        """Keep so many; who is asked about again later is replayed. `open_searcher` finds a searcher by name."""
        self._open_searcher = open_searcher
        self._most = most
        self._kept: dict[int, LiveSearch] = {}

    def of(self, job: Job, plan: SearchPlan, memo: Memo, history: Callable[[], Sequence[Trial]]) -> LiveSearch:
        """The job's search as its memo marks it; replayed from its history where there is none such."""
        search = self._kept.pop(job.id, None)
        if search is None or search.mark != memo.mark:
            seed = job.id if plan.seed is None else plan.seed
            search = LiveSearch(self._open_searcher(plan.searcher)(plan.space, seed))
            search.take_up(history(), plan.metric, memo.queue, memo.mark)
        self._kept[job.id] = search
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return search

    def forget(self, job_id: int) -> None:
        """The job is over."""
        self._kept.pop(job_id, None)
