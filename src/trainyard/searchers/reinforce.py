"""Reinforcement learning: one independent logit vector per decision, moved by PPO towards what was rewarded.

The policy of TuNAS (closed decisions neither count nor move), the update of PPO over batches of ended trials. A choice
of several is picked in order among what its earlier picks leave, with the probabilities renormalised; a sorted one
starts so that every set is as likely. All that is random hangs on the seed and the number of the proposal, and ratios
are formed with the probabilities at the time of asking, so a replayed history gives the same policy to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainyard.core.space import Point, Space
from trainyard.searcher import Searcher
from trainyard.searchers.notebook import Notebook
from trainyard.searchers.policy import Episode, Policy

BATCH = 10
BASELINE_DECAY = 0.95
# Rewards that differ by less than this share of their size differ by rounding.
LEAST_SPREAD = 1e-12


def open_searcher(space: Space, seed: int) -> Searcher:
    """A search by reinforcement learning."""
    return Reinforce(space, seed)


class Reinforce:
    """The default of REINFORCEMENT_LEARNING. An infeasible trial is rewarded as the worst one seen so far.

    May ask a point again once it has ended, as a policy that has made up its mind does; so it never runs dry.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._notebook = Notebook(space, seed)
        self._policy = Policy(space)
        self._asked: dict[int, tuple[float, ...]] = {}
        self._ended: list[tuple[int, float | None]] = []
        self._baseline: float | None = None

    def propose(self) -> Point | None:
        """A draw from the policy that is not being tried."""
        random = self._notebook.chance()
        return self._notebook.not_open(lambda: self._policy.drawn(random), random)

    def asked(self, point: Point) -> None:
        """See Searcher; remembers how likely each pick was."""
        number = self._notebook.asked(point)
        self._asked[number] = self._policy.of(point)

    def told(self, number: int, reward: float | None) -> None:
        """See Searcher; every BATCH ends move the policy."""
        self._ended.append((number, self._notebook.told(number, reward)))
        if len(self._ended) == BATCH:
            batch, self._ended = self._ended, []
            self._learn(batch)

    def _learn(self, batch: Sequence[tuple[int, float | None]]) -> None:
        asked = [(self._notebook.points[number - 1], self._asked.pop(number)) for number, _ in batch]
        worst = self._notebook.worst
        if worst is None:
            return
        rewards = [worst if reward is None else reward for _, reward in batch]
        mean = sum(rewards) / BATCH
        keep = 0.0 if self._baseline is None else BASELINE_DECAY**BATCH
        self._baseline = keep * (self._baseline or 0.0) + (1 - keep) * mean
        gains = [reward - self._baseline for reward in rewards]
        scale = math.sqrt(sum(gain * gain for gain in gains) / BATCH)
        if scale > LEAST_SPREAD * max(map(abs, rewards)):
            episodes = [Episode(*each, gain / scale) for each, gain in zip(asked, gains, strict=True)]
            self._policy.learn(episodes)
