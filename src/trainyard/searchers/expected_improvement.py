"""Ask where a Gaussian process expects the largest improvement on the best that it believes in.

What it believes is computed from the trials that have ended, at fixed milestones anew and in between by growing, so a
replayed history believes the same. Points being tried take away doubt around them, so parallel proposals spread out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np

from trainyard.core.points import Pick, drawn, evenly
from trainyard.core.space import Point, Space
from trainyard.searchers.encoding import Encoding
from trainyard.searchers.evolution import mutated
from trainyard.searchers.gaussian import FIRST, Array, Codes, Knowledge, alike, best_shares
from trainyard.searchers.notebook import Notebook

FIRST_RANDOM = 10
# The model keeps so many trials at a milestone: the best of them and the latest.
MOST_KEPT = 400
BEST_KEPT = 150
FARTHEST_MILESTONES = 50
BEAM = 40
STARTS = 10
# Below any score: a point that was asked is kept to start from only while there is nothing else.
NEVER = 1e9
TAIL = -5.0
LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
ROUNDS = 12
DEEPEST_FAILURE = 3.0


@dataclass(frozen=True, slots=True)
class Belief:
    """The model after some ends: `rows` are the places in the order of ends of the trials that it keeps."""

    told: int
    rows: tuple[int, ...]
    knowledge: Knowledge


class ModelBased:
    """Random at first, then the point of the largest expected improvement that was never asked.

    An infeasible trial counts as the worst one seen. No point is asked twice.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._notebook = Notebook(space, seed)
        self._encode = Encoding(space)
        self._ends: list[tuple[int, float | None]] = []
        self._belief: Belief | None = None

    def propose(self) -> Point | None:
        """The most promising point never asked before; None when every point was asked."""
        notebook = self._notebook
        random = notebook.chance()
        if len(notebook.points) < FIRST_RANDOM or notebook.worst is None or len(self._ends) < 2:
            return notebook.unseen(lambda: drawn(notebook.space, random), random)
        found = self._best_expected(random)
        return notebook.unseen(lambda: found or drawn(notebook.space, random), random)

    def asked(self, point: Point) -> None:
        """See Searcher."""
        self._notebook.asked(point)

    def told(self, number: int, reward: float | None) -> None:
        """See Searcher."""
        self._ends.append((number, self._notebook.told(number, reward)))

    def _believed(self) -> Belief:
        """The belief after all ends: from the last milestone, grown by what ended since."""
        told = len(self._ends)
        milestone = last_milestone(told)
        belief = self._belief
        if belief is None or not milestone <= belief.told <= told:
            belief = self._from_milestone(milestone)
        if belief.told < told:
            knowledge = belief.knowledge
            later = range(belief.told, told)
            for row in later:
                knowledge = knowledge.grown(self._encode([self._point(row)]))
            belief = Belief(told, (*belief.rows, *later), knowledge)
        self._belief = belief
        return belief

    def _from_milestone(self, milestone: int) -> Belief:
        rows = self._kept(milestone)
        codes = self._encode([self._point(row) for row in rows])
        shares = FIRST
        if milestone >= FIRST_RANDOM:
            shares = best_shares(alike(codes, codes), self._values(rows))
        return Belief(milestone, rows, Knowledge.of(shares, codes))

    def _kept(self, milestone: int) -> tuple[int, ...]:
        if milestone <= MOST_KEPT:
            return tuple(range(milestone))
        rewards = [-math.inf if reward is None else reward for _, reward in self._ends[:milestone]]
        by_reward = sorted(range(milestone), key=lambda row: (-rewards[row], row))
        best = set(by_reward[:BEST_KEPT])
        latest = [row for row in range(milestone - 1, -1, -1) if row not in best][: MOST_KEPT - BEST_KEPT]
        return tuple(sorted(best.union(latest)))

    def _point(self, row: int) -> Point:
        return self._notebook.points[self._ends[row][0] - 1]

    def _values(self, rows: tuple[int, ...]) -> Array:
        """Rewards with the median at 0 and the better half spread by 1; what is far below is cut."""
        worst = self._notebook.worst
        found = np.array([worst if (reward := self._ends[row][1]) is None else reward for row in rows], dtype=float)
        found -= np.median(found)
        upper = found[found >= 0]
        spread = math.sqrt(float(upper @ upper) / len(upper))
        return np.maximum(found / (spread or 1.0), -DEEPEST_FAILURE)

    def _best_expected(self, random: Random) -> Point | None:
        """A beam of points, mutated for some rounds; the best of all that were looked at and never asked."""
        belief = self._believed()
        values = self._values(belief.rows)
        expected = Improvement(belief.knowledge, values, self._encode(list(self._notebook.open)))
        seen = self._notebook.seen
        beam: dict[Point, float] = {}
        fresh = self._starts(belief, values, random)
        pick = evenly(self._notebook.space, random)
        for round_ in range(ROUNDS):
            new = [point for point in dict.fromkeys(fresh) if point not in beam]
            for point, score in zip(new, expected.logs(self._encode(new)), strict=True):
                beam[point] = score - NEVER if point in seen else score
            beam = dict(sorted(beam.items(), key=lambda each: -each[1])[:BEAM])
            steps = 2 if round_ % 3 == 1 else 1
            fresh = [self._mutated(point, steps, random, pick) for point in beam]
        best = next(iter(beam))
        return None if best in seen else best

    def _starts(self, belief: Belief, values: Array, random: Random) -> list[Point]:
        """The best ended points, points around them, and some anywhere."""
        space = self._notebook.space
        pick = evenly(space, random)
        best = [self._point(belief.rows[place]) for place in np.argsort(-values, kind="stable")[:STARTS]]
        around = [self._mutated(best[int(random.random() * len(best))], 2, random, pick) for _ in range(3 * STARTS)]
        return [*best, *around, *(drawn(space, random) for _ in range(3 * STARTS))]

    def _mutated(self, point: Point, steps: int, random: Random, pick: Pick) -> Point:
        for _ in range(steps):
            point = mutated(self._notebook.space, point, random, pick)
        return point


class Improvement:
    """How much better than the best mean so far a point may be: expected improvement, as its logarithm.

    Means come from what has ended; doubt also shrinks around the points that are open.
    """

    def __init__(self, knowledge: Knowledge, values: Array, open_codes: Codes) -> None:
        self._mean = float(values.mean())
        centred = values - self._mean
        self._ended = knowledge
        self._weights = knowledge.precision @ centred
        self._best = float((centred - knowledge.shares.noise * self._weights).max())
        self._all = knowledge.grown(open_codes) if open_codes.shape[1] else knowledge

    def logs(self, codes: Codes) -> list[float]:
        """One score a point."""
        cross = self._all.likeness(codes)
        means = cross[:, : len(self._weights)] @ self._weights
        doubts = self._all.doubt(cross)
        gaps = (means - self._best) / doubts
        return [
            log_improvement(gap) + math.log(doubt) for gap, doubt in zip(gaps.tolist(), doubts.tolist(), strict=True)
        ]


def log_improvement(gap: float) -> float:
    """Log of phi(gap) + gap * Phi(gap): the expected improvement of a standard normal, also far in its tail."""
    if gap < TAIL:
        return -0.5 * gap * gap - LOG_ROOT_TWO_PI - 2 * math.log(-gap)
    density = math.exp(-0.5 * gap * gap - LOG_ROOT_TWO_PI)
    return math.log(density + 0.5 * gap * math.erfc(-gap / math.sqrt(2)))


def last_milestone(told: int) -> int:
    """The largest number of ends, not above this one, at which the model is made anew: ever rarer, but never rare."""
    milestone = 0
    while milestone + (step := min(max(FIRST_RANDOM, milestone // 4), FARTHEST_MILESTONES)) <= told:
        milestone += step
    return milestone
