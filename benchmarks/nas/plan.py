"""What is run: every contestant on every problem, with the numbers of seeds that its cost allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.nas.race import Entry

CHEAP = ("random_search", "evolution", "reinforce")
SEEDS, SOME, FEW = 20, 10, 4


@dataclass(frozen=True, slots=True)
class Cell:
    """One race; `key` names it in a file of results."""

    entry: Entry

    @property
    def key(self) -> str:
        """Contestant, problem, budget, seeds and parallelism in one word."""
        e = self.entry
        return f"{e.contestant}/{e.problem}/{max(e.budgets)}/seeds{len(e.seeds)}/parallel{e.parallel}"


def cells(*, quick: bool) -> list[Cell]:
    """The whole protocol, or its smallest likeness."""
    if quick:
        return [
            *(_cell(name, "B1", (20, 50), 2) for name in (*CHEAP, "model_based", "grid_search")),
            *(_cell(name, "B2", (50, 100), 2) for name in CHEAP),
        ]
    plan = [_cell("grid_search", "B1", (50, 150, 500), SEEDS)]
    for name in (*CHEAP, "model_based", "optuna_tpe", "pyglove_evolution"):
        some = SEEDS if name in CHEAP else SOME
        plan.append(_cell(name, "B1", (50, 150, 500), SEEDS))
        plan.append(_cell(name, "B2", (50, 150, 500), some))
        plan.append(_cell(name, "B3", (200,), some, late=(151, 200)))
    for name in CHEAP:
        plan.append(_cell(name, "B2", (2000,), SEEDS))
        plan.append(_cell(name, "B2-infeasible", (800,), SEEDS))
    plan.append(_cell("model_based", "B2", (2000,), FEW))
    plan.append(_cell("model_based", "B2-infeasible", (800,), FEW))
    for parallel in (10, 50):
        plan += [_cell(name, "B2", (500, 2000), SEEDS, parallel) for name in CHEAP]
        plan += [_cell(name, "B2", (500,), FEW, parallel) for name in ("model_based", "optuna_tpe")]
    plan += [_cell(name, "B2", (10_000,), 1) for name in CHEAP]
    return plan


def _cell(
    name: str, problem: str, budgets: Sequence[int], seeds: int, parallel: int = 1, late: Sequence[int] = ()
) -> Cell:
    return Cell(Entry(name, problem, tuple(budgets), tuple(range(seeds)), parallel, tuple(late)))
