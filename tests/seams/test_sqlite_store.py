"""The store on SQLite keeps the promise."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from store_suite import HERE, START_US, StoreSuite, a_job, everything

from trainyard.core.filters import parse_filter
from trainyard.store import Store
from trainyard.stores.sqlite import search
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

    @pytest.mark.parametrize("enough_seconds", [0, 3600])
    def test_a_long_search_is_the_predicate_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enough_seconds: int
    ) -> None:
        """With windows so small that each search needs many: whatever index each takes, and where pages come short."""
        small = {"_FIRST_WINDOW": 2, "_WINDOW_TO_STOP_AFTER": 4, "_LARGEST_WINDOW": 6, "_FEW": 4}
        for name, value in small.items():
            monkeypatch.setattr(search, name, value)
        monkeypatch.setattr(search, "_ENOUGH_SECONDS", enough_seconds)
        self.test_a_search_is_the_predicate(tmp_path)

    def test_a_search_that_takes_long_hands_back_a_short_page(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Instead of holding its caller: the page says where to go on, and going on ends with everything."""
        monkeypatch.setattr(search, "_ENOUGH_SECONDS", 0)
        jobs = [a_job(display_name="zz" if number % 1000 == 0 else "x") for number in range(5000)]

        async def story(store: Store) -> None:
            await asyncio.gather(*map(store.insert, jobs))
            tree = parse_filter('display_name:"*z"')
            page = await store.page(HERE, "customJobs", tree, 100, None)
            assert len(page.jobs) < 5
            assert page.next_after is not None
            assert await everything(store, tree, 100) == jobs[::1000][::-1]

        self.tell(tmp_path, story)
