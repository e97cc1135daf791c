"""PyGlove's regularised evolution (population 50, tournament 10), as a contestant; needs pyglove."""

from __future__ import annotations

import json

import pyglove as pg

from trainyard.core.parameters import point_of_parameters
from trainyard.core.space import Choice, Point, Space, Template

POPULATION, TOURNAMENT = 50, 10


class Evolution:
    """Driven through propose and feedback; a failed trial is told the worst value seen."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._worst = 0.0
        self._algorithm = pg.evolution.regularized_evolution(
            population_size=POPULATION, tournament_size=TOURNAMENT, seed=seed
        )
        self._algorithm.setup(_spec(space.root))

    def ask(self) -> tuple[pg.DNA, Point]:
        """See Contestant."""
        dna = self._algorithm.propose()
        return dna, point_of_parameters(self._space, json.dumps(dna.parameters(use_literal_values=True)))

    def tell(self, handle: pg.DNA, value: float | None) -> None:
        """See Contestant."""
        if value is not None:
            self._worst = min(self._worst, value)
        self._algorithm.feedback(handle, self._worst if value is None else value)


def _spec(template: Template) -> pg.geno.Space:
    return pg.geno.space([_choice(choice) for choice in template.choices])


def _choice(choice: Choice) -> pg.geno.Choices:
    return pg.geno.manyof(
        choice.picks,
        [_spec(candidate) for candidate in choice.candidates],
        distinct=choice.distinct,
        sorted=choice.is_sorted,
        literal_values=list(choice.literals) or None,
        location=choice.location,
    )


def open_contestant(space: Space, seed: int) -> Evolution:
    """An evolution that has seen nothing."""
    return Evolution(space, seed)
