"""What a controller reads of all live jobs at once, of every store."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_suite import HERE, StoreSuite, a_job
from test_memory_store import TestMemoryStore as Memory
from test_sqlite_store import TestSqliteStore as Sqlite

from trainyard.core.jobs import Status
from trainyard.core.names import Scope
from trainyard.core.states import JobState
from trainyard.store import Standing, Store

pytestmark = pytest.mark.parametrize("keeper", [Memory(), Sqlite()], ids=["memory", "sqlite"])


def test_runs_are_the_live_jobs_that_do_not_wait(tmp_path: Path, keeper: StoreSuite) -> None:
    """Of every place, oldest first: what may hold processes."""
    there = Scope("210987654321", "us-central1")

    async def story(store: Store) -> None:
        jobs = [a_job(status=Status(state, 1), scope=scope) for state in JobState for scope in (HERE, there)]
        for job in reversed(jobs):
            await store.insert(job)
        running = [job for job in jobs if not job.is_final and job.status.state is not JobState.QUEUED]
        assert store.runs() == tuple(running)

    keeper.tell(tmp_path, story)


def test_a_census_gives_all_live_jobs_in_pages(tmp_path: Path, keeper: StoreSuite) -> None:
    """Id, revision, state and priority of each, oldest first, from any id on."""

    async def story(store: Store) -> None:
        jobs = [a_job(status=Status(state, 1), priority=7, revision=3) for state in (*JobState, JobState.QUEUED)]
        for job in reversed(jobs):
            await store.insert(job)
        standings = [Standing(job.id, 3, job.status.state, 7) for job in jobs if not job.is_final]
        assert list(store.census(0, 100)) == standings
        first = store.census(0, 2)
        assert [*first, *store.census(first[-1].id, 100)] == standings
        assert list(store.census(standings[-1].id, 100)) == []

    keeper.tell(tmp_path, story)
