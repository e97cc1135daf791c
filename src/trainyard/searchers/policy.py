"""One logit vector per decision: drawn from, and moved by clipped ratios (PPO) with Adam, in plain Python.

A decision is *bound* when earlier picks of its choice leave it only some options: its probabilities are then those of
the options left, renormalised, for drawing and for learning alike.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from trainyard.core.points import allowed, built
from trainyard.core.space import CLOSED, Point, Space

EPOCHS = 4
CLIP = 0.2
ENTROPY = 0.01
LEARNING_RATE = 0.05
FIRST_MOMENT, SECOND_MOMENT, TINY = 0.9, 0.999, 1e-8
# A forced point of a history may have been next to impossible; its ratio stays a number.
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True)
class Episode:
    """An ended trial: its point, the probability of each pick when it was asked, and how good it was (RMS 1)."""

    point: Point
    asked: tuple[float, ...]
    gain: float


class Policy:
    """The probabilities of every option; changed by `learn` alone."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._logits = [list(weights) for weights in space.log_weights]
        self._first = [[0.0] * options for options in space.options]
        self._second = [[0.0] * options for options in space.options]
        self._steps = 0
        self._is_bound = [len(d.siblings) > 1 and (d.distinct or d.is_sorted) for d in space.decisions]
        self._settle()

    def _settle(self) -> None:
        self.probabilities = [_softmax(logits) for logits in self._logits]
        self._sums = [list(accumulate(each)) for each in self.probabilities]

    def drawn(self, random: Random) -> Point:
        """A point with each open decision drawn by its probabilities."""
        draw = random.random
        if self._space.is_flat:
            return tuple([min(bisect(sums, draw()), len(sums) - 1) for sums in self._sums])

        def pick(number: int, among: Sequence[int]) -> int:
            if not self._is_bound[number]:
                sums = self._sums[number]
                return min(bisect(sums, draw()), len(sums) - 1)
            every = self.probabilities[number]
            weights = [max(every[option], LEAST_PROBABILITY) for option in among]
            return random.choices(among, weights)[0]

        return built(self._space, pick)

    def of(self, point: Point) -> tuple[float, ...]:
        """The probability of each pick of a point; 1 where the decision is closed."""
        if self._space.is_flat:
            return tuple([every[value] for every, value in zip(self.probabilities, point, strict=True)])
        return tuple([self._of_pick(point, number) for number in range(len(point))])

    def _of_pick(self, point: Point, number: int) -> float:
        value = point[number]
        if value == CLOSED:
            return 1.0
        every = self.probabilities[number]
        if not self._is_bound[number]:
            return every[value]
        left = sum(every[option] for option in allowed(self._space, point, number))
        return every[value] / max(left, LEAST_PROBABILITY)

    def learn(self, episodes: Sequence[Episode]) -> None:
        """Some epochs of gradient ascent on the clipped, gain-weighted ratios and the entropy."""
        lefts = {
            number: [
                allowed(self._space, each.point, number) if each.point[number] != CLOSED else () for each in episodes
            ]
            for number, is_bound in enumerate(self._is_bound)
            if is_bound
        }
        for _ in range(EPOCHS):
            self._steps += 1
            for number in range(len(self._logits)):
                if number in lefts:
                    gradient = self._bound_gradient(number, episodes, lefts[number])
                else:
                    gradient = self._gradient(number, episodes)
                if gradient:
                    self._step(number, gradient)
            self._settle()

    def _gradient(self, number: int, episodes: Sequence[Episode]) -> list[float] | None:
        """Of a free decision: by its logits, over all episodes; None when it was open in none."""
        every = self.probabilities[number]
        pulls = [0.0] * len(every)
        open_in = 0
        for episode in episodes:
            value = episode.point[number]
            if value == CLOSED:
                continue
            open_in += 1
            pulls[value] += _pull(every[value], episode.asked[number], episode.gain)
        if not open_in:
            return None
        total, share = sum(pulls), ENTROPY * open_in
        bend = _entropy_gradient(every)
        count = len(episodes)
        return [(pull - total * p + share * b) / count for pull, p, b in zip(pulls, every, bend, strict=True)]

    def _bound_gradient(
        self, number: int, episodes: Sequence[Episode], lefts: Sequence[Sequence[int]]
    ) -> list[float] | None:
        """Of a bound decision: each episode moves only the options that were left to it."""
        every = self.probabilities[number]
        gradient = [0.0] * len(every)
        if not any(lefts):
            return None
        for episode, left in zip(episodes, lefts, strict=True):
            if not left:
                continue
            whole = max(sum(every[option] for option in left), LEAST_PROBABILITY)
            masked = [every[option] / whole for option in left]
            value = episode.point[number]
            pull = _pull(every[value] / whole, episode.asked[number], episode.gain)
            gradient[value] += pull
            for option, p, b in zip(left, masked, _entropy_gradient(masked), strict=True):
                gradient[option] += ENTROPY * b - pull * p
        return [each / len(episodes) for each in gradient]

    def _step(self, number: int, gradient: Sequence[float]) -> None:
        """One step of Adam, upwards."""
        logits, first, second = self._logits[number], self._first[number], self._second[number]
        rate = LEARNING_RATE / (1 - FIRST_MOMENT**self._steps)
        unbias = 1 / (1 - SECOND_MOMENT**self._steps)
        for option, slope in enumerate(gradient):
            first[option] += (1 - FIRST_MOMENT) * (slope - first[option])
            second[option] += (1 - SECOND_MOMENT) * (slope * slope - second[option])
            logits[option] += rate * first[option] / (math.sqrt(second[option] * unbias) + TINY)


def _pull(now: float, then: float, gain: float) -> float:
    """What one pick adds to its logit: nothing once its ratio has left the clip in the direction of the gain."""
    ratio = now / max(then, LEAST_PROBABILITY)
    if ratio >= 1 + CLIP if gain > 0 else ratio <= 1 - CLIP:
        return 0.0
    return gain * ratio


def _softmax(logits: Sequence[float]) -> list[float]:
    largest = max(logits)
    weights = [math.exp(logit - largest) for logit in logits]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def _entropy_gradient(every: Sequence[float]) -> list[float]:
    """By the logits: -p (log p + H)."""
    logs = [math.log(p) if p > 0 else 0.0 for p in every]
    entropy = -sum(p * log for p, log in zip(every, logs, strict=True))
    return [-p * (log + entropy) for p, log in zip(every, logs, strict=True)]
