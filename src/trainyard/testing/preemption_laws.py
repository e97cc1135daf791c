"""The laws of preemption: only SPOT jobs give way, to one who waits, no more of them than it needs, and soon."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from trainyard.core.clock import Clock
from trainyard.core.jobs import Decision, Job
from trainyard.core.outcomes import Why
from trainyard.core.states import JobState
from trainyard.kinds.running.memo import Memo, Verdict
from trainyard.testing.builders import PlainSpec
from trainyard.testing.fake_executor import FakeExecutor

_LONGEST_WAIT_US = 6_000_000  # the longest grace and a few looks
_NAMED = re.compile(r"was taken by \w+/(\d+) of project")


class PreemptionLaws:
    """Told of commits and of moments; says what is broken by `report`. `specs` are those of all jobs so far."""

    def __init__(
        self, world: FakeExecutor, clock: Clock, specs: Mapping[int, PlainSpec], report: Callable[[str], None]
    ) -> None:
        """Nothing has happened."""
        self._world = world
        self._clock = clock
        self._specs = specs
        self._report = report
        self._victims: dict[int, list[PlainSpec]] = {}  # by whom they gave way to, since anybody was let in
        self._entitled_us: dict[int, int] = {}

    def on_commit(self, before: Job, decision: Decision) -> None:
        """A decision about a job with programs is about to be written."""
        after, spec = decision.status, self._specs[before.id]
        if after.state is JobState.PENDING and before.status.state is JobState.QUEUED and not spec.spot:
            self._victims.clear()
        if after.state is JobState.QUEUED and before.status.state is not JobState.QUEUED and not spec.spot:
            self._report(f"job {before.id} is not SPOT and went back to the queue")
        verdict = Memo.parse(after.memo).verdict
        if verdict is not None and verdict.why == Why.PREEMPTED and Memo.parse(before.status.memo).verdict is None:
            self._check_victim(before.id, spec, verdict)

    def _check_victim(self, job_id: int, spec: PlainSpec, verdict: Verdict) -> None:
        named = _NAMED.search(verdict.problem.message if verdict.problem else "")
        needy = self._specs.get(int(named[1])) if named else None
        if not spec.spot or named is None or needy is None or needy.spot:
            self._report(f"job {job_id} (SPOT: {spec.spot}) gave way to {named and named[1]}")
            return
        victims = self._victims.setdefault(int(named[1]), [])
        victims.append(spec)
        for spared in victims:
            others = [one for one in victims if one is not spared]
            if _replicas(*others) >= _replicas(needy) and _gpus(*others) >= _gpus(needy):
                self._report(f"job {job_id} is one more than job {named[1]} needs")

    def forgive(self) -> None:
        """Something goes wrong: who waits begins anew."""
        self._entitled_us.clear()

    def check_world(self, jobs: Mapping[int, Job]) -> None:
        """Nobody waits for long for a place that SPOT jobs hold; to be asked only while all goes well."""
        held = {self._world.groups[run_id].job_id for run_id in self._world.unreleased()}
        held |= {job.id for job in jobs.values() if not job.is_final and job.status.state is not JobState.QUEUED}
        firm = [spec for job_id, spec in self._specs.items() if job_id in held and not spec.spot]
        total, now_us = self._world.total, self._clock.steady_us()
        for job_id, spec in self._specs.items():
            job = jobs.get(job_id)
            waits = job is not None and job.status.state is JobState.QUEUED and not spec.spot
            fits = _replicas(spec, *firm) <= total.replicas and _gpus(spec, *firm) <= (total.gpus or 0)
            if not waits or not fits:
                self._entitled_us.pop(job_id, None)
            elif now_us - self._entitled_us.setdefault(job_id, now_us) > _LONGEST_WAIT_US:
                self._report(f"job {job_id} waits for a place that only SPOT jobs hold")


def _replicas(*specs: PlainSpec) -> int:
    return sum(len(spec.replicas) for spec in specs)


def _gpus(*specs: PlainSpec) -> int:
    return sum(spec.gpus * len(spec.replicas) for spec in specs)
