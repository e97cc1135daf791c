"""The store on SQLite: the whole promise in one file of the data directory, for one server at a time.

Writes go through one thread (writer.py), point reads run where they are asked on a connection of the event loop's
thread, searches in a few threads with connections of their own. WAL lets readers see the last commit at any time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from threading import local

from trainyard.core.clock import Clock
from trainyard.core.filter_tree import Filter, name_like
from trainyard.core.jobs import Change, Decision, Intent, Job, Note, QueuePlace, ReplicaRecord, Step
from trainyard.core.names import JobName, OperationName, Scope
from trainyard.core.states import JobState
from trainyard.core.trials import OpenTrial, Stage, Trial, TrialState, seen_now
from trainyard.keyring import Seals
from trainyard.store import (
    ClaimReport,
    Narrated,
    Page,
    Run,
    Standing,
    StoredOperation,
    job_missing,
    operation_missing,
    run_missing,
)
from trainyard.stores.sqlite import claims, grams, rows, trials
from trainyard.stores.sqlite.conditions import Bounds
from trainyard.stores.sqlite.faults import DATABASE, told
from trainyard.stores.sqlite.files import (
    POINT_CACHE_KIB,
    SEARCH_CACHE_KIB,
    VIEW_CACHE_KIB,
    connect,
    hold,
    open_writer,
    opening,
)
from trainyard.stores.sqlite.known import KnownJobs
from trainyard.stores.sqlite.queries import SQL
from trainyard.stores.sqlite.search import Ground, search
from trainyard.stores.sqlite.view import SqliteView, Views
from trainyard.stores.sqlite.writer import GroupWriter
from trainyard.stores.sqlite.writes import Insertion, Writes

_SEARCH_THREADS = 2
_NO_BOUND = 2**63 - 1


async def open_store(data_dir: Path, clock: Clock) -> SqliteStore:
    """Take the data directory, upgrade its store where it is older, and open it on the running loop.

    Raises StoreError where the directory is in use, not writable, damaged, full, or written by a newer program.
    """
    path = data_dir / DATABASE
    lock = hold(data_dir)
    try:
        with opening(path):
            connection = open_writer(path, clock)
            try:
                return SqliteStore(path, connection, lock)
            except BaseException:
                connection.close()
                raise
    except BaseException:
        os.close(lock)
        raise


class SqliteStore:
    """Keeps Desk and Ledger. Made by `open_store`; its methods are called on the loop that it was opened on."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int) -> None:
        """Takes over the writing connection and the lock."""
        self._path = path
        self._lock = lock
        self._listeners: list[Callable[[int, Job | None], None]] = []
        self._queue: Mapping[int, QueuePlace] = {}
        self._places: dict[int, tuple[Scope, str]] = {}
        self._reader = connect(path, POINT_CACHE_KIB)
        self._per_thread = local()
        self._searchers: list[sqlite3.Connection] = []
        self._known = KnownJobs()
        self._views = Views(partial(self._connect, VIEW_CACHE_KIB), path)
        self._pool = ThreadPoolExecutor(_SEARCH_THREADS, "store-search")
        tallies = dict(connection.execute(SQL["tallies"]).fetchall())
        self._writes = Writes(Bounds(tallies["ahead_us"], tallies["behind_us"]), grams=grams.prepare(connection))
        self.largest_id: int = connection.execute(SQL["largest_id"]).fetchone()[0]
        self._writer = GroupWriter(connection, path, self._hint)
        self._writer.on_rollback = self._forget
        self._writes.room = self._writer.room
        self._views.sealing = self._writes.sealing
        self._writes.sealing.connections = lambda: (self._reader, connection, *self._searchers)

    def problems(self) -> tuple[str, ...]:
        """See Store."""
        return (self._writer.problem,) if self._writer.problem else ()

    async def close(self) -> None:
        """See Store."""
        await self._writer.close()
        await asyncio.to_thread(self._pool.shutdown)
        for connection in (self._reader, *self._searchers):
            connection.close()
        self._views.close()
        self._searchers.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def share_seals(self, seals: Seals) -> None:
        """Seal what is said in jobs that name a key. Before anything is asked; nothing is opened without."""
        self._writes.sealing.share(seals)

    # Desk

    async def insert(self, job: Job, notes: Sequence[Note] = ()) -> None:
        """See Desk."""
        await self._writer.do(Insertion(self._writes, job, notes), self._writes.insert)

    async def insert_heir(self, job: Job, notes: Sequence[Note], before: JobName) -> None:
        """See Desk."""
        heir = Insertion(self._writes, job, notes)
        await self._writer.do(self._writes.insert_heir(heir, before, self._job))

    def get(self, name: JobName) -> Job:
        """See Desk."""
        job = self.find(name.id)
        if job is None or job.name != name:
            raise job_missing(name)
        return job

    async def page(
        self,
        scope: Scope,
        collection: str,
        filter: Filter | None,  # noqa: A002 - AIP-132's word
        size: int,
        after: int | None,
    ) -> Page:
        """See Desk."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._page, (scope, collection), filter, size, after)

    async def recent(self, project: str, size: int, after: int | None = None) -> tuple[Job, ...]:
        """See Desk."""
        loop, below = asyncio.get_running_loop(), _NO_BOUND if after is None else after
        return await loop.run_in_executor(self._pool, self._recent, project, size, below)

    def view(self) -> SqliteView:
        """See Desk."""
        return self._views.open(self._writes.skew, grams=self._writes.grams)

    async def ask_cancel(self, name: JobName, by: str, now_us: int) -> Job:
        """See Desk."""
        return await self._writer.do(self._writes.ask(name, Intent.CANCEL, by, now_us, self._job))

    async def ask_finish(self, name: JobName, by: str, now_us: int) -> Job:
        """See Desk."""
        return await self._writer.do(self._writes.ask(name, Intent.FINISH, by, now_us, self._job))

    async def delete(self, name: JobName, operation: StoredOperation) -> None:
        """See Desk."""
        await self._writer.do(self._writes.delete(name, operation, self._job))

    def history(self, name: JobName) -> tuple[Change, ...]:
        """See Desk."""
        return tuple(map(rows.change_from, self._of_job(name, "history", name.id)))

    def narration(self, name: JobName, after_seq: int = 0) -> tuple[Narrated, ...]:
        """See Desk."""
        return tuple(map(rows.narrated_from, self._of_job(name, "narration", name.id, after_seq)))

    def replica_records(self, name: JobName) -> tuple[ReplicaRecord, ...]:
        """See Desk."""
        return tuple(map(rows.record_from, self._of_job(name, "records", name.id)))

    def queue_place(self, name: JobName) -> QueuePlace | None:
        """See Desk."""
        return self._queue.get(name.id)

    async def trials(self, name: JobName) -> tuple[Trial, ...]:
        """See Desk."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._trials, self.get(name).id)

    def run_of(self, name: JobName, stage: Stage, number: int) -> Job:
        """See Desk."""
        found = self._of_job(name, f"run_of_{stage}", name.id, number)
        job = self.find(found[0][0]) if found else None
        if job is None:
            raise run_missing(name, stage, number)
        return job

    async def claim(self, name: JobName, worker: str, now_us: int, lost_before_us: int) -> Trial | None:
        """See Desk."""
        return await self._writer.do(claims.claim(name, worker, now_us, lost_before_us, self._job))

    async def report(self, name: JobName, number: int, told: ClaimReport, now_us: int) -> TrialState:
        """See Desk."""
        return await self._writer.do(claims.report(name, number, told, now_us, self._job, self._writes.sealing.row))

    async def renew(self, owners: Sequence[int]) -> None:
        """See keyring.Renews."""
        renewed = await self._writer.do(self._writes.renew(owners))
        self._known.forget()
        for job_id in renewed:
            self._hint(job_id)

    def runs_after(self, job_id: int, run_id: int, most: int) -> list[Run]:
        """See Desk."""
        found = self._rows("runs_after", job_id, run_id, most)
        return [Run(id_, Stage(stage), number, JobState(state)) for id_, stage, number, state in found]

    def operation(self, name: OperationName) -> StoredOperation:
        """See Desk."""
        found = self._rows("get_operation", name.id)
        operation = rows.operation_from(found[0]) if found else None
        if operation is None or not _answers_to(operation.name, name):
            raise operation_missing(name)
        return operation

    def operations(
        self, scope: Scope, job: JobName | None, size: int, after: int | None
    ) -> tuple[StoredOperation, ...]:
        """See Desk."""
        below = _NO_BOUND if after is None else after
        if job is None:
            found = self._rows("operations_of_scope", scope.project, scope.location, below, size)
        elif job.scope != scope:
            found = []
        else:
            found = self._rows("operations_of_job", job.id, scope.project, scope.location, job.collection, below, size)
        return tuple(map(rows.operation_from, found))

    async def delete_operation(self, name: OperationName) -> None:
        """See Desk."""
        await self._writer.do(self._writes.delete_operation(self.operation(name).name))

    # Ledger

    def live(self) -> tuple[Job, ...]:
        """See Ledger."""
        return tuple(self._job(row, self._reader) for row in self._rows("live_jobs"))

    def runs(self) -> tuple[Job, ...]:
        """See Ledger."""
        return tuple(self._job(row, self._reader) for row in self._rows("live_runs"))

    def census(self, after: int, most: int) -> list[Standing]:
        """See Ledger."""
        found = self._rows("census", after, most)
        return [Standing(id_, revision, JobState(state), priority) for id_, revision, state, priority in found]

    def find(self, job_id: int) -> Job | None:
        """See Ledger."""
        found = self._rows("get_job", job_id)
        return self._job(found[0], self._reader) if found else None

    def open_trials(self, job_id: int) -> tuple[OpenTrial, ...]:
        """See Ledger."""
        return tuple(map(trials.open_trial_from, self._rows("open_trials", job_id)))

    def trial_history(self, job_id: int) -> tuple[Trial, ...]:
        """See Ledger."""
        return tuple(map(trials.trial_from, self._rows("trial_history", job_id)))

    async def commit(self, job: Job, decision: Decision, along: Sequence[Step] = ()) -> Job | None:
        """See Ledger."""
        return await self._writer.do(self._writes.commit((Step(job, decision), *along)))

    def removals(self) -> tuple[int, ...]:
        """See Ledger."""
        return tuple(row[0] for row in self._rows("removals"))

    async def removed(self, job_id: int) -> None:
        """See Ledger."""
        await self._writer.do(self._writes.removed(job_id))

    def publish_queue(self, places: Mapping[int, QueuePlace]) -> None:
        """See Ledger."""
        self._queue = places

    def on_write(self, listener: Callable[[int, Job | None], None]) -> None:
        """See Ledger."""
        self._listeners.append(listener)

    def _forget(self) -> None:
        """A transaction was undone, and with it perhaps a place that was remembered from it."""
        self._places.clear()
        self._writes.forget()

    # Reading

    def _hint(self, at: Job | int) -> None:
        job_id, fresh = (at, None) if isinstance(at, int) else (at.id, at)
        for listener in self._listeners:
            listener(job_id, fresh)

    def _rows(self, query: str, *parameters: object) -> list[rows.Row]:
        with told(self._path):
            return self._reader.execute(SQL[query], parameters).fetchall()

    def _of_job(self, name: JobName, query: str, *parameters: object) -> list[rows.Row]:
        """Rows that belong to a job, once it is clear that the job is there under this very name."""
        place = self._rows("place_of_job", name.id)
        if not place or self._place(place[0][0], self._reader) != (name.scope, name.collection):
            raise job_missing(name)
        return self._rows(query, *parameters)

    def _job(self, row: rows.Row, connection: sqlite3.Connection) -> Job:
        return rows.job_from(row, *self._place(row[0], connection))

    def _place(self, place: int, connection: sqlite3.Connection) -> tuple[Scope, str]:
        known = self._places.get(place)
        if known is None:
            project, location, collection = connection.execute(SQL["place_of"], (place,)).fetchone()
            known = self._places[place] = (Scope(project, location), collection)
        return known

    def _page(self, place_key: tuple[Scope, str], tree: Filter | None, size: int, after: int | None) -> Page:
        """On a search thread: ids and jobs from one and the same moment."""
        scope, collection = place_key
        with told(self._path):
            connection = self._searcher()
            connection.execute("BEGIN")
            try:
                place = connection.execute(SQL["find_place"], (scope.project, scope.location, collection)).fetchone()
                if place is None:
                    return Page((), None)
                ground = Ground(place[0], self._writes.skew, self._writes.grams)
                found = search(connection, ground, tree, size, after)
                return Page(self._known.at(connection, found.keys, scope, collection), found.next_after)
            finally:
                connection.execute("ROLLBACK")

    def _recent(self, project: str, size: int, below: int) -> tuple[Job, ...]:
        """On a search thread: the newest of each place of the project, and of these the newest."""
        with told(self._path):
            connection = self._searcher()
            ids: list[int] = []
            for (place,) in connection.execute(SQL["places_of_project"], (project,)).fetchall():
                ids += (row[0] for row in connection.execute(SQL["newest_of_place"], (place, below, size)))
            newest = json.dumps(sorted(ids, reverse=True)[:size])
            found = connection.execute(SQL["get_jobs"], (newest,)).fetchall()
            return tuple(self._job(row, connection) for row in found)

    def _trials(self, job_id: int) -> tuple[Trial, ...]:
        """On a search thread: all trials, open ones as their jobs are at the same moment."""
        with told(self._path):
            connection = self._searcher()
            connection.execute("BEGIN")
            try:
                known = map(trials.trial_from, connection.execute(SQL["trial_history"], (job_id,)))
                own = (trial for trial in known if trial.stage != Stage.PAST)
                by_key = {(trial.stage, trial.number): trial for trial in own}
                for row in connection.execute(SQL["open_trials"], (job_id,)):
                    now = seen_now(trials.open_trial_from(row))
                    by_key[now.stage, now.number] = now
                return tuple(by_key.values())
            finally:
                connection.execute("ROLLBACK")

    def _searcher(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._per_thread, "connection", None)
        if connection is None:
            connection = self._per_thread.connection = self._connect(SEARCH_CACHE_KIB)
            self._searchers.append(connection)
        return connection

    def _connect(self, cache_kib: int) -> sqlite3.Connection:
        connection = connect(self._path, cache_kib)
        connection.row_factory = self._writes.sealing.row_factory
        connection.create_function("name_like", 2, _name_like, deterministic=True)
        return connection


def _answers_to(stored: OperationName, asked: OperationName) -> bool:
    return stored.scope == asked.scope and asked.job in (None, stored.job)


def _name_like(name: str, pieces: str) -> bool:
    return name_like(name, _pieces(pieces))


@lru_cache(maxsize=16)
def _pieces(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
