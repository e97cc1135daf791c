"""Jobs on a page, time after time, over every store."""

from __future__ import annotations

from pathlib import Path

import pytest
import test_memory_store
import test_sqlite_store
from store_suite import HERE, START_US, StoreSuite, a_job

from trainyard.core.jobs import Decision, Job
from trainyard.core.states import Event
from trainyard.store import Store

KEEPERS = {"memory": test_memory_store.TestMemoryStore(), "sqlite": test_sqlite_store.TestSqliteStore()}


@pytest.mark.parametrize("suite", KEEPERS.values(), ids=KEEPERS)
def test_a_page_shows_a_job_as_it_is_now(suite: StoreSuite, tmp_path: Path) -> None:
    """After every write of its status and of what its owner wants; other jobs stay as they were."""

    async def story(store: Store) -> None:
        job, other = a_job(), a_job()
        await store.insert(job)
        await store.insert(other)

        async def listed() -> tuple[Job, ...]:
            page = await store.page(HERE, "customJobs", None, 10, None)
            assert page.jobs == (store.get(other.name), store.get(job.name))
            return page.jobs

        assert await listed() == (other, job)
        started = await store.commit(job, Decision(job.status).moved(Event.ADMITTED, START_US, "room"))
        assert await listed() == (other, started)
        cancelled = await store.ask_cancel(job.name, "me", START_US)
        assert await listed() == (other, cancelled)
        assert cancelled not in (job, started)

    suite.tell(tmp_path, story)
