"""The promises of a store: a Desk for the API, a Ledger for the controller, each writing its own half (law 2).

Keepers are in `stores/`; each passes tests/seams/store_suite.py. Every write is durable before it returns (law 1).
A guarded write that finds another revision changes nothing and says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from trainyard.core.errors import AlreadyExists, FailedPrecondition, NotFound
from trainyard.core.filters import Filter
from trainyard.core.jobs import Change, Decision, Job, Note, QueuePlace, ReplicaRecord, Severity, Step
from trainyard.core.names import JobName, OperationName, Scope
from trainyard.core.states import JobState
from trainyard.core.trials import OpenTrial, Stage, Trial, TrialState


class StoreError(Exception):
    """The store cannot be opened; the message says what is wrong and how to go on, and somebody has to act on it."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, newest first. `next_after` is the id to continue below, None on the last page."""

    jobs: tuple[Job, ...]
    next_after: int | None


class Standing(NamedTuple):
    """One live job in a few words."""

    id: int
    revision: int
    state: JobState
    priority: int


class Run(NamedTuple):
    """A job that runs, or ran, a trial."""

    id: int
    stage: Stage
    number: int
    state: JobState


@dataclass(frozen=True, slots=True)
class ClaimReport:
    """What a worker says of a trial that it has taken: a line as in a metric file, or why there is none, or neither."""

    worker: str
    line: str | None = None
    infeasible: str | None = None


@dataclass(frozen=True, slots=True)
class StoredOperation:
    """A long-running operation; ours are done when they are made. `api_version` is the one it was asked in."""

    name: OperationName
    api_version: str
    kind: str  # which metadata message: `DeleteOperationMetadata`
    create_time_us: int
    update_time_us: int
    done: bool = True


@dataclass(frozen=True, slots=True)
class Narrated:
    """A note as stored: `seq` counts from 1 within the job and never has a gap."""

    seq: int
    note: Note


def job_missing(name: JobName) -> NotFound:
    """The error for a job that is not there, in the service's own wording."""
    return NotFound(f"The {_resource(name)} does not exist.")


def id_taken(name: JobName) -> AlreadyExists:
    """The error for an id that another job has."""
    return AlreadyExists(f"The {_resource(name)} {name} exists already.")


def not_final(job: Job) -> FailedPrecondition:
    """The error for deleting a job that has not ended."""
    return FailedPrecondition(
        f"The {_resource(job.name)} {job.name} is {job.status.state.api_name} and can be deleted only once it has "
        "ended; cancel it first, then delete it when its state is final."
    )


def operation_missing(name: OperationName) -> NotFound:
    """The error for an operation that is not there."""
    return NotFound(f"The operation {name} does not exist.")


def trial_missing(name: JobName, number: int) -> NotFound:
    """The error for a search trial that there is not."""
    return NotFound(f"The {_resource(name)} {name} has no trial {number}.")


def not_claimed(name: JobName, number: int, worker: str) -> FailedPrecondition:
    """The error for a report on a trial that somebody else has, or nobody."""
    return FailedPrecondition(
        f"The worker {worker!r} does not hold trial {number} of {name}: it was not heard of in time, and somebody else "
        "may have it. Claim another one."
    )


def run_missing(name: JobName, stage: Stage, number: int) -> NotFound:
    """The error for a trial that no job runs or ran."""
    return NotFound(f"The {_resource(name)} {name} has no {stage} trial {number} that runs or ran anything.")


def first_change(job: Job) -> Change:
    """The first line of every job's history."""
    return Change(job.create_time_us, None, job.status.state, job.status.attempt, "The job was accepted.")


def _resource(name: JobName) -> str:
    return name.collection[:1].upper() + name.collection[1:].removesuffix("s")


@dataclass(frozen=True, slots=True)
class Among:
    """Which jobs to look at: those of a scope and kind that match the filter, or the one of them with this id."""

    scope: Scope
    collection: str
    filter: Filter | None = None
    id: int | None = None


COLUMNS: Mapping[str, Callable[[Job], object]] = {
    "id": lambda job: job.id,
    "state": lambda job: int(job.status.state),
    "display_name": lambda job: job.display_name,
    "create_time_us": lambda job: job.create_time_us,
    "update_time_us": lambda job: job.status.update_time_us,
    "start_time_us": lambda job: job.status.start_time_us,
    "end_time_us": lambda job: job.status.end_time_us,
    "memo": lambda job: job.status.memo,
    "error_code": lambda job: None if job.status.error is None else job.status.error.code,
    "error_message": lambda job: None if job.status.error is None else job.status.error.message,
    "labels": lambda job: json.dumps(dict(job.labels), ensure_ascii=False) if job.labels else "{}",
    "spec": lambda job: job.spec,
}
"""What a View can be asked for by name. `labels` is the text of a JSON object, `spec` bytes, times are microseconds."""


class View(Protocol):
    """All jobs as they were at one moment, for readers that look at many. Any thread may use it, one at a time.

    What it gives comes newest first, in bounded parts, read only as far as it is asked for. Close it soon: the store
    keeps all that has changed since.
    """

    def scopes(self, collection: str) -> tuple[Scope, ...]:
        """Where jobs of this kind are or were, in order."""

    def find(self, job_id: int) -> Job | None:
        """The job by id; None where there is none."""

    def jobs(self, among: Among) -> Iterator[Sequence[Job]]:
        """Whole jobs."""

    def columns(
        self, among: Among, names: Sequence[str], *, in_order: bool = True
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The named COLUMNS of each job, in that order; at least one name.

        Without `in_order` jobs come in the order that is quickest.
        """

    def tally(self, among: Among, names: Sequence[str]) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Each combination of the named COLUMNS once, in no order, and how many jobs have it as the last value."""

    def changes(self, among: Among) -> Iterator[Sequence[tuple[int, Change]]]:
        """The history of each job, with the job's id, oldest first within the job."""

    def replica_records(self, among: Among) -> Iterator[Sequence[tuple[int, ReplicaRecord]]]:
        """How the incarnations of each job's replicas ended, with the job's id."""

    def close(self) -> None:
        """Let go of the moment; may be repeated. Iterators of this view are of no use afterwards."""


class Desk(Protocol):
    """What the API may do."""

    async def insert(self, job: Job, notes: Sequence[Note] = ()) -> None:
        """Make a new job durable with its first line of history. Raises AlreadyExists on a taken id."""

    async def insert_heir(self, job: Job, notes: Sequence[Note], before: JobName) -> None:
        """As `insert`, for a search that goes on from the job `before`: its ended search trials become a past of this.

        Raises NotFound where that job is gone meanwhile.
        """

    def get(self, name: JobName) -> Job:
        """The job; raises NotFound. Answers in microseconds, on the caller's thread."""

    async def page(
        self,
        scope: Scope,
        collection: str,
        filter: Filter | None,  # noqa: A002 - AIP-132's word
        size: int,
        after: int | None,
    ) -> Page:
        """Up to `size` jobs with an id below `after`, newest first, that match the filter.

        A page may be short, even empty, and still name a `next_after` (AIP-158): a search that would take long is
        answered in parts. Only `next_after` None ends the list.
        """

    def find(self, job_id: int) -> Job | None:
        """The job by id; None where there is none."""

    async def recent(self, project: str, size: int, after: int | None = None) -> tuple[Job, ...]:
        """Up to `size` jobs of a project (its number), of every location and kind, newest first, below `after`.

        Not those that run trials: nobody names them.
        """

    def view(self) -> View:
        """All jobs as they are now; may be called in any thread."""

    async def ask_cancel(self, name: JobName, by: str, now_us: int) -> Job:
        """Write the intent to cancel (no change on a final or already cancelled job); raises NotFound."""

    async def ask_finish(self, name: JobName, by: str, now_us: int) -> Job:
        """Write the intent to finish (no change on a final, cancelled or finishing job); raises NotFound."""

    async def delete(self, name: JobName, operation: StoredOperation) -> None:
        """Remove a final job and keep the operation, in one transaction, leaving a removal for the controller.

        With it go its trials and the jobs that ran them, each leaving a removal of its own.

        Raises NotFound, or FailedPrecondition where the job is not final.
        """

    def history(self, name: JobName) -> tuple[Change, ...]:
        """Every transition, oldest first."""

    def narration(self, name: JobName, after_seq: int = 0) -> tuple[Narrated, ...]:
        """The service log after `after_seq`, oldest first."""

    def replica_records(self, name: JobName) -> tuple[ReplicaRecord, ...]:
        """How every incarnation that ended did end, in the order of recording."""

    def queue_place(self, name: JobName) -> QueuePlace | None:
        """Where the job waits, as last published; None when it does not wait."""

    async def trials(self, name: JobName) -> tuple[Trial, ...]:
        """The trials of a search by stage and number, without its past; open ones as seen now. Raises NotFound."""

    def run_of(self, name: JobName, stage: Stage, number: int) -> Job:
        """The job that runs, or ran, a search trial of this one, or (TRAIN) the training of it. Raises NotFound."""

    def open_trials(self, job_id: int) -> tuple[OpenTrial, ...]:
        """As Ledger.open_trials."""

    async def claim(self, name: JobName, worker: str, now_us: int, lost_before_us: int) -> Trial | None:
        """Give the worker a search trial that no job runs: its own that it has not reported on, else a free one.

        Free is what is nobody's (unless the job is to finish), or somebody's who was not heard of since
        `lost_before_us`. None: there is none, or the job is to end. Raises NotFound.
        """

    async def report(self, name: JobName, number: int, told: ClaimReport, now_us: int) -> TrialState:
        """Take what a worker says of its trial; a second report changes nothing. What the trial is now.

        STOPPING where its job is to end. Raises NotFound, or FailedPrecondition where the worker does not hold it.
        """

    def runs_after(self, job_id: int, run_id: int, most: int) -> Sequence[Run]:
        """Up to `most` jobs of this one's trials, in the order in which they were made, behind the job `run_id`."""

    def operation(self, name: OperationName) -> StoredOperation:
        """Raises NotFound."""

    def operations(
        self, scope: Scope, job: JobName | None, size: int, after: int | None
    ) -> tuple[StoredOperation, ...]:
        """Operations of a job, or of the whole scope, newest first."""

    async def delete_operation(self, name: OperationName) -> None:
        """Forget it; raises NotFound."""


class Ledger(Protocol):
    """What the controller may do."""

    def live(self) -> tuple[Job, ...]:
        """Every job that is not final, oldest first; takes its time where many wait."""

    def runs(self) -> tuple[Job, ...]:
        """Every live job that is not QUEUED, oldest first: what may hold processes. Quick, however many wait."""

    def census(self, after: int, most: int) -> Sequence[Standing]:
        """Up to `most` live jobs with an id above `after`, oldest first, in a few words each."""

    def find(self, job_id: int) -> Job | None:
        """The job by id; None where it is gone."""

    def open_trials(self, job_id: int) -> tuple[OpenTrial, ...]:
        """The trials of a search that have not ended as far as it knows, by stage and number."""

    def trial_history(self, job_id: int) -> tuple[Trial, ...]:
        """Every trial of a search as it has written them, each stage in order of number; its past is a stage."""

    async def commit(self, job: Job, decision: Decision, along: Sequence[Step] = ()) -> Job | None:
        """Write status, history, notes and replica records in one transaction, guarded by `job.revision`.

        Also the trials that are new or have changed, the jobs of `births`, and the intent of those of `ends` to end.
        `along`: further steps, each guarded likewise and written in this order, of other jobs or of births.
        Returns the job as it is now, or None (and nothing at all is written) where somebody moved first.
        """

    def removals(self) -> tuple[int, ...]:
        """Ids of deleted jobs whose files are still to be removed."""

    async def removed(self, job_id: int) -> None:
        """The files of a deleted job are gone."""

    def publish_queue(self, places: Mapping[int, QueuePlace]) -> None:
        """Tell the Desk who waits where; replaces what was published before. Not durable: it is made anew.

        The mapping is kept, not copied, and may change: the Desk looks up one job at a time, when somebody asks.
        """

    def on_write(self, listener: Callable[[int, Job | None], None]) -> None:
        """Call `listener(job_id, fresh)` on the event loop after each write of the Desk: a hint (law 3).

        `fresh` is the job as it was made where that was the write, else None.
        """


class Store(Desk, Ledger, Protocol):
    """Both halves, and the life of the whole."""

    largest_id: int
    """The largest id in use when it was opened; fresh ids start above it."""

    def problems(self) -> tuple[str, ...]:
        """Why nothing can be written just now, in sentences; empty when it can."""

    async def close(self) -> None:
        """Finish what was acknowledged and let go."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output. `text` has no line end; a line that is one JSON object has it in `payload` too."""

    time_us: int
    task: str  # workerpool0-0, or `service`
    attempt: int
    stream: str  # stdout, stderr, or `service`
    severity: Severity
    text: str
    payload: Mapping[str, object] | None = None
    mark: str = ""  # which line of the job's it is: the same for ever, larger for a later one of a stream


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Lines in order of time, and the cursor to go on from: opaque, never expires, also valid after a restart."""

    lines: tuple[LogLine, ...]
    cursor: str
    more: bool  # whether further lines were there already when this batch was cut


class LogBook(Protocol):
    """The output of every replica, readable while it runs and for ever after.

    A search has its trials' output as its own, in tasks such as `search-3/workerpool0-0`; `search-3` names them all.
    """

    async def read(self, job_id: int, cursor: str = "", size: int = 1000, task: str = "") -> LogBatch:
        """Up to `size` lines after the cursor, of one task or (empty) all. Raises InvalidArgument on a bad cursor.

        A last line without its line end is given only once its replica has ended.
        """

    def raw_files(self, job_id: int, task: str, stream: str, attempt: int | None = None) -> tuple[str, ...]:
        """Names of a stream's files, in order of incarnation; the newest attempt by default. Of `usage`: samples."""

    def tail(self, path: str, most: int) -> bytes:
        """The last bytes of a file that `raw_files` names. Raises as `read`, and where its key is not to be had."""
