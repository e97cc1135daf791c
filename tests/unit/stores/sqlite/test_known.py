"""Jobs that were listed before are read again when they have changed, and only then."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from trainyard.core.jobs import Job
from trainyard.stores.sqlite import rows
from trainyard.stores.sqlite.known import KnownJobs
from trainyard.stores.sqlite.migrate import built_in, upgrade
from trainyard.stores.sqlite.queries import SQL
from trainyard.testing.builders import plain_job


class Table:
    """A store's tables in memory; `reads` counts the statements that have read jobs from them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.reads = 0
        connection.set_trace_callback(self._count)

    def put(self, job_id: int, spec: bytes = b"spec") -> Job:
        job = replace(plain_job(job_id), spec=spec)
        self.connection.execute(SQL["add_job"], rows.job_row(job, 1))
        self.connection.execute(SQL["add_detail"], rows.detail_row(job))
        self.connection.execute(SQL["add_body"], rows.body_row(job))
        return job

    def page(self, known: KnownJobs, *jobs: Job) -> tuple[Job, ...]:
        name = jobs[0].name
        return known.at(self.connection, [(job.id, job.revision) for job in jobs], name.scope, name.collection)

    def _count(self, statement: str) -> None:
        self.reads += "b.spec" in statement


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        upgrade(connection, tmp_path / "unused", built_in(), 0)
        yield Table(connection)


def test_a_job_is_read_once_and_stands_where_it_was_asked_for(table: Table) -> None:
    """Pages of known and new jobs are whole and in order; only what is new is read."""
    known, (first, second, third) = KnownJobs(), map(table.put, (1, 2, 3))
    assert table.page(known, third, first) == (third, first)
    assert table.page(known, first, third) == (first, third)
    assert table.reads == 1
    assert table.page(known, third, second, first) == (third, second, first)
    assert table.reads == 2


def test_a_job_of_another_revision_is_read_again(table: Table) -> None:
    """What is known of it before is no answer any more, and is not kept beside what is known now."""
    known, before = KnownJobs(most_bytes=3000), table.put(1)
    table.page(known, before)
    table.connection.execute(SQL["touch_job"], (1,))
    after = replace(before, revision=1)
    assert [table.page(known, after) for _ in range(2)] == [(after,), (after,)]
    assert table.reads == 2


def test_no_more_is_kept_than_was_allowed(table: Table) -> None:
    """What was kept first goes first; a job that would take the place of many is not kept at all."""
    known, jobs, large = KnownJobs(most_bytes=5000), [*map(table.put, (1, 2, 3))], table.put(4, b"x" * 20_000)
    for job in (*jobs, large, large):
        assert table.page(known, job) == (job,)
    assert table.reads == 5
    assert table.page(known, jobs[2], jobs[1]) == (jobs[2], jobs[1])
    assert table.reads == 5
    table.page(known, jobs[0])
    assert table.reads == 6
