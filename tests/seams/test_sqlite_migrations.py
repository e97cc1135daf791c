"""The SQLite file grows with the program: older ones are upgraded with a copy first, newer and foreign ones refused."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from pathlib import Path

import pytest
from store_suite import HERE
from test_sqlite_store import StoppedClock

from trainyard.core.filters import parse_filter
from trainyard.core.jobs import Job
from trainyard.core.states import FINAL, JobState
from trainyard.store import StoreError
from trainyard.stores.sqlite.faults import DATABASE
from trainyard.stores.sqlite.migrate import APPLICATION_ID, built_in, upgrade
from trainyard.stores.sqlite.store import open_store

VERSION_1 = Path(__file__).parent / "fixtures" / "store_v1.sql"
NEXT_STEP = """-- Why; a comment.
ALTER TABLE job ADD COLUMN extra TEXT NOT NULL DEFAULT 'semi;colon';
UPDATE job SET extra = 'x';
"""


def an_old_file(folder: Path) -> Path:
    """A store as version 1 left it."""
    connection = sqlite3.connect(folder / DATABASE)
    connection.executescript(VERSION_1.read_text("utf-8"))
    connection.executescript(f"PRAGMA user_version = 1; PRAGMA application_id = {APPLICATION_ID}")
    connection.close()
    return folder / DATABASE


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_a_store_of_version_1_opens_with_all_its_jobs(tmp_path: Path) -> None:
    """Whatever this program's version: jobs, history, notes, records and operations written by version 1 are there."""
    an_old_file(tmp_path)

    async def story() -> list[Job]:
        store = await open_store(tmp_path, StoppedClock())
        try:
            page = await store.page(HERE, "customJobs", parse_filter("labels.env=prod"), 10, None)
            for job in page.jobs:
                assert store.history(job.name)[0].why == "created"
                assert store.narration(job.name)[0].note.text == "hello"
            assert len(store.operations(HERE, None, 10, None)) == 1
            assert len(store.removals()) == 1
            return list(page.jobs)
        finally:
            await store.close()

    jobs = asyncio.run(story())
    assert [job.status.state for job in jobs] == [JobState.RUNNING, JobState.QUEUED]
    assert jobs[0].display_name == "naïve 🚂"


def test_an_older_file_is_copied_then_upgraded(tmp_path: Path) -> None:
    """The copy beside it is the file as it was; the upgraded one has the step's change and its number."""
    path = an_old_file(tmp_path)
    connection = connect(path)
    backup = upgrade(connection, path, [*built_in()[:1], NEXT_STEP], 5_000_000)
    assert backup == path.with_name(f"{DATABASE}.v1.5.backup")
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert {row[0] for row in connection.execute("SELECT extra FROM job")} == {"x"}
    copy = connect(backup)
    assert copy.execute("PRAGMA user_version").fetchone() == (1,)
    jobs = "SELECT id, state, display_name FROM job ORDER BY id"
    assert copy.execute(jobs).fetchall() == connection.execute(jobs).fetchall() != []
    assert upgrade(connection, path, [*built_in()[:1], NEXT_STEP], 6_000_000) is None


def test_half_a_copy_is_not_left_lying(tmp_path: Path) -> None:
    """Where there is no room for the copy, the upgrade does not begin and the directory looks as before."""
    path = an_old_file(tmp_path)
    connection = connect(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(sqlite3.OperationalError):
            upgrade(connection, path, [*built_in()[:1], NEXT_STEP], 5_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [path]
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_step_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    """Half a step is no step; the one before it stays done."""
    path = an_old_file(tmp_path)
    connection = connect(path)
    broken = "ALTER TABLE job ADD COLUMN third TEXT;\nINSERT INTO nowhere VALUES (1);\n"
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        upgrade(connection, path, [*built_in()[:1], NEXT_STEP, broken], 5)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    columns = {row[1] for row in connection.execute("PRAGMA table_info(job)")}
    assert "extra" in columns
    assert "third" not in columns
    assert not connection.in_transaction


def test_a_fresh_file_takes_every_step_and_no_copy(tmp_path: Path) -> None:
    """There is nothing to lose yet."""
    connection = connect(tmp_path / DATABASE)
    assert upgrade(connection, tmp_path / DATABASE, built_in(), 5) is None
    assert connection.execute("PRAGMA user_version").fetchone() == (len(built_in()),)
    assert list(tmp_path.glob("*.backup")) == []


def test_a_newer_file_is_refused_and_untouched(tmp_path: Path) -> None:
    """The sentence tells both versions and the ways on."""
    path = an_old_file(tmp_path)
    connection = connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer Trainyard \(store version 999.*--data-dir"):
        asyncio.run(open_store(tmp_path, StoppedClock()))
    assert path.read_bytes() == before


def test_a_program_from_before_sealing_refuses_what_may_be_sealed(tmp_path: Path) -> None:
    """It knew two versions, and would have shown sealed values as if they were specs and sentences."""

    async def opened_and_closed() -> None:
        await (await open_store(tmp_path, StoppedClock())).close()

    asyncio.run(opened_and_closed())
    path = tmp_path / DATABASE
    with pytest.raises(StoreError, match=r"newer Trainyard .*knows up to 2\)"):
        upgrade(connect(path), path, built_in()[:2], 5)


def test_a_file_of_another_program_is_refused_and_untouched(tmp_path: Path) -> None:
    """We add no tables to somebody else's database."""
    connection = connect(tmp_path / DATABASE)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(StoreError, match="some other program"):
        asyncio.run(open_store(tmp_path, StoppedClock()))
    assert (tmp_path / DATABASE).read_bytes() == before


def test_the_index_of_live_jobs_names_the_states_with_a_way_out(tmp_path: Path) -> None:
    """SQL repeats what core/states.py says; this keeps the two the same."""
    connection = connect(tmp_path / DATABASE)
    upgrade(connection, tmp_path / DATABASE, built_in(), 5)
    (text,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'job_live'").fetchone()
    live = sorted(int(state) for state in JobState if state not in FINAL)
    assert f"state IN ({', '.join(map(str, live))})" in text
