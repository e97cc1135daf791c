"""The store on SQLite keeps the promise."""

from __future__ import annotations

from pathlib import Path

from store_suite import START_US, StoreSuite

from trainyard.store import Store
from trainyard.stores.sqlite.store import open_store


class StoppedClock:
    """A clock that stands still."""

    def now_us(self) -> int:
        return START_US

    steady_us = now_us


class TestSqliteStore(StoreSuite):
    """The whole suite, on disk."""

    async def open(self, folder: Path) -> Store:
        return await open_store(folder, StoppedClock())
