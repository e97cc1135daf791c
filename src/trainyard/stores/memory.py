"""The store in memory: the whole promise but for the power cut, with snapshots so that a test can make one happen."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from trainyard.core.clock import Clock
from trainyard.core.errors import AlreadyExists
from trainyard.core.filters import Filter, matches
from trainyard.core.jobs import Change, Decision, Intent, Job, Note, Parentage, QueuePlace, ReplicaRecord, Step
from trainyard.core.names import JobName, OperationName, Scope
from trainyard.core.states import FINAL, JobState
from trainyard.core.trials import OpenTrial, Stage, Trial, TrialRun, TrialState, seen_now
from trainyard.store import (
    ClaimReport,
    Narrated,
    Page,
    Run,
    Standing,
    StoredOperation,
    first_change,
    id_taken,
    job_missing,
    not_final,
    operation_missing,
    run_missing,
)
from trainyard.stores.memory_files import File, claimable, claimed, past_of, reported, running, with_intent
from trainyard.stores.memory_view import MemoryView


async def open_store(data_dir: Path, clock: Clock) -> MemoryStore:  # noqa: ARG001 - the signature of every keeper
    """A fresh, empty store; nothing is read from or written to `data_dir`."""
    return MemoryStore()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was durable at one moment: what a server finds that starts after a crash then."""

    files: Mapping[int, File] = field(default_factory=dict)
    operations: Mapping[int, StoredOperation] = field(default_factory=dict)
    removals: tuple[int, ...] = ()
    largest_id: int = 0


class MemoryStore:
    """Keeps Desk and Ledger for one event loop; each method is one step, so no other can come in between."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        """Empty, or as it was at the snapshot."""
        start = snapshot or Snapshot()
        self._files = dict(start.files)
        self._ids = sorted(start.files)
        self._operations = dict(start.operations)
        self._removals = dict.fromkeys(start.removals)
        self._places: Mapping[int, QueuePlace] = {}
        self._listeners: list[Callable[[int, Job | None], None]] = []
        self.largest_id = start.largest_id

    def snapshot(self) -> Snapshot:
        """What a crash at this moment would leave: everything acknowledged, and no listener or queue place."""
        return Snapshot(dict(self._files), dict(self._operations), tuple(self._removals), self.largest_id)

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """The store as a server finds it that starts after the crash."""
        return cls(snapshot)

    def problems(self) -> tuple[str, ...]:
        """Memory is always there."""
        return ()

    async def close(self) -> None:
        """Nothing is held."""

    async def insert(self, job: Job, notes: Sequence[Note] = ()) -> None:
        """See Desk."""
        if job.id in self._files:
            raise id_taken(job.name)
        kept = replace(job, labels=dict(job.labels))
        self._files[job.id] = File(kept, (first_change(job),), tuple(notes))
        bisect.insort(self._ids, job.id)
        self.largest_id = max(self.largest_id, job.id)
        self._hint(job.id, kept)

    async def insert_heir(self, job: Job, notes: Sequence[Note], before: JobName) -> None:
        """See Desk."""
        searched = self._file(before).trials.values()
        await self.insert(job, notes)
        self._files[job.id] = replace(self._files[job.id], trials=past_of(searched))

    def get(self, name: JobName) -> Job:
        """See Desk."""
        return self._file(name).job

    async def page(
        self,
        scope: Scope,
        collection: str,
        filter: Filter | None,  # noqa: A002 - AIP-132's word
        size: int,
        after: int | None,
    ) -> Page:
        """See Desk."""
        below = len(self._ids) if after is None else bisect.bisect_left(self._ids, after)
        found: list[Job] = []
        for job_id in reversed(self._ids[:below]):
            job = self._files[job_id].job
            here = job.name.scope == scope and job.name.collection == collection
            if here and (filter is None or matches(filter, job)):
                found.append(job)
                if len(found) > size:
                    return Page(tuple(found[:size]), found[size - 1].id)
        return Page(tuple(found), None)

    async def recent(self, project: str, size: int, after: int | None = None) -> tuple[Job, ...]:
        """See Desk."""
        below = len(self._ids) if after is None else bisect.bisect_left(self._ids, after)
        jobs = (self._files[job_id].job for job_id in reversed(self._ids[:below]))
        found = (job for job in jobs if job.name.scope.project == project and job.parent is None)
        return tuple(itertools.islice(found, size))

    def view(self) -> MemoryView:
        """See Desk."""
        return MemoryView(list(self._files.values()))

    async def ask_cancel(self, name: JobName, by: str, now_us: int) -> Job:
        """See Desk."""
        return self._ask(name, Intent.CANCEL, by, now_us)

    async def ask_finish(self, name: JobName, by: str, now_us: int) -> Job:
        """See Desk."""
        return self._ask(name, Intent.FINISH, by, now_us)

    def _ask(self, name: JobName, intent: Intent, by: str, now_us: int) -> Job:
        file = self._file(name)
        job = with_intent(file.job, intent, by, now_us)
        if job is not file.job:
            self._files[name.id] = replace(file, job=job)
            self._hint(name.id)
        return job

    async def delete(self, name: JobName, operation: StoredOperation) -> None:
        """See Desk."""
        job = self._file(name).job
        if not job.is_final:
            raise not_final(job)
        if operation.name.id in self._operations:
            raise AlreadyExists(f"The operation {operation.name} exists already.")
        runs = [id_ for id_, file in self._files.items() if file.job.parent and file.job.parent.job_id == name.id]
        for gone in (name.id, *runs):
            del self._files[gone]
            self._ids.remove(gone)
            self._removals[gone] = None
        self._operations[operation.name.id] = operation
        self.largest_id = max(self.largest_id, operation.name.id)
        self._hint(name.id)

    def history(self, name: JobName) -> tuple[Change, ...]:
        """See Desk."""
        return self._file(name).changes

    def narration(self, name: JobName, after_seq: int = 0) -> tuple[Narrated, ...]:
        """See Desk."""
        told = enumerate(self._file(name).notes, 1)
        return tuple(Narrated(seq, note) for seq, note in told if seq > after_seq)

    def replica_records(self, name: JobName) -> tuple[ReplicaRecord, ...]:
        """See Desk."""
        return self._file(name).records

    def queue_place(self, name: JobName) -> QueuePlace | None:
        """See Desk."""
        return self._places.get(name.id)

    async def trials(self, name: JobName) -> tuple[Trial, ...]:
        """See Desk."""
        kept = self._file(name).trials
        now = {(one.trial.stage, one.trial.number): seen_now(one) for one in self.open_trials(name.id)}
        return tuple({**kept, **now}[key] for key in sorted(kept) if key[0] is not Stage.PAST)

    def run_of(self, name: JobName, stage: Stage, number: int) -> Job:
        """See Desk."""
        of = (trial.number for trial in self._file(name).trials.values() if trial.stage is stage and trial.of == number)
        run = self._run(name.id, stage, number if stage is Stage.SEARCH else next(of, 0))
        if run is None:
            raise run_missing(name, stage, number)
        return run.job

    async def claim(self, name: JobName, worker: str, now_us: int, lost_before_us: int) -> Trial | None:
        """See Desk."""
        file = self._file(name)
        is_over = file.job.is_final or file.job.intent is Intent.CANCEL
        trial = None if is_over else claimable(file, worker, lost_before_us)
        if trial is not None:
            self._files[name.id] = claimed(file, trial.number, worker, now_us)
        return trial

    async def report(self, name: JobName, number: int, told: ClaimReport, now_us: int) -> TrialState:
        """See Desk."""
        file = self._file(name)
        self._files[name.id], state = reported(file, number, told, now_us)
        if self._files[name.id] is not file:
            self._hint(name.id)
        return state

    def runs_after(self, job_id: int, run_id: int, most: int) -> list[Run]:
        """See Desk."""
        behind = (self._files[id_].job for id_ in self._ids[bisect.bisect_right(self._ids, run_id) :])
        runs = (
            Run(job.id, job.parent.stage, job.parent.number, job.status.state)
            for job in behind
            if job.parent is not None and job.parent.job_id == job_id
        )
        return list(itertools.islice(runs, most))

    def operation(self, name: OperationName) -> StoredOperation:
        """See Desk."""
        found = self._operations.get(name.id)
        if found is None or found.name.scope != name.scope or (name.job or found.name.job) != found.name.job:
            raise operation_missing(name)
        return found

    def operations(
        self, scope: Scope, job: JobName | None, size: int, after: int | None
    ) -> tuple[StoredOperation, ...]:
        """See Desk."""
        newest_first = sorted(self._operations.values(), key=lambda operation: -operation.name.id)
        found = [
            operation
            for operation in newest_first
            if operation.name.scope == scope
            and job in (None, operation.name.job)
            and (after is None or operation.name.id < after)
        ]
        return tuple(found[:size])

    async def delete_operation(self, name: OperationName) -> None:
        """See Desk."""
        del self._operations[self.operation(name).name.id]

    def live(self) -> tuple[Job, ...]:
        """See Ledger."""
        return tuple(job for id_ in self._ids if (job := self._files[id_].job).status.state not in FINAL)

    def runs(self) -> tuple[Job, ...]:
        """See Ledger."""
        return tuple(job for job in MemoryStore.live(self) if job.status.state is not JobState.QUEUED)

    def census(self, after: int, most: int) -> list[Standing]:
        """See Ledger."""
        live = (job for job in MemoryStore.live(self) if job.id > after)
        return [Standing(job.id, job.revision, job.status.state, job.priority) for job in itertools.islice(live, most)]

    def find(self, job_id: int) -> Job | None:
        """See Ledger."""
        file = self._files.get(job_id)
        return file.job if file else None

    def open_trials(self, job_id: int) -> tuple[OpenTrial, ...]:
        """See Ledger."""
        file = self._files.get(job_id)
        kept = file.trials if file else {}
        open_ones = (kept[key] for key in sorted(kept) if kept[key].ended_as is None)
        return tuple(OpenTrial(trial, self._running(job_id, trial)) for trial in open_ones)

    def trial_history(self, job_id: int) -> tuple[Trial, ...]:
        """See Ledger."""
        kept = self._files[job_id].trials
        return tuple(kept[key] for key in sorted(kept))

    async def commit(self, job: Job, decision: Decision, along: Sequence[Step] = ()) -> Job | None:
        """See Ledger."""
        steps = (Step(job, decision), *along)
        born = {birth.id for step in steps for birth in step.decision.births}
        for step in steps:
            file = self._files.get(step.job.id)
            if step.job.id not in born and (file is None or file.job.revision != step.job.revision):
                return None
        for step in steps:
            self._write(step.job, step.decision)
        return steps[0].after

    def _write(self, job: Job, decision: Decision) -> None:
        file = self._files[job.id]
        records = {(r.attempt, r.replica, r.incarnation): r for r in file.records}
        for record in decision.records:
            records.setdefault((record.attempt, record.replica, record.incarnation), record)
        written = replace(file.job, status=decision.status, revision=job.revision + 1)
        self._files[job.id] = File(
            written,
            (*file.changes, *decision.changes),
            (*file.notes, *decision.notes),
            tuple(records.values()),
            {**file.trials, **{(trial.stage, trial.number): trial for trial in decision.trials}},
        )
        for birth in decision.births:
            self._files[birth.id] = File(birth, (first_change(birth),), ())
            bisect.insort(self._ids, birth.id)
            self.largest_id = max(self.largest_id, birth.id)
        for run in decision.ends:
            self._end(run, job.name.collection, decision.status.update_time_us)

    def _end(self, run_id: int, by: str, now_us: int) -> None:
        file = self._files[run_id]
        if file.job.intent is not Intent.CANCEL:
            asked = replace(file.job, intent=Intent.CANCEL, intent_by=by, intent_time_us=now_us)
            self._files[run_id] = replace(file, job=replace(asked, revision=asked.revision + 1))

    def _running(self, job_id: int, trial: Trial) -> TrialRun | None:
        claim = self._files[job_id].claims.get(trial.number) if trial.stage is Stage.SEARCH else None
        return claim.run() if claim else running(self._run(job_id, trial.stage, trial.number))

    def _run(self, job_id: int, stage: Stage, number: int) -> File | None:
        wanted = Parentage(job_id, stage, number)
        return next((file for file in self._files.values() if file.job.parent == wanted), None)

    def removals(self) -> tuple[int, ...]:
        """See Ledger."""
        return tuple(self._removals)

    async def removed(self, job_id: int) -> None:
        """See Ledger."""
        self._removals.pop(job_id, None)

    def publish_queue(self, places: Mapping[int, QueuePlace]) -> None:
        """See Ledger."""
        self._places = places

    def on_write(self, listener: Callable[[int, Job | None], None]) -> None:
        """See Ledger."""
        self._listeners.append(listener)

    def _file(self, name: JobName) -> File:
        file = self._files.get(name.id)
        if file is None or file.job.name != name:
            raise job_missing(name)
        return file

    def _hint(self, job_id: int, fresh: Job | None = None) -> None:
        for listener in self._listeners:
            listener(job_id, fresh)
