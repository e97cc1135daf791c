"""Preemptions that nobody needs, for whoever wants to try checkpoints: the same seed, the same moments."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from typing import Final

from trainyard.core.outcomes import OUTCOMES, Why
from trainyard.kinds.running.policy import RunPolicy

MOST_AN_HOUR: Final = 3600.0
_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Preemptions:
    """How often a running SPOT job is preempted on average; 0 is never."""

    per_hour: float = 0.0
    seed: str = ""

    @classmethod
    def parse(cls, text: str) -> Preemptions:
        """Read `RATE` or `RATE,SEED`; raises ValueError."""
        rate, _, seed = text.partition(",")
        per_hour = float(rate)
        if not 0.0 <= per_hour <= MOST_AN_HOUR:
            raise ValueError(text)
        return cls(per_hour, seed.strip())

    def over(self, policy: RunPolicy, job: str) -> RunPolicy:
        """The policy of a job of this name, with them."""
        if not self.per_hour or not policy.preemptible:
            return policy
        return replace(policy, preempted_after=self.moments(job))

    def moments(self, job: str) -> tuple[float, ...]:
        """When a job of this name is preempted: seconds of running, growing; never so often that it fails of it."""
        rng = random.Random(f"{self.seed}/{job}")  # noqa: S311 - chance, not secrecy
        gaps = (rng.expovariate(self.per_hour / _SECONDS) for _ in range(OUTCOMES[Why.PREEMPTED].retries))
        return tuple(itertools.accumulate(gaps))


NEVER: Final = Preemptions()
