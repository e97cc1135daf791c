"""Regularised evolution (Real et al. 2019): the best of a sample of the youngest gets a child with one change.

Most changes are taken over from the best of another sample, the others are drawn: a whole population has found out
what its members' options are worth, and chance alone has not (docs/nas-benchmarks.md, B3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from trainyard.core.points import Pick, alternatives, changed, drawn, evenly
from trainyard.core.space import CLOSED, Point, Space
from trainyard.searcher import Searcher
from trainyard.searchers.notebook import Notebook

FIRST_RANDOM = 20
POPULATION = 40
SAMPLE = 30
TAKEN_OVER = 0.7


def open_searcher(space: Space, seed: int) -> Searcher:
    """A regularised evolution in the space."""
    return Evolution(space, seed)


class Evolution:
    """Random at first; then children of the best of SAMPLE drawn, with repeats, from the last POPULATION told.

    An infeasible trial stays in the population as worse than any other: where it was, the search does not go on. No
    point is asked twice.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._notebook = Notebook(space, seed)
        self._population: deque[tuple[float, Point]] = deque(maxlen=POPULATION)

    def propose(self) -> Point | None:
        """A child never asked before, or a random point; None when every point was asked."""
        notebook = self._notebook
        random = notebook.chance()
        if len(notebook.points) < FIRST_RANDOM or not self._population:
            return notebook.unseen(lambda: drawn(notebook.space, random), random)
        pick = evenly(notebook.space, random)
        return notebook.unseen(lambda: self._child(random, pick), random)

    def asked(self, point: Point) -> None:
        """See Searcher."""
        self._notebook.asked(point)

    def told(self, number: int, reward: float | None) -> None:
        """See Searcher."""
        known = self._notebook.told(number, reward)
        self._population.append((float("-inf") if known is None else known, self._notebook.points[number - 1]))

    def _child(self, random: Random, pick: Pick) -> Point:
        space, parent = self._notebook.space, self._best_of_some(random)
        if random.random() < TAKEN_OVER:
            child = taking_over(space, parent, self._best_of_some(random), random, pick)
            if child is not None:
                return child
        return mutated(space, parent, random, pick)

    def _best_of_some(self, random: Random) -> Point:
        population = self._population
        sample = [population[int(random.random() * len(population))] for _ in range(SAMPLE)]
        return max(sample, key=lambda each: each[0])[1]


def taking_over(space: Space, parent: Point, other: Point, random: Random, pick: Pick) -> Point | None:
    """The parent with one decision, and what lies below it, as the other has it; None where nothing can be taken."""
    differing = [
        number
        for number, (own, its) in enumerate(zip(parent, other, strict=True))
        if own != its and CLOSED not in (own, its)
    ]
    if not differing:
        return None
    number = differing[int(random.random() * len(differing))]
    if other[number] not in alternatives(space, parent, number):
        return None

    def taken(child: int, among: Sequence[int]) -> int:
        return other[child] if other[child] in among else pick(child, among)

    return changed(space, parent, number, other[number], taken)


def mutated(space: Space, parent: Point, random: Random, pick: Pick) -> Point:
    """The point with one open decision, drawn evenly among those with alternatives, changed to another option.

    What opens below it keeps the values that decisions of the same name had below the old option: one layer more is
    one layer more, and not a new network. The rest is answered by `pick`.
    """
    open_ones = [number for number, value in enumerate(parent) if value != CLOSED and space.options[number] > 1]
    while open_ones:
        number = open_ones[int(random.random() * len(open_ones))]
        others = alternatives(space, parent, number)
        if others:
            option = others[int(random.random() * len(others))]
            return changed(space, parent, number, option, _inheriting(space, parent, number, option, pick))
        open_ones.remove(number)
    return parent


def _inheriting(space: Space, parent: Point, number: int, option: int, pick: Pick) -> Pick:
    decision = space.decisions[number]
    if decision.end == number + 1:
        return pick

    def below(chosen: int) -> int:
        return len(f"{decision.key}[={chosen}/{decision.options}]")

    before = {
        space.decisions[n].key[below(parent[number]) :]: parent[n]
        for n in range(number + 1, decision.end)
        if parent[n] != CLOSED
    }

    def inherited(child: int, among: Sequence[int]) -> int:
        value = before.get(space.decisions[child].key[below(option) :], CLOSED)
        return value if value in among else pick(child, among)

    return inherited
