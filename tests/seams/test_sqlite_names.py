"""Searches for parts of names are right with the index of name pieces, without it, and after it was missing."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from store_suite import HERE, a_deletion, a_job, ended
from test_sqlite_store import StoppedClock

from trainyard.core.filter_tree import NameLike
from trainyard.core.jobs import Job
from trainyard.stores.sqlite import grams
from trainyard.stores.sqlite.faults import DATABASE
from trainyard.stores.sqlite.store import open_store

PART = NameLike(("", "needle", ""))


def indexed_jobs(folder: Path) -> set[int]:
    """Ids that the index itself gives for the part."""
    connection = sqlite3.connect(folder / DATABASE)
    try:
        found = connection.execute("SELECT rowid FROM name_gram WHERE name_gram MATCH ?", (grams.query(PART),))
        return {row[0] for row in found}
    finally:
        connection.close()


def test_names_are_found_across_programs_with_and_without_fts5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that came or went while SQLite had no FTS5 are right in the index that is made once it has."""
    early, gone, meanwhile = (a_job(display_name=f"a needle in hay {n}") for n in range(3))

    async def visit(insert: Job | None, delete: Job | None = None) -> set[int]:
        store = await open_store(tmp_path, StoppedClock())
        try:
            if insert:
                await store.insert(insert)
                await store.insert(a_job(display_name="only hay"))
            if delete:
                await store.commit(delete, ended(delete))
                await store.delete(delete.name, a_deletion(delete))
            return {job.id for job in (await store.page(HERE, "customJobs", PART, 10, None)).jobs}
        finally:
            await store.close()

    assert asyncio.run(visit(early)) == {early.id}
    assert asyncio.run(visit(gone)) == {early.id, gone.id} == indexed_jobs(tmp_path)
    with monkeypatch.context() as old:
        old.setattr(grams, "_PROBE", "CREATE VIRTUAL TABLE temp.gram_probe USING no_such_module(name)")
        assert asyncio.run(visit(meanwhile, delete=gone)) == {early.id, meanwhile.id}
    assert asyncio.run(visit(None)) == {early.id, meanwhile.id} == indexed_jobs(tmp_path)


@pytest.mark.parametrize(
    ("pieces", "asked"),
    [
        (("ab", "", "cd"), None),
        (("", "abcd", "xyz"), '"abc" AND "bcd" AND "xyz"'),
        (("", 'a"b', ""), '"a""b"'),
        (("", "aaaaa", ""), '"aaa"'),
        (("a\x00b", ""), '"a\ufffdb"'),
    ],
)
def test_the_index_is_asked_for_every_three_letters(pieces: tuple[str, ...], asked: str | None) -> None:
    """Short pieces say nothing, quotes are doubled, repeats are asked once, a NUL has a stand-in."""
    assert grams.query(NameLike(pieces)) == asked
