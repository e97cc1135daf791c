"""The promise of a resource kind: what a request for it means, and what is to be done next for one job of it.

Keepers are in `kinds/`, listed in its BUILT_IN table. Everything here is pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from trainyard.core.dashboards import Dashboard
from trainyard.core.jobs import Decision, Job
from trainyard.core.runs import Reading, Resources, RunGroup
from trainyard.core.trials import OpenTrial, Trial


@dataclass(frozen=True, slots=True)
class Draft:
    """What a valid create request amounts to, before it has a name, a time and a place in the store."""

    display_name: str
    labels: dict[str, str]
    spec: bytes
    priority: int = 0
    notes: tuple[str, ...] = ()  # for the job's service log: fields that have not all of their effect here
    key: str = ""  # the name of the key that seals it at rest, as it was given
    outline: bytes = b""  # of a sealed one, what stays readable of its spec without that key
    run_as: tuple[str, ...] = ()  # e-mails of the service accounts that its programs are to be


@dataclass(frozen=True, slots=True)
class Demand:
    """What a job needs to be admitted, all of it at once or nothing (gang).

    `preemptible`: others who are not may take its place. `is_leaving`: its end is decided, it is about to give the
    room back that it holds.
    """

    replicas: tuple[Resources, ...]
    preemptible: bool = False
    is_leaving: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """The admission's answer for one job. `never`: the machine could not hold it even when empty.

    `far`: so many are ahead of it that it need not be told yet. `taker`: who needs the room of a job that has it; the
    job is to end and to wait anew.

    `steady_us` is the steady clock now: how long a job has waited must not depend on a calendar that may jump.
    """

    granted: bool
    why_not: str = ""
    never: bool = False
    steady_us: int | None = None
    taker: str = ""
    far: bool = False


class Kind(Protocol):
    """One resource kind. `message` is the API message of the stored (widest) version."""

    collection: str
    """The collection in resource names, such as customJobs; also the key of the kind."""

    message_name: str
    """The message in the contract, such as CustomJob."""

    def draft(self, message: Any) -> Draft:
        """Fill defaults and check every rule; raises InvalidArgument naming all faults at once."""

    def render(self, job: Job) -> Any:
        """The API message of a stored job: its spec plus name, state, times and error."""

    def demand(self, job: Job) -> Demand:
        """What the job's next attempt needs."""

    def tasks(self, job: Job) -> tuple[str, ...]:
        """The names of the job's replicas, in every attempt; empty where that is not sure from its spec."""

    def run_group(self, job: Job) -> RunGroup:
        """The present attempt, as an executor is to hold it."""

    def decide(self, job: Job, reading: Reading | None, room: Room | None, now_us: int) -> Decision:
        """What comes next for this job.

        `reading` is what was seen of `status.run_id` (None where it has none); `room` is the admission's answer (None
        unless the job is QUEUED, or another is to have its place). Same arguments, same Decision; nothing to do gives
        the job's own status back.
        """


class Moment(NamedTuple):
    """Now, on the calendar and on the steady clock, in microseconds."""

    now_us: int
    steady_us: int


@runtime_checkable
class Searches(Protocol):
    """The talent of a kind whose jobs run trials, each a job of its own, instead of programs.

    Such a job needs no room for itself, and has no run group; `conduct` decides in the place of `decide`.
    """

    def conduct(
        self, job: Job, trials: Sequence[OpenTrial], history: Callable[[], Sequence[Trial]], moment: Moment
    ) -> Decision:
        """What comes next for this search: `trials` are those that have not ended, as its last commit left them.

        `history` reads every trial, the past of a resumed search first. Same arguments, same Decision.
        """

    def resumes(self, message: Any, job_name_prefix: str) -> str:
        """The name of the job that this one goes on from; empty where it begins anew. Raises InvalidArgument.

        `job_name_prefix` is what the names of all jobs of this kind in the same project and location begin with.
        """

    def resumed(self, message: Any, before: Job) -> Any:
        """The message completed by what it takes over from `before`; raises InvalidArgument, FailedPrecondition."""

    def render_whole(self, job: Job, trials: Sequence[Trial]) -> Any:
        """As `render`, with the trials; open ones as seen now (core.trials.seen_now)."""

    def render_trial(self, job: Job, search: Trial, train: Trial | None) -> Any:
        """The detail of one search trial, and of its training where it was chosen for that."""

    def is_claimed(self, job: Job) -> bool:
        """Whether workers take the trials, and no programs are started for them."""

    def metric_of(self, job: Job) -> str:
        """The name of the metric that trials are judged by."""

    def best_first(self, job: Job, trials: Sequence[Trial]) -> list[Trial]:
        """Search trials that were measured, by the job's goal, equal ones in order of their numbers."""


def searching(kind: Kind) -> Searches | None:
    """The kind with its talent, where it has it."""
    return cast(Searches, kind) if _searches(type(kind)) else None


@cache
def _searches(cls: type) -> bool:
    """Looking through a protocol costs as much as half of all the rules; a class does not change its mind."""
    return issubclass(cls, Searches)


@runtime_checkable
class ShowsSpec(Protocol):
    """The talent of a kind whose answers can be made field by field, for readers of very many jobs.

    A property test holds it against `render`. Names are those of the message (`job_spec`).
    """

    fields_of_spec: frozenset[str]
    """Fields that `render` makes from the same field of the spec, and from nothing else."""

    fields_never_set: frozenset[str]
    """Fields that `render` never sets."""

    fields_while_running: frozenset[str]
    """Fields that `render` sets in running jobs only, from name, memo and the `fields_of_spec`."""


@runtime_checkable
class Remembers(Protocol):
    """The talent of a kind that remembers what it made of specs."""

    def forget(self) -> None:
        """All of it: some were sealed, and their key has gone."""


@runtime_checkable
class ShowsShells(Protocol):
    """The talent of a kind beside whose programs people may open shells."""

    def shells(self, job: Job) -> tuple[str, ...] | None:
        """The replicas in which that can be done now; None where the job was made without web access."""


@runtime_checkable
class ShowsDashboards(Protocol):
    """The talent of a kind whose jobs' chiefs may serve a page that people see through the service."""

    def dashboard(self, job: Job) -> Dashboard | None:
        """What the job asks for; None where it was made without dashboard access."""
