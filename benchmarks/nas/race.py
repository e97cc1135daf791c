"""One contestant on one problem: `python -m benchmarks.nas.race '{"contestant": …}'` prints what it reached, as JSON.

Runs in the contestant's own environment. The rule: up to `parallel` proposals are open and the oldest is told first.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Protocol

from benchmarks.nas.problems import Cells, Chain, Problem

from trainyard.core.space import Point, Space

PROBLEM_SEEDS = 5


class Contestant(Protocol):
    """A search, ours or a peer's."""

    def ask(self) -> tuple[Any, Point]:
        """The next proposal and what `tell` wants back."""

    def tell(self, handle: Any, value: float | None) -> None:
        """The observed value, larger is better; None: infeasible."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be run; `late` (from, to): score the mean true value of these proposals instead of the regret."""

    contestant: str
    problem: str
    budgets: Sequence[int]
    seeds: Sequence[int]
    parallel: int = 1
    late: Sequence[int] = ()


@dataclass(slots=True)
class Result:
    """Per budget one figure a seed; the times of one ask and tell together; the share that failed, early and late.

    `early_us`, `late_us`: medians of the first and of the last tenth of the trials.
    """

    regrets: dict[int, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    median_us: list[float] = field(default_factory=list)
    mean_us: list[float] = field(default_factory=list)
    early_us: list[float] = field(default_factory=list)
    late_us: list[float] = field(default_factory=list)
    failed_first: list[float] = field(default_factory=list)
    failed_last: list[float] = field(default_factory=list)


OURS = ("random_search", "evolution", "reinforce", "model_based", "grid_search")


class Ours:
    """A searcher of ours."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        self._searcher = importlib.import_module(f"trainyard.searchers.{name}").open_searcher(space, seed)
        self._asked = 0

    def ask(self) -> tuple[int, Point]:
        """See Contestant."""
        point = self._searcher.propose()
        self._searcher.asked(point)
        self._asked += 1
        return self._asked, point

    def tell(self, handle: int, value: float | None) -> None:
        """See Contestant."""
        self._searcher.told(handle, value)


def contestant(name: str, space: Space, seed: int) -> Contestant:
    """By name: one of ours, or a module beside this one with `open_contestant`."""
    if name in OURS:
        return Ours(name, space, seed)
    opened: Contestant = importlib.import_module(f"benchmarks.nas.{name}").open_contestant(space, seed)
    return opened


def problem(name: str, seed: int) -> Problem:
    """By name: B1, B2, B2 with infeasible points, B3."""
    if name == "B3":
        return importlib.import_module("benchmarks.nas.digits").Digits()  # type: ignore[no-any-return]  # lazy import
    makers: dict[str, Callable[[int], Problem]] = {
        "B1": Cells,
        "B2": Chain,
        "B2-infeasible": lambda seed: Chain(seed, infeasible=True),
    }
    return makers[name](seed % PROBLEM_SEEDS)


def raced(entry: Entry) -> Result:
    """Run an entry, all its seeds."""
    result = Result({budget: [] for budget in entry.budgets})
    for seed in entry.seeds:
        _one_seed(entry, seed, result)
    return result


def _one_seed(entry: Entry, seed: int, result: Result) -> None:
    field_ = problem(entry.problem, seed)
    runner = contestant(entry.contestant, field_.space, seed)
    chance = Random(1000 + seed)
    trials, asked, told = max(entry.budgets), 0, 0
    waiting: deque[tuple[Any, Point, float]] = deque()
    leader: tuple[float, float] = (float("-inf"), float("nan"))
    seconds, failed, truths = [], [], []
    while told < trials:
        while asked < trials and len(waiting) < entry.parallel:
            began = time.perf_counter()
            handle, point = runner.ask()
            waiting.append((handle, point, time.perf_counter() - began))
            truths.append(point)
            asked += 1
        handle, point, spent = waiting.popleft()
        value = field_.observed(point, chance)
        began = time.perf_counter()
        runner.tell(handle, value)
        seconds.append(spent + time.perf_counter() - began)
        failed.append(value is None)
        told += 1
        if value is not None and value > leader[0]:
            leader = (value, field_.true(point))
        if told in result.regrets:
            result.regrets[told].append(field_.best - leader[1])
    tenth = max(1, len(seconds) // 10)
    for found, some in ((result.early_us, seconds[:tenth]), (result.late_us, seconds[-tenth:])):
        found.append(sorted(some)[tenth // 2] * 1e6)
    seconds.sort()
    result.median_us.append(seconds[len(seconds) // 2] * 1e6)
    result.mean_us.append(sum(seconds) / len(seconds) * 1e6)
    result.failed_first.append(sum(failed[:200]) / 200)
    result.failed_last.append(sum(failed[-200:]) / 200)
    if entry.late:
        some = truths[entry.late[0] - 1 : entry.late[1]]
        result.late.append(sum(map(field_.true, some)) / len(some))


def main() -> None:
    print(json.dumps(asdict(raced(Entry(**json.loads(sys.argv[1]))))))


if __name__ == "__main__":
    main()
