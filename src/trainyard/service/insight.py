"""What the original's messages have no place for: why a job is as it is, its queue, its replicas' ends, its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainyard.core.clock import rfc3339
from trainyard.core.errors import InvalidArgument, NotFound
from trainyard.core.jobs import Change, Job, QueuePlace, ReplicaRecord
from trainyard.core.names import JobName
from trainyard.core.runs import Cause
from trainyard.core.states import JobState
from trainyard.core.trials import seen_now
from trainyard.service import trials
from trainyard.service.access import Access, Caller, require
from trainyard.service.call import unlocked
from trainyard.service.run_progress import progress_of
from trainyard.service.run_tracking import tracking_of
from trainyard.store import job_missing

if TYPE_CHECKING:
    from trainyard.kind import Kind
    from trainyard.store import Desk, LogBook, LogLine
    from trainyard.tracker import Tracked

LARGEST_LOG_PAGE = 10_000
STREAMS = ("stdout", "stderr")
_MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job is as it is: one sentence, and what it rests on."""

    job: Job
    sentence: str
    evidence: tuple[str, ...]
    queue: QueuePlace | None
    history: tuple[Change, ...]
    replicas: tuple[ReplicaRecord, ...]
    progress: dict[str, Any] | None = None  # while it runs and says how far it is: run_progress.py
    tracking: dict[str, Any] | None = None  # where it names an experiment: run_tracking.py


class Insight:
    """Reads a job's history, queue place, replica records and output for people."""

    tracked: Callable[[int], Tracked | None] = staticmethod(lambda _: None)
    """Where a job is written down elsewhere, by its id."""

    def __init__(self, desk: Desk, logbook: LogBook, access: Access, kinds: Mapping[str, Kind]) -> None:
        """Read from these; `access` says who may."""
        self._kinds = kinds
        self._desk = desk
        self._logbook = logbook
        self._access = access

    def recheck(self, caller: Caller) -> None:
        """Raises Unauthenticated where the caller's credential is no longer one."""
        self._access.recheck(caller)

    def explain(self, name: str, caller: Caller, stage: str = "") -> dict[str, Any]:
        """The explanation of one job, or of one trial, as JSON values; raises as `explanation`."""
        said = as_json(self.explanation(name, caller, stage))
        return said if trials.number_of(name) is None else {**said, "name": name}

    def explanation(self, name: str, caller: Caller, stage: str = "") -> Explanation:
        """The explanation of one job; raises NotFound, PermissionDenied, InvalidArgument.

        `stage` is `search` or `train` where a trial is named; empty means `search`.
        """
        job = self.job(name, caller, stage)
        queue = self._desk.queue_place(job.name) if job.status.state is JobState.QUEUED else None
        history = self._desk.history(job.name)
        replicas = self._desk.replica_records(job.name)
        sentence, evidence = _sentence(job, queue, history), _evidence(job, history, replicas)
        evidence += () if job.is_final else (*self._doing(job, history), *self._open_trials(job))
        kind = self._kinds.get(job.name.collection)
        tracking = tracking_of(job, kind.render(job), self.tracked) if kind is not None else None
        progress = progress_of(job, self._logbook)
        return Explanation(job, sentence, evidence, queue, history, replicas, progress, tracking)

    def _doing(self, job: Job, history: Sequence[Change]) -> tuple[str, ...]:
        """What a job that comes up is at, an image that is pulled perhaps: what its service log has said since."""
        if job.status.state is not JobState.PENDING or not history:
            return ()
        said = self._desk.narration(job.name)[-1:]
        return tuple(each.note.text for each in said if each.note.time_us > history[-1].time_us)

    def _open_trials(self, job: Job) -> tuple[str, ...]:
        """How the open trials of a search are, and what the first of those who wait is waiting for."""
        open_ones = self._desk.open_trials(job.id)
        if not open_ones:
            return ()
        states = [seen_now(one).state for one in open_ones]
        told = ", ".join(f"{states.count(state)} {state.name}" for state in sorted(set(states)))
        queued = (one.run.job_id for one in open_ones if one.run is not None and one.run.state is JobState.QUEUED)
        waiting = self._desk.find(next(queued, 0))
        place = self._desk.queue_place(waiting.name) if waiting else None
        return (f"Open trials: {told}.", *((f"The next of them waits for room. {place.why}",) if place else ()))

    async def logs(
        self, name: str, caller: Caller, cursor: str = "", size: int = 1000, task: str = ""
    ) -> dict[str, Any]:
        """One page of output as JSON values: `entries`, `cursor` to go on from, `more` whether there is more already.

        Raises InvalidArgument on a bad cursor or size, NotFound on a job or task that is none, PermissionDenied.
        """
        if size < 0:
            raise InvalidArgument(f"size must not be negative, but is {size}.")
        job = self.with_task(name, caller, task)
        batch = await self._logbook.read(job.id, cursor, min(size or 1000, LARGEST_LOG_PAGE), task)
        return {"entries": [entry(line) for line in batch.lines], "cursor": batch.cursor, "more": batch.more}

    def raw_files(
        self, name: str, caller: Caller, task: str, stream: str, attempt: int | None = None
    ) -> tuple[str, ...]:
        """Paths of the files with the exact bytes of a replica's stream, in order; the newest attempt by default."""
        if stream not in STREAMS:
            raise InvalidArgument(f"{stream!r} is not a stream; a replica has stdout and stderr.")
        return self._logbook.raw_files(self.with_task(name, caller, task).id, task, stream, attempt)

    def with_task(self, name: str, caller: Caller, task: str) -> Job:
        """The job, as `job`, once it is clear that it has this task; raises NotFound where it has not. Empty: any."""
        job = unlocked(self.job(name, caller))
        kind = self._kinds.get(job.name.collection)
        tasks = kind.tasks(job) if kind is not None else ()
        if task and tasks and task not in ("service", *tasks):
            more = len(tasks) - _MOST_LISTED
            listed = ", ".join(tasks[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
            raise NotFound(f"The job has no task {task!r}; it has service, {listed}.")
        return job

    def job(self, name: str, caller: Caller, stage: str = "") -> Job:
        """The job, or the job that runs the trial of that name, if the caller may see it."""
        number = trials.number_of(name)
        parsed = JobName.parse(name) if number is None else trials.trial_name(name)[0]
        require(self._access, caller, f"aiplatform.{parsed.collection}.get", str(parsed))
        job = self._desk.get(parsed)
        if job.parent is not None:
            raise job_missing(parsed)
        return job if number is None else self._desk.run_of(parsed, trials.stage_of(stage), number)


def _sentence(job: Job, queue: QueuePlace | None, history: Sequence[Change]) -> str:
    """What a person wants to hear first."""
    status = job.status
    if status.state is JobState.QUEUED:
        why = (queue.why if queue else "") or status.waits_for or "It waits for the controller to look at it."
        return f"Position {queue.position} of {queue.length} in the queue. {why}" if queue else why
    return history[-1].why if history else ""


def _evidence(job: Job, history: Sequence[Change], replicas: Sequence[ReplicaRecord]) -> tuple[str, ...]:
    """What the sentence rests on: who asked for the end, and how the replicas of the newest attempt ended."""
    found = []
    if job.intent_time_us is not None:
        who = job.intent_by or "somebody who did not have to say who they are"
        found.append(f"{job.intent.value.capitalize()} asked at {rfc3339(job.intent_time_us)} by {who}.")
    attempts = sum(1 for change in history if change.target is JobState.PENDING)
    if attempts > 1:
        found.append(f"{attempts} attempts were made; this is about the newest.")
    newest = max((record.attempt for record in replicas), default=0)
    found.extend(_end_of(record) for record in replicas if record.attempt == newest)
    return tuple(found)


def _end_of(record: ReplicaRecord) -> str:
    end = record.exit
    again = f" (restart {record.incarnation})" if record.incarnation else ""
    how = {
        Cause.EXITED: f"exited with code {end.code}",
        Cause.SIGNALED: f"was ended by signal {end.signal}",
        Cause.STOPPED: "was stopped by the service",
        Cause.OUT_OF_MEMORY: "ran out of memory",
        Cause.START_FAILED: "could not be started",
        Cause.LOST: "was lost",
    }[end.cause]
    detail = f": {end.message}" if end.message else ""
    return f"{record.replica}{again} {how}{detail}".rstrip(".") + "."


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON values, keys in camelCase, times in RFC 3339."""
    job, queue = explanation.job, explanation.queue
    return {
        "name": str(job.name),
        "displayName": job.display_name,
        "state": job.status.state.api_name,
        "sentence": explanation.sentence,
        "evidence": list(explanation.evidence),
        "progress": explanation.progress,
        "tracking": explanation.tracking,
        "queue": {"position": queue.position, "length": queue.length, "why": queue.why} if queue else None,
        "history": [change_json(change) for change in explanation.history],
        "replicas": [_replica_json(record) for record in explanation.replicas],
    }


def change_json(change: Change) -> dict[str, Any]:
    """One transition; `from` is null at the creation."""
    return {
        "time": rfc3339(change.time_us),
        "from": change.source.api_name if change.source is not None else None,
        "to": change.target.api_name,
        "attempt": change.attempt,
        "why": change.why,
    }


def _replica_json(record: ReplicaRecord) -> dict[str, Any]:
    end = record.exit
    return {
        "name": record.replica,
        "attempt": record.attempt,
        "incarnation": record.incarnation,
        "cause": end.cause.value,
        "exitCode": end.code,
        "signal": end.signal,
        "message": end.message,
        "peakMemoryBytes": end.peak_memory_bytes,
        "cpuSeconds": end.cpu_seconds,
        "startTime": _time(end.started_us),
        "endTime": _time(end.ended_us),
        "lastLines": end.last_lines,
    }


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else rfc3339(time_us)


def entry(line: LogLine) -> dict[str, Any]:
    """One line of output: its exact `text`, and `payload` as well where that is a JSON object."""
    content = {"text": line.text} if line.payload is None else {"text": line.text, "payload": line.payload}
    return {
        "time": rfc3339(line.time_us),
        "task": line.task,
        "attempt": line.attempt,
        "stream": line.stream,
        "severity": line.severity.value,
        **content,
    }
