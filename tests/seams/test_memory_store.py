"""The store in memory keeps the promise, and its snapshots are crashes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from store_suite import StoreSuite, a_deletion, a_job, ended

from trainyard.store import Store
from trainyard.stores.memory import MemoryStore, open_store


class StoppedClock:
    """A clock that stands still."""

    def now_us(self) -> int:
        return 1

    steady_us = now_us


class TestMemoryStore(StoreSuite):
    """The whole suite, in memory."""

    keeps_on_disk = False

    async def open(self, folder: Path) -> Store:
        return await open_store(folder, StoppedClock())

    def test_a_snapshot_is_what_a_crash_leaves(self) -> None:
        """Everything acknowledged before it is there, nothing that came after, and neither copy moves the other."""

        async def story() -> None:
            store = MemoryStore()
            early, deleted = a_job(), a_job()
            await store.insert(early)
            await store.insert(deleted)
            await store.commit(deleted, ended(deleted))
            await store.delete(deleted.name, a_deletion(deleted))
            crash = store.snapshot()
            late = a_job()
            await store.insert(late)
            await store.ask_cancel(early.name, "ann", 1)
            again = MemoryStore.restore(crash)
            assert again.live() == (early,)
            assert again.find(late.id) is None
            assert again.removals() == (deleted.id,)
            assert again.operation(a_deletion(deleted).name) == a_deletion(deleted)
            assert again.largest_id == deleted.id + 1
            assert len(store.live()) == 2
            await again.close()

        asyncio.run(story())
