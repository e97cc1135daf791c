"""The results of a run as tables with mean, standard error and n, and the pass marks with their verdicts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from benchmarks import tables
from benchmarks.harness import Row
from benchmarks.nas.plan import Cell

LONG = 10_000
Results: TypeAlias = Sequence[tuple[Cell, Mapping[str, Any]]]
HEAD = """# How good the searchers are

Measured by `python -m benchmarks.nas --write docs/nas-benchmarks.md`; the tables are its output, not edited.

{facts}

B1: 15,625 cells of 6 edges, noise 0.3. B2: a chain of 42 decisions, 10^16 points, noise 0.3. Their figure is the
regret: optimum minus true value of the best observed; lower is better. B3: a real training of a small network on
digits; its figure is the mean true reward (times 100) of proposals 151 to 200; higher is better. Each cell is mean ±
standard error (n seeds). **Bold** is first or within noise of first: less than two standard errors of the difference.
"""

ENGINE = """A trial is a shell that writes its metric file: whole searches from createTime to endTime, every trial a
job with its own agent, exit record and logs, on disk before it counts. Optuna (trials in SQLite) and pyglove (in
memory) start the same programs from as many threads. B3 live: the trainer of examples/nas_digits, run by the engine."""


def page(facts: Sequence[str], results: Results, engine: Sequence[Row]) -> str:
    """Everything as Markdown."""
    parts = [HEAD.format(facts="\n".join(facts))]
    for title, problem, parallel in (
        ("B1, one at a time", "B1", 1),
        ("B2, one at a time", "B2", 1),
        ("B2, 10 at a time", "B2", 10),
        ("B2, 50 at a time", "B2", 50),
        ("B2 with infeasible points", "B2-infeasible", 1),
        ("B3, late proposals", "B3", 1),
    ):
        if table := _table(results, problem, parallel):
            parts.append(f"## {title}\n\n{table}\n")
    parts.append(f"## Infeasible points\n\n{_failures(results)}\n")
    parts.append(f"## Ask and tell together, one trial\n\n{_speed(results)}\n")
    if engine:
        parts.append(f"## The engine\n\n{ENGINE}\n\n{tables.markdown(engine)}\n")
    parts.append(f"## Pass marks\n\n{_marks(results)}\n")
    return "\n".join(parts)


def figures(results: Results, name: str, problem: str, budget: int, parallel: int = 1) -> list[float]:
    """The figures of one cell, one a seed; the most seeds where it was run twice."""
    found: list[float] = []
    for cell, result in results:
        entry = cell.entry
        if (entry.contestant, entry.problem, entry.parallel) == (name, problem, parallel):
            some = result["late"] if problem == "B3" else result["regrets"].get(str(budget), [])
            found = max(found, some, key=len)
    return found


def _table(results: Results, problem: str, parallel: int) -> str:
    entries = [c.entry for c, _ in results if (c.entry.problem, c.entry.parallel) == (problem, parallel)]
    names = list(dict.fromkeys(entry.contestant for entry in entries))
    budgets = sorted({budget for entry in entries for budget in entry.budgets if budget <= 2000})
    lines = ["| | " + " | ".join(f"@{budget}" for budget in budgets) + " |", "|---" * (len(budgets) + 1) + "|"]
    for name in names:
        row = [_shown(results, names, name, (problem, budget, parallel)) for budget in budgets]
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return "\n".join(lines) if names else ""


def _shown(results: Results, names: Sequence[str], name: str, cell: tuple[str, int, int]) -> str:
    values = figures(results, name, *cell)
    if not values:
        return ""
    sign = -1 if cell[0] == "B3" else 1
    rivals = [some for rival in names if (some := figures(results, rival, *cell))]
    first = min(rivals, key=lambda some: sign * statistics.fmean(some))
    gap = abs(statistics.fmean(values) - statistics.fmean(first))
    text = f"{statistics.fmean(values):.2f} ± {error(values):.2f} ({len(values)})"
    return f"**{text}**" if gap <= 2 * math.hypot(error(values), error(first)) else text


def error(values: Sequence[float]) -> float:
    """The standard error of the mean; 0 for a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _failures(results: Results) -> str:
    lines = ["| | failed of the first 200 | of the last 200 |", "|---|---|---|"]
    for cell, result in results:
        if cell.entry.problem == "B2-infeasible":
            first, last = (statistics.fmean(result[key]) for key in ("failed_first", "failed_last"))
            lines.append(f"| {cell.entry.contestant} | {first:.0%} | {last:.0%} |")
    return "\n".join(lines)


def _speed(results: Results) -> str:
    lines = ["| | problem | trials | median | mean | of the first tenth | of the last tenth |", "|---" * 7 + "|"]
    for cell, result in results:
        entry = cell.entry
        if entry.problem in ("B1", "B2") and entry.parallel == 1:
            keys = ("median_us", "mean_us", "early_us", "late_us")
            times = [f"{statistics.median(result[key]) / 1000:.3f} ms" if key in result else "" for key in keys]
            lines.append("| " + " | ".join((entry.contestant, entry.problem, f"{max(entry.budgets):,}", *times)) + " |")
    return "\n".join(lines)


def _marks(results: Results) -> str:
    def mean(name: str, problem: str, budget: int) -> float:
        values = figures(results, name, problem, budget)
        return statistics.fmean(values) if values else math.nan

    lines = ["| mark | ours | limit | |", "|---|---|---|---|"]
    for title, name, cell, limit in _limits(mean):
        ours = mean(name, *cell)
        is_reward = cell[0] == "B3"
        if math.isnan(ours) or math.isnan(limit):
            verdict = "not measured"
        else:
            verdict = "met" if (ours >= limit if is_reward else ours <= limit) else "missed"
        lines.append(f"| {title} | {ours:.2f} | {'≥' if is_reward else '≤'} {limit:.2f} | {verdict} |")
    return "\n".join([*lines, *_pace(results)])


def _pace(results: Results) -> Iterator[str]:
    """How quick ask and tell are at 42 decisions, and whether they stay so."""
    for cell, result in results:
        if max(cell.entry.budgets) < LONG:
            continue
        median, early, late = (result[key][0] / 1000 for key in ("median_us", "early_us", "late_us"))
        name = f"{cell.entry.contestant}: ask and tell at 42 decisions, {LONG:,} trials"
        for what, ours, limit in (("median ms", median, 0.2), ("last tenth over first", late / early, 2.0)):
            yield f"| {name}, {what} | {ours:.3f} | ≤ {limit:.2f} | {'met' if ours <= limit else 'missed'} |"


def _limits(mean: Callable[[str, str, int], float]) -> list[tuple[str, str, tuple[str, int], float]]:
    """Pass marks: what, whose, on what, the limit."""
    random = "random_search"
    marks = [
        (
            f"{name} on {problem} @{budget} ≤ {share} × random",
            name,
            (problem, budget),
            share * mean(random, problem, budget),
        )
        for name, problem, budget, share in (
            ("evolution", "B1", 500, 0.5),
            ("reinforce", "B1", 500, 0.85),
            ("reinforce", "B2", 500, 0.2),
            ("evolution", "B2", 500, 0.3),
            ("reinforce", "B2", 2000, 0.1),
            ("evolution", "B2", 2000, 0.1),
        )
    ]
    for name in ("evolution", "reinforce"):
        limit = 1.25 * mean("pyglove_evolution", "B2", 500)
        marks.append((f"{name} on B2 @500 ≤ 1.25 × pyglove's evolution", name, ("B2", 500), limit))
    marks += [
        (f"reinforce on B2 @500 ≤ {peer}", "reinforce", ("B2", 500), mean(peer, "B2", 500))
        for peer in ("optuna_tpe", "pyglove_evolution")
    ]
    marks += [
        (f"model_based on B1 @{budget} ≤ optuna_tpe", "model_based", ("B1", budget), mean("optuna_tpe", "B1", budget))
        for budget in (50, 150, 500)
    ]
    marks += [
        (f"{name} on B3 ≥ random + 6", name, ("B3", 200), mean(random, "B3", 200) + 6)
        for name in ("evolution", "reinforce", "model_based")
    ]
    return marks
