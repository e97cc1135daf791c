"""Histories of searches in the hostile world of simulation.py: trials crash, lie, hang, and their server dies."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace

from trainyard.testing.builders import PlainSpec
from trainyard.testing.fake_executor import Behaviour
from trainyard.testing.searches import METRIC, PlainSearch
from trainyard.testing.simulation import Plan, Simulation

_REPORTS = (None, "", "nan", "garbage")


class SearchSimulation(Simulation):
    """One or two searches, perhaps a plain job beside them; `run` as Simulation's."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._shaken: set[int] = set()

    def _plan(self, job_id: int) -> Plan:
        plan = super()._plan(job_id)
        if job_id > 2 or (job_id == 2 and self._rng.random() < 0.5):
            return replace(plan, spec=PlainSpec(timeout_seconds=20.0))
        rng = self._rng
        search = PlainSearch(
            options=rng.choice(((3, 4), (2, 2, 2), (12,))),
            searcher=rng.choice(("random_search", "grid_search", "evolution", "reinforce")),
            trials=rng.choice((1, 3, 6)),
            at_once=rng.choice((1, 2, 4)),
            failed=rng.choice((1, 3, 99)),
            timeout_seconds=rng.choice((15.0, 10_000.0, 10_000.0)),
            train=rng.choice((None, None, (2, 1), (3, 2))),
            workers=rng.choice((0, 0, 1)),
        )
        cancel_at = rng.choice((None, None, None, rng.uniform(0, 20)))
        chance = random.Random(f"{self.seed}/plan/{job_id}")  # noqa: S311 - chance, not secrecy
        if chance.random() < 0.25:  # the middle of a search that is broken off, while much goes on
            search = replace(search, trials=6, at_once=4, failed=99, workers=0, options=(12,))
            cancel_at = plan.made_at + chance.uniform(0.5, 5.0)
        return replace(plan, spec=search, cancel_at=cancel_at)

    def _boot(self) -> None:
        super()._boot()
        self.laws.cut_short = self._perhaps_crash

    def _perhaps_crash(self, job_id: int) -> None:
        """A search of which some trials were cut short and others go on has most to remember over a crash."""
        chance = random.Random(f"{self.seed}/cut short/{job_id}")  # noqa: S311 - chance, not secrecy
        if job_id not in self._shaken and chance.random() < 0.7:
            self._loop.call_later(chance.uniform(0.0, 0.2), self._storm.crash.set)
        self._shaken.add(job_id)

    async def _life(self, plan: Plan) -> None:
        """Some searches are asked to finish before they are through."""
        chance = random.Random(f"{self.seed}/finish/{plan.job_id}")  # noqa: S311 - chance, not secrecy
        finishes = isinstance(plan.spec, PlainSearch) and chance.random() < 0.25
        ends = [self._finish(plan, plan.made_at + chance.uniform(0.0, 15.0))] if finishes else []
        await asyncio.gather(super()._life(plan), *ends)

    async def _finish(self, plan: Plan, at: float) -> None:
        await asyncio.sleep(at)
        job = self._store.find(plan.job_id)
        if job is not None:
            await self._store.ask_finish(job.name, "bob@example.com", self._clock.now_us())

    def _behave(self, run_id: str, replica: str, incarnation: int) -> Behaviour:
        does = super()._behave(run_id, replica, incarnation)
        rng = random.Random(f"{self.seed}/report/{run_id}/{replica}")  # noqa: S311 - chance, not secrecy
        line = json.dumps({METRIC: str(rng.randint(0, 9)), "global_step": "1"})
        report = line if rng.random() < 0.8 else rng.choice(_REPORTS)
        run = does.run if does.run is None else min(does.run, 2.0)
        return replace(does, run=run, exit=replace(does.exit, report=report))
