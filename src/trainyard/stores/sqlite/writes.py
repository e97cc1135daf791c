"""Each write of the promise as one piece of work for the group writer; whatever can be refused is refused first."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain

from trainyard.core.errors import AlreadyExists
from trainyard.core.ids import lowest_id_at
from trainyard.core.jobs import Decision, Intent, Job, Note, Step
from trainyard.core.names import JobName, OperationName
from trainyard.store import StoredOperation, first_change, id_taken, job_missing, not_final, operation_missing
from trainyard.stores.sqlite import rows, trials
from trainyard.stores.sqlite.conditions import Bounds
from trainyard.stores.sqlite.grams import indexed
from trainyard.stores.sqlite.queries import SQL
from trainyard.stores.sqlite.sealed import Sealing
from trainyard.stores.sqlite.writer import Work

ReadJob = Callable[[rows.Row, sqlite3.Connection], Job]

_SIZES = (64, 16, 4, 1)  # of one statement's rows: few, so that all of them stay prepared
_IDS_PER_MICROSECOND = lowest_id_at(1)


@dataclass(frozen=True, slots=True)
class Insertion:
    """A new job with its first notes."""

    writes: Writes
    job: Job
    notes: Sequence[Note]

    @property
    def numbered(self) -> Iterator[tuple[int, Note]]:
        """The notes from 1 on."""
        return enumerate(self.notes, 1)

    def __call__(self, connection: sqlite3.Connection) -> tuple[None, Job]:
        """The work of it alone. Raises AlreadyExists."""
        if connection.execute(SQL["place_of_job"], (self.job.id,)).fetchone():
            raise id_taken(self.job.name)
        return self.writes.insert(connection, [self])[0]


class Writes:
    """Makes the work, and remembers on the writer's thread what saves statements: places, and the skew of ids."""

    def __init__(self, skew: Bounds, *, grams: bool) -> None:
        """`skew` as the tallies have it; `grams`: whether the index of name pieces is kept.

        `room`, to be set, raises Unavailable where nothing new is to be taken.
        """
        self.room: Callable[[], None] = lambda: None
        self.grams = grams
        self.skew = skew
        self.sealing = Sealing()
        self._places: dict[tuple[str, str, str], int] = {}
        self._untold = False

    def forget(self) -> None:
        """A transaction was undone: what was remembered from it may not be there."""
        self._places.clear()
        self._untold = True

    def insert(self, connection: sqlite3.Connection, new: Sequence[Insertion]) -> list[tuple[None, Job]]:
        """Many jobs at once. Raises Unavailable; any exception of SQLite may mean a taken id."""
        self.room()
        placed = [(one.job, self._place(connection, one.job)) for one in new]
        for job, _ in placed:
            self._widen(connection, job)
        add_rows(connection, "add_job", [rows.job_row(job, place) for job, place in placed])
        stored = self.sealing.row
        add_rows(connection, "add_detail", [stored("add_detail", job, rows.detail_row(job)) for job, _ in placed])
        add_rows(connection, "add_body", [stored("add_body", job, rows.body_row(job)) for job, _ in placed])
        labels = [(place, key, value, job.id) for job, place in placed for key, value in job.labels.items()]
        add_rows(connection, "add_label", labels)
        if self.grams:
            named = [(job.id, indexed(job.display_name)) for job, _ in placed if job.parent is None]
            add_rows(connection, "add_gram", named)
        add_rows(connection, "add_first_change", [rows.change_row(job.id, first_change(job)) for job, _ in placed])
        notes = [
            stored("add_numbered_note", one.job, (one.job.id, seq, *rows.note_row(one.job.id, note)[1:]))
            for one in new
            for seq, note in one.numbered
        ]
        add_rows(connection, "add_numbered_note", notes)
        return [(None, job) for job, _ in placed]

    def insert_heir(self, heir: Insertion, before: JobName, read: ReadJob) -> Work[None]:
        """Raises AlreadyExists, or NotFound where the job before is gone."""

        def work(connection: sqlite3.Connection) -> tuple[None, Job]:
            present(connection, before, read)
            answer = heir(connection)
            connection.execute(SQL["copy_past"], (heir.job.id, before.id))
            return answer

        return work

    def ask(self, name: JobName, intent: Intent, by: str, now_us: int, read: ReadJob) -> Work[Job]:
        """Write CANCEL, or FINISH where it is not to be cancelled anyway. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> tuple[Job, int | None]:
            job = present(connection, name, read)
            if job.is_final or job.intent in (Intent.CANCEL, intent):
                return job, None
            connection.execute(SQL["set_intent"], (intent.value, by, now_us, job.id))
            connection.execute(SQL["touch_job"], (job.id,))
            asked = replace(job, intent=intent, intent_by=by, intent_time_us=now_us, revision=job.revision + 1)
            return asked, job.id

        return work

    def renew(self, owners: Sequence[int]) -> Work[list[int]]:
        """The ids of all jobs that these seal; each has another revision now."""

        def work(connection: sqlite3.Connection) -> tuple[list[int], None]:
            return [row[0] for row in connection.execute(SQL["touch_sealed"], (json.dumps(owners),))], None

        return work

    def delete(self, name: JobName, operation: StoredOperation, read: ReadJob) -> Work[None]:
        """Raises NotFound, FailedPrecondition, or AlreadyExists on a taken operation id."""

        def work(connection: sqlite3.Connection) -> tuple[None, int]:
            job = present(connection, name, read)
            if not job.is_final:
                raise not_final(job)
            if connection.execute(SQL["get_operation"], (operation.name.id,)).fetchone():
                raise AlreadyExists(f"The operation {operation.name} exists already.")
            connection.execute(SQL["add_operation"], rows.operation_row(operation))
            connection.execute(SQL["add_removal"], (job.id,))
            connection.execute(SQL["raise_tally"], (job.id, "largest_id"))
            if self.grams:
                connection.execute(SQL["delete_gram"], (job.id, indexed(job.display_name)))
            for part in ("job", "detail", "body", "labels", "history", "notes", "records"):
                connection.execute(SQL[f"delete_{part}"], (job.id,))
            trials.delete(connection, job.id)
            return None, job.id

        return work

    def delete_operation(self, name: OperationName) -> Work[None]:
        """Raises NotFound."""

        def work(connection: sqlite3.Connection) -> tuple[None, None]:
            if not connection.execute(SQL["delete_operation"], (name.id,)).rowcount:
                raise operation_missing(name)
            connection.execute(SQL["raise_tally"], (name.id, "largest_id"))
            return None, None

        return work

    def commit(self, steps: Sequence[Step]) -> Work[Job | None]:
        """The first job; None where any has moved on. Raises Unavailable where there is no room for births."""

        def work(connection: sqlite3.Connection) -> tuple[Job | None, None]:
            born = {birth.id for step in steps for birth in step.decision.births}
            for job in (step.job for step in steps[1:] if step.job.id not in born):
                if connection.execute(SQL["revision_of_job"], (job.id,)).fetchone() != (job.revision,):
                    return None, None
            if born:
                self.room()
            moved_first = not all(self._advance(connection, *step) for step in steps)  # only the first one may have
            return None if moved_first else steps[0].after, None

        return work

    def _advance(self, connection: sqlite3.Connection, job: Job, decision: Decision) -> bool:
        status, execute, stored = decision.status, connection.execute, self.sealing.row
        if not execute(SQL["advance_job"], rows.advance_row(job, status)).rowcount:
            return False
        execute(SQL["advance_detail"], stored("advance_detail", job, rows.advance_detail_row(job.id, status)))
        for change in decision.changes:
            execute(SQL["add_change"], stored("add_change", job, rows.change_row(job.id, change)))
        for note in decision.notes:
            execute(SQL["add_note"], stored("add_note", job, rows.note_row(job.id, note)))
        for record in decision.records:
            execute(SQL["add_record"], stored("add_record", job, rows.record_row(job.id, record)))
            trials.keep_report(connection, job, record, stored)
        trials.put(connection, job, decision, stored)
        if decision.births:
            self.insert(connection, [Insertion(self, birth, ()) for birth in decision.births])
        return True

    def removed(self, job_id: int) -> Work[None]:
        """No error where it was not there: it may be said twice."""

        def work(connection: sqlite3.Connection) -> tuple[None, None]:
            connection.execute(SQL["delete_removal"], (job_id,))
            return None, None

        return work

    def _place(self, connection: sqlite3.Connection, job: Job) -> int:
        scope = job.name.scope
        key = (scope.project, scope.location, job.name.collection)
        place = self._places.get(key)
        if place is None:
            found = connection.execute(SQL["find_place"], key).fetchone()
            place = (
                found[0] if found else connection.execute(SQL["add_place"], (*key, job.parent is not None)).lastrowid
            )
            assert place is not None
            self._places[key] = place
        return place

    def _widen(self, connection: sqlite3.Connection, job: Job) -> None:
        """Keep the tallies true before the job is there: too wide a bound costs time, too narrow a one hides jobs."""
        ahead = job.id // _IDS_PER_MICROSECOND - job.create_time_us
        if self._untold or not -self.skew.behind_us <= ahead <= self.skew.ahead_us:
            skew = Bounds(max(self.skew.ahead_us, ahead), max(self.skew.behind_us, -ahead))
            connection.execute(SQL["raise_tally"], (skew.ahead_us, "ahead_us"))
            connection.execute(SQL["raise_tally"], (skew.behind_us, "behind_us"))
            self.skew, self._untold = skew, False


def add_rows(connection: sqlite3.Connection, insert: str, new: Sequence[rows.Row]) -> None:
    """Few statements of many rows: the interpreter's lock is handed to and fro at every statement, not at every row."""
    at = 0
    for size in _SIZES:
        while len(new) - at >= size:
            connection.execute(_of_rows(insert, size), [*chain.from_iterable(new[at : at + size])])
            at += size


@cache
def _of_rows(insert: str, size: int) -> str:
    head, values, row = SQL[insert].rpartition("VALUES")
    return head + values + ",".join([row] * size)


def present(connection: sqlite3.Connection, name: JobName, read: ReadJob) -> Job:
    """The job of that very name; raises NotFound."""
    row = connection.execute(SQL["get_job"], (name.id,)).fetchone()
    job = read(row, connection) if row else None
    if job is None or job.name != name:
        raise job_missing(name)
    return job
