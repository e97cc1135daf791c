"""A job is cut in two: spec and intent are the API's to write, status is the controller's (law 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

from trainyard.core.names import JobName
from trainyard.core.runs import Exit
from trainyard.core.states import FINAL, Event, JobState, advance
from trainyard.core.trials import Stage, Trial


class Intent(StrEnum):
    """What the owner wants of a job."""

    RUN = "run"
    FINISH = "finish"  # of a search: begin nothing more, and end once everything has ended that was begun
    CANCEL = "cancel"


class Severity(StrEnum):
    """Severity of a log line (google.logging.type.LogSeverity, the part that jobs use)."""

    DEFAULT = "DEFAULT"
    DEBUG = "DEBUG"
    INFO = "INFO"
    NOTICE = "NOTICE"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"
    ALERT = "ALERT"
    EMERGENCY = "EMERGENCY"


@dataclass(frozen=True, slots=True)
class Problem:
    """google.rpc.Status without details: a canonical code and the text that the original would give.

    `sentence` is the same in one line, for history and logs; empty where the message is one line already.
    """

    code: int
    message: str
    sentence: str = ""

    @property
    def in_one_line(self) -> str:
        """What to tell where everything else can be read beside it."""
        return self.sentence or self.message


NOTHING_NOTED: Final = "{}"
"""The memo of a job whose kind has nothing to remember: it waits for no moment, only for something to happen."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the controller knows of a job. Times are microseconds since the epoch.

    `memo` is the kind's own notebook (JSON text): retry counts, a verdict that waits for the last replica to go.
    Neither store nor controller look into it.
    """

    state: JobState
    update_time_us: int
    start_time_us: int | None = None
    end_time_us: int | None = None
    error: Problem | None = None
    attempt: int = 0  # number of run groups admitted so far; the present one's number
    run_id: str | None = None  # the run group that may hold processes; None: nothing of this job runs
    waits_for: str = ""  # while QUEUED: one sentence saying why
    memo: str = NOTHING_NOTED


@dataclass(frozen=True, slots=True)
class Parentage:
    """Whose trial a job runs: the job that searches, the stage, and the trial's number in it."""

    job_id: int
    stage: Stage
    number: int


@dataclass(frozen=True, slots=True)
class Seal:
    """That a job's content is sealed at rest, by the data key of the job `owner` (itself, or the search it is part of).

    `outline` is what is stored in the clear of its spec, shown where the key is not to be had; needed to store it.
    `locked` says why the key is not to be had, and the spec is the outline; empty where all is well. `damaged`: no key
    helps, since what is stored is not what was sealed; then `owner` is not known, and the spec is empty.
    """

    owner: int
    outline: bytes = b""
    locked: str = ""
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as the store holds it.

    `spec` is the caller's message in wire bytes of the stored (widest) API version, output-only fields removed;
    it is never edited. `revision` grows with every write of either half, and guards the controller's commits.
    """

    name: JobName
    create_time_us: int
    display_name: str
    labels: Mapping[str, str]
    spec: bytes
    status: Status
    priority: int = 0  # larger goes first
    intent: Intent = Intent.RUN
    intent_by: str = ""  # who asked for the present intent, for the sentence that explains it
    intent_time_us: int | None = None
    revision: int = 0
    parent: Parentage | None = None  # set for the jobs of trials: internal, made and ended by their parent
    seal: Seal | None = None  # set where it names a key: what it says and what is told of it is sealed at rest

    @property
    def id(self) -> int:
        """The key in the store: unique over all kinds, grows with creation."""
        return self.name.id

    @property
    def is_final(self) -> bool:
        """Whether the job has reached a state with no way out."""
        return self.status.state in FINAL


@dataclass(frozen=True, slots=True)
class Change:
    """One line of history: when, from, to, why. `source` None is the creation."""

    time_us: int
    source: JobState | None
    target: JobState
    attempt: int
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the job's service log (task `service`)."""

    time_us: int
    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """How one incarnation of a replica ended: kept for ever, for `describe`, the explain page and SQL."""

    attempt: int
    replica: str
    incarnation: int
    exit: Exit


@dataclass(frozen=True, slots=True)
class Launch:
    """Start every replica of the job's present run group that has not been started; may be repeated."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End every process of a run group: SIGTERM, then SIGKILL after the grace; may be repeated."""

    run_id: str
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Release:
    """The run group is over: give back what it held (ports, GPUs, room). Its logs stay."""

    run_id: str


Action = Launch | Stop | Release


@dataclass(frozen=True, slots=True)
class Spawn:
    """A job that is to run a trial; its name, id and time are the controller's to give."""

    collection: str
    stage: Stage
    number: int
    display_name: str
    spec: bytes
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What a kind answers: the new status, what to tell people, what to do after the commit, when to look again.

    A job that searches also says which of its trials are new or have changed, which jobs are to run them, and which of
    those jobs are to end (by id): all of it durable in the same commit, or none of it.
    """

    status: Status
    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    records: tuple[ReplicaRecord, ...] = ()
    actions: tuple[Action, ...] = ()
    look_again_us: int | None = None  # calendar time; None: only when something happens
    trials: tuple[Trial, ...] = ()
    spawns: tuple[Spawn, ...] = ()
    births: tuple[Job, ...] = ()  # the jobs of `spawns`, once the controller has named them
    ends: tuple[int, ...] = ()

    def moved(self, event: Event, now_us: int, why: str) -> Decision:
        """This decision with one more transition, its line of history and the stamps that the state carries."""
        before = self.status
        target = advance(before.state, event)
        stamp_us = max(now_us, before.update_time_us)  # a clock set back must not end a job before its start
        starts = target is JobState.RUNNING and before.start_time_us is None
        after = replace(
            before,
            state=target,
            update_time_us=stamp_us,
            start_time_us=stamp_us if starts else before.start_time_us,
            end_time_us=stamp_us if target in FINAL else before.end_time_us,
            waits_for="",
        )
        changes = (*self.changes, Change(now_us, before.state, target, after.attempt, why))
        return replace(self, status=after, changes=changes)

    def noted(self, text: str, now_us: int, severity: Severity = Severity.INFO) -> Decision:
        """This decision with one more line for the job's service log."""
        notes = (*self.notes, Note(now_us, severity, text))
        return replace(self, notes=notes)

    def doing(self, *actions: Action) -> Decision:
        """This decision with further actions after its commit."""
        return replace(self, actions=(*self.actions, *actions))


class Step(NamedTuple):
    """A job as it was read, and what was decided about it."""

    job: Job
    decision: Decision

    @property
    def after(self) -> Job:
        """The job once the decision is durable."""
        return replace(self.job, status=self.decision.status, revision=self.job.revision + 1)


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where a waiting job stands: 1 is next."""

    position: int
    length: int
    why: str
    since_us: int = field(default=0)
