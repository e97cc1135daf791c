"""Jobs that were listed before: one of the same revision is the same job, and need not be read again."""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from trainyard.core.jobs import Job
from trainyard.core.names import Scope
from trainyard.stores.sqlite import rows
from trainyard.stores.sqlite.queries import SQL

_MOST_BYTES = 16 << 20  # about
_LONGEST_SPEC = 16 * 1024  # bytes
_BESIDE = 2_000  # bytes that a job takes beside its spec


class KnownJobs:
    """Forgets what was kept first when it grows too large. For several threads at once."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        """Nothing yet."""
        self._most = most_bytes
        self._held = 0
        self._jobs: OrderedDict[int, Job] = OrderedDict()  # a dict looks for its first key through all that have gone
        self._lock = Lock()

    def at(
        self, connection: sqlite3.Connection, keys: Sequence[tuple[int, int]], scope: Scope, collection: str
    ) -> tuple[Job, ...]:
        """The jobs of one place with these ids and revisions, in order, within the transaction that told them."""
        found: dict[int, Job] = {}
        for job_id, revision in keys:
            job = self._jobs.get(job_id)
            if job is not None and job.revision == revision:
                found[job_id] = job
        missing = [job_id for job_id, _ in keys if job_id not in found]
        if missing:
            read = connection.execute(SQL["get_jobs"], (json.dumps(missing),)).fetchall()
            fresh = [rows.job_from(row, scope, collection) for row in read]
            self._keep(fresh)
            found.update((job.id, job) for job in fresh)
        return tuple(found[job_id] for job_id, _ in keys)

    def forget(self) -> None:
        """All of them: what some say was sealed, and its key has gone."""
        with self._lock:
            self._jobs.clear()
            self._held = 0

    def _keep(self, fresh: Sequence[Job]) -> None:
        with self._lock:
            for job in fresh:
                if len(job.spec) <= _LONGEST_SPEC:
                    before = self._jobs.pop(job.id, None)
                    self._held += _size(job) - (_size(before) if before is not None else 0)
                    self._jobs[job.id] = job
            while self._held > self._most:
                self._held -= _size(self._jobs.popitem(last=False)[1])


def _size(job: Job) -> int:
    return len(job.spec) + _BESIDE
