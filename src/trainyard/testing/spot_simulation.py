"""Histories of scarce room in the hostile world of simulation.py: SPOT jobs that last, and others that come later."""

from __future__ import annotations

import random
from dataclasses import replace

from trainyard.testing.builders import PlainSpec
from trainyard.testing.fake_executor import Behaviour
from trainyard.testing.simulation import Plan, Simulation


class SpotSimulation(Simulation):
    """Half of the jobs are SPOT; `run` as Simulation's."""

    def _plan(self, job_id: int) -> Plan:
        plan = super()._plan(job_id)
        assert isinstance(plan.spec, PlainSpec)
        if self._rng.random() < 0.5:
            return replace(plan, made_at=plan.made_at + self._rng.choice((2.0, 20.0)))
        spec = replace(plan.spec, spot=True, max_wait_seconds=None, timeout_seconds=self._rng.choice((20.0, 40.0)))
        return replace(plan, spec=spec, priority=plan.priority - 1000, made_at=plan.made_at / 4)

    def _behave(self, run_id: str, replica: str, incarnation: int) -> Behaviour:
        does = super()._behave(run_id, replica, incarnation)
        rng = random.Random(f"{self.seed}/lasts/{run_id}/{replica}")  # noqa: S311 - chance, not secrecy
        spec = next(plan.spec for plan in self._plans if plan.job_id == int(run_id.partition("-")[0]))
        lasts = isinstance(spec, PlainSpec) and spec.spot and rng.random() < 0.7
        return replace(does, run=None) if lasts else does
