"""What a search says where a kind is asked for programs: it runs none itself, its trials do."""

from __future__ import annotations

from trainyard.core.jobs import Decision, Job
from trainyard.core.runs import Reading, RunGroup
from trainyard.kind import Demand, Room


class Programless:
    """That part of the promise kind.Kind."""

    def demand(self, job: Job) -> Demand:  # noqa: ARG002 - the promise's signature
        """Nothing for itself; each trial asks for its own room."""
        return Demand(())

    def tasks(self, job: Job) -> tuple[str, ...]:  # noqa: ARG002 - the promise's signature
        """They come with its trials."""
        return ()

    def run_group(self, job: Job) -> RunGroup:
        """There is none, and nobody asks for it."""
        raise AssertionError(f"{job.name} runs nothing itself")

    def decide(self, job: Job, reading: Reading | None, room: Room | None, now_us: int) -> Decision:
        """Never asked: the controller asks `conduct`."""
        raise AssertionError(f"{job.name} is decided with its trials, not by {reading}, {room} at {now_us}")
