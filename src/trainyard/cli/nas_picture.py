"""What a picture of a search shows, as numbers; how it is drawn (nas_html.py, nas_png.py) is another matter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trainyard.cli.nas_results import Found, Search
from trainyard.cli.service_api import job_id, short_state
from trainyard.core.space import CLOSED, Decision, Point

BEST_SHOWN: Final = 10
# A window of trials in which choices are counted: this share of all of them, and never fewer than so many.
_WINDOW_SHARE: Final = 0.1
_LEAST_WINDOW: Final = 10
_MOST_COLUMNS: Final = 120
_LONGEST_NAME: Final = 18
# What lies farther out than so many widths of the middle half is shown at the edge, so that the rest can be seen.
_OUTLYING: Final = 2.5
_CONDITION: Final = re.compile(r"\[=(\d+)/(\d+)\]")


@dataclass(frozen=True, slots=True)
class Mark:
    """A measured trial: where it stands, and what is said of it."""

    number: int
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Shares:
    """How often each option of a decision was chosen around some trials; what is missing to 1 was not asked.

    `columns`: one list of shares an option order, at each of `numbers`. `best` is the option of the best trial, or -1.
    """

    name: str
    condition: str
    options: Sequence[str]
    numbers: Sequence[int]
    columns: Sequence[Sequence[float]]
    best: int


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of the best."""

    number: int
    value: float
    trained: float | None
    architecture: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn; `low` and `high` are the ends of the scale of values."""

    title: str
    state: str
    metric: str
    goal: str
    trials: int
    low: float
    high: float
    marks: Sequence[Mark]
    running: Sequence[tuple[int, float]]
    infeasible: Sequence[int]
    best: Sequence[Row]
    shares: Sequence[Shares]

    @property
    def facts(self) -> str:
        """What was looked for, and how the trials stand, in one line."""
        trials = f"{self.trials} trial{'' if self.trials == 1 else 's'}"
        counts = f"{len(self.marks)} measured, {len(self.infeasible)} infeasible of {trials}"
        return f"{self.goal} {self.metric} · {counts}"


def picture(search: Search) -> Picture:
    """The picture of a search as it is now."""
    best = search.best()
    values = [trial.value for trial in search.trials if trial.value is not None]
    low, high = scale(values, minimised=search.is_minimised)
    return Picture(
        title=str(search.job.get("displayName", "")) or job_id(search.job),
        state=short_state(search.job),
        metric=search.metric or "reward",
        goal="minimise" if search.is_minimised else "maximise",
        trials=len(search.trials),
        low=low,
        high=high,
        marks=[
            Mark(trial.number, trial.value, _label(search, trial)) for trial in search.trials if trial.value is not None
        ],
        running=list(search.running_best()),
        infeasible=[trial.number for trial in search.trials if trial.state == "INFEASIBLE"],
        best=rows(search, BEST_SHOWN),
        shares=_shares(search, best[0] if best else None),
    )


def rows(search: Search, count: int) -> list[Row]:
    """The best measured trials, one line each; architectures that were tried twice stand once."""
    found: dict[str, Row] = {}
    for trial in search.best():
        if trial.value is not None:
            key = trial.parameters or str(trial.number)
            found.setdefault(key, Row(trial.number, trial.value, trial.trained, search.architecture(trial)))
        if len(found) == count:
            break
    return list(found.values())


def scale(values: Sequence[float], *, minimised: bool) -> tuple[float, float]:
    """The ends of the scale: all values, except that the bad end leaves far outliers out; with a little air."""
    if not values:
        return 0.0, 1.0
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    first, third = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
    reach = _OUTLYING * (third - first)
    if reach and minimised:
        high = min(high, third + reach)
    elif reach:
        low = max(low, first - reach)
    air = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
    return low - air, high + air


def _label(search: Search, trial: Found) -> str:
    return f"trial {trial.number}: {trial.value:.6g}\n{search.architecture(trial)}"


def _shares(search: Search, best: Found | None) -> list[Shares]:
    if search.space is None:
        return []
    known = [(trial.number, point) for trial in search.trials if (point := search.point(trial)) is not None]
    if not known:
        return []
    best_point = search.point(best) if best else None
    numbers, windows = _windows(known)
    found = []
    for place, decision in enumerate(search.space.decisions):
        if decision.options < 2:
            continue
        columns = [
            [sum(point[place] == option for point in window) / len(window) for option in range(decision.options)]
            for window in windows
        ]
        chosen = best_point[place] if best_point else CLOSED
        name, condition = heading(decision)
        options = [option_name(decision, option) for option in range(decision.options)]
        found.append(Shares(name, condition, options, numbers, columns, chosen))
    return found


def _windows(known: Sequence[tuple[int, Point]]) -> tuple[list[int], list[list[Point]]]:
    """Where the columns stand, and the points around each."""
    half = max(_LEAST_WINDOW, int(_WINDOW_SHARE * len(known))) // 2
    count = min(len(known), _MOST_COLUMNS)
    places = [round(step * (len(known) - 1) / max(1, count - 1)) for step in range(count)]
    points = [point for _, point in known]
    return [known[at][0] for at in places], [points[max(0, at - half) : at + half + 1] for at in places]


def heading(decision: Decision) -> tuple[str, str]:
    """A decision's path without its conditions, and its innermost condition in words; `` where it is always asked."""
    name = _CONDITION.sub("", decision.key).removeprefix(".") or "(root)"
    conditions = list(_CONDITION.finditer(decision.key))
    if not conditions:
        return name, ""
    last = conditions[-1]
    parent = _CONDITION.sub("", decision.key[: last.start()]) or "(root)"
    return name, f"when {parent} is {last.group(1)}/{last.group(2)}"


def option_name(decision: Decision, option: int) -> str:
    """An option's literal, or its number where that is long or not known."""
    literal = decision.literals[option] if decision.literals else ""
    return literal if literal and len(literal) <= _LONGEST_NAME else f"{option}/{decision.options}"
