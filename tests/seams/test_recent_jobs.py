"""The newest jobs of a whole project, over every store."""

from __future__ import annotations

from pathlib import Path

import pytest
import test_memory_store
import test_sqlite_store
from store_suite import HERE, StoreSuite, a_job

from trainyard.core.names import Scope
from trainyard.store import Store

KEEPERS = {"memory": test_memory_store.TestMemoryStore(), "sqlite": test_sqlite_store.TestSqliteStore()}


@pytest.mark.parametrize("suite", KEEPERS.values(), ids=KEEPERS)
def test_recent_jobs_of_a_project(suite: StoreSuite, tmp_path: Path) -> None:
    """Of every location and kind, newest first, below an id, of no other project; a job is found by its id alone."""

    async def story(store: Store) -> None:
        there = [a_job(), a_job(scope=Scope(HERE.project, "europe-west4")), a_job(collection="nasJobs")]
        for job in (*there, a_job(scope=Scope("999999999999", "us-central1"))):
            await store.insert(job)
        ids = [job.id for job in reversed(there)]
        assert [job.id for job in await store.recent(HERE.project, 10)] == ids
        assert [job.id for job in await store.recent(HERE.project, 1, ids[0])] == ids[1:2]
        assert await store.recent("1", 10) == ()
        found = store.find(ids[1])
        assert found is not None
        assert found.name == there[1].name

    suite.tell(tmp_path, story)
