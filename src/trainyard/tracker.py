"""The promise of a tracker: it writes down elsewhere what a job with an `experiment` was asked, measured and became.

Keepers are in `trackers/`, listed in its BUILT_IN table. Whatever it is asked may be asked again, after any crash. It
fails no job: where it can't do its work now it says so, and does it later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from trainyard.core.event_files import Scalar
from trainyard.core.jobs import Job
from trainyard.core.runs import RunGroup

Find = Callable[[int], Job | None]
"""The job by id; None where it is gone."""

Scalars = Callable[[Job], Iterator[tuple[str, Scalar]]]
"""What a job wrote to its event files: the run (a directory, or empty) and the point. Blocks; raises ApiError."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """Where a job is written down: the address, the names there, the run's id (empty: none could be made yet)."""

    where: str
    experiment: str
    run: str
    run_id: str


class Tracker(Protocol):
    """Writes down jobs whose spec names an experiment or an experiment run."""

    async def begin(self, job: Job, group: RunGroup) -> Mapping[str, str]:
        """Make or resume the run of a job that is about to start; the variables by which its programs find it.

        Raises Unavailable with a sentence where that takes too long or fails; the job then starts without.
        """

    def told(self, job_id: int) -> Tracked | None:
        """Where the job is written down; None where it is not."""

    async def run(self, find: Find, scalars: Scalars) -> None:
        """See the runs of jobs that have ended to their end, for ever; cancel it to end it."""
