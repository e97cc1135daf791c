"""The law of cancels: who is asked to end has ended soon, a search and its trials as well as a job of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.jobs import Intent, Job

BOUND_SECONDS = 4.0
"""Beside the grace: the settle time, in which absence proves nothing, and a few looks. Nothing waits for a scan."""


class CancelLaws:
    """Told of moments; says what is broken by `report`. `grace_of` is the seconds that a job's programs are given."""

    def __init__(self, clock: Clock, grace_of: Callable[[Job], float], report: Callable[[str], None]) -> None:
        """Nothing was cancelled."""
        self._clock = clock
        self._grace_of = grace_of
        self._report = report
        self._since_us: dict[int, int] = {}  # by job: since when it is to end and nothing goes wrong (steady)

    def forgive(self) -> None:
        """Something goes wrong: whoever is to end gets its time anew."""
        self._since_us.clear()

    def check_world(self, jobs: Mapping[int, Job]) -> None:
        """Nobody goes on for long after its cancel; to be asked only while all goes well."""
        now_us = self._clock.steady_us()
        for job in jobs.values():
            if job.intent is not Intent.CANCEL or job.is_final:
                self._since_us.pop(job.id, None)
                continue
            waited = (now_us - self._since_us.setdefault(job.id, now_us)) / MICROSECONDS
            if waited > self._grace_of(job) + BOUND_SECONDS:
                self._report(f"job {job.id} is {job.status.state.name} {waited:g} s after its cancel")
