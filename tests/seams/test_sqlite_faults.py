"""The SQLite store under a power switch, a full disk, a broken file and a second server: never silent loss."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from store_suite import HERE, START_US, a_job, ended

from trainyard.core.errors import Internal, Unavailable
from trainyard.core.jobs import Decision, Intent, Job
from trainyard.core.states import Event
from trainyard.core.trials import Trial
from trainyard.store import StoreError
from trainyard.stores.sqlite import files
from trainyard.stores.sqlite.faults import DATABASE
from trainyard.stores.sqlite.store import SqliteStore, open_store

WRITES_UNTIL_KILLED = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from store_suite import a_job, ended
from test_sqlite_store import StoppedClock
from trainyard.stores.sqlite.store import open_store

async def main():
    store = await open_store(Path({folder!r}), StoppedClock())
    async def insert_and_end():
        while True:
            job = a_job(labels={{"a": "b"}})
            await store.insert(job)
            os.write(1, f"inserted {{job.id}}\\n".encode())
            await store.commit(job, ended(job))
            os.write(1, f"ended {{job.id}}\\n".encode())
    await asyncio.gather(*(insert_and_end() for _ in range(16)))

asyncio.run(main())
"""


class StoppedClock:
    """A clock that stands still."""

    def now_us(self) -> int:
        return START_US

    steady_us = now_us


def tell(folder: Path, story: Callable[[SqliteStore], Awaitable[None]]) -> None:
    async def whole() -> None:
        store = await open_store(folder, StoppedClock())
        try:
            await story(store)
        finally:
            await store.close()

    asyncio.run(whole())


def refusal(folder: Path) -> str:
    """The sentence with which the store refuses to open."""

    async def nothing(store: SqliteStore) -> None: ...

    with pytest.raises(StoreError) as refused:
        tell(folder, nothing)
    return str(refused.value)


@pytest.mark.parametrize("acknowledgements", [1, 150, 700])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, acknowledgements: int) -> None:
    """Law 1: killed in the middle of writing, every write that was answered is there, whole; then it goes on."""
    script = WRITES_UNTIL_KILLED.format(here=str(Path(__file__).parent), folder=str(tmp_path / "data"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(acknowledgements)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().splitlines()
    told = [line.split() for line in lines if line.strip()]
    assert len(told) >= acknowledgements

    async def story(store: SqliteStore) -> None:
        for word, job_id in told:
            job = store.find(int(job_id))
            assert job is not None
            assert len(store.history(job.name)) in ((3,) if word == b"ended" else (1, 3))
            assert job.is_final or word == b"inserted"
            assert job.labels == {"a": "b"}
        fresh = a_job(store.largest_id + 1)
        await store.insert(fresh)
        assert store.get(fresh.name) == fresh

    tell(tmp_path / "data", story)


def test_writes_wait_for_the_disk(tmp_path: Path) -> None:
    """The connection that writes syncs on every commit; anything less would acknowledge what a power cut takes."""

    async def story(store: SqliteStore) -> None:
        def look(connection: sqlite3.Connection) -> tuple[tuple[str, int], None]:
            journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
            return (journal, connection.execute("PRAGMA synchronous").fetchone()[0]), None

        assert await store._writer.do(look) == ("wal", 2)

    tell(tmp_path, story)


@pytest.mark.parametrize("kind", ["no more pages", "no more bytes"])
def test_a_full_disk_refuses_writes_and_recovers_by_itself(tmp_path: Path, kind: str) -> None:
    """Each caller gets Unavailable and nothing is half done; reads go on; with room again, so do writes."""

    async def story(store: SqliteStore) -> None:
        kept = a_job()
        await store.insert(kept)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        await fill(store, kind)
        try:
            refused = [a_job(spec=b"x" * 200_000) for _ in range(20)]
            answers = await asyncio.gather(*map(store.insert, refused), return_exceptions=True)
            assert any(isinstance(answer, Unavailable) for answer in answers)
            for job, answer in zip(refused, answers, strict=True):
                assert (store.find(job.id) is None) == isinstance(answer, Unavailable)
                assert answer is None or "nothing was changed" in str(answer)
            assert store.get(kept.name) == kept
            assert kept in (await store.page(HERE, "customJobs", None, 100, None)).jobs
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await store._writer.do(lambda connection: (connection.execute("PRAGMA max_page_count = 1000000"), None))
        for job, answer in zip(refused, answers, strict=True):
            if answer is not None:
                await store.insert(job)
                assert store.get(job.name) == job

    tell(tmp_path, story)


async def fill(store: SqliteStore, kind: str) -> None:
    """Leave room for a few of the jobs that come."""
    if kind == "no more pages":

        def cap(connection: sqlite3.Connection) -> tuple[None, None]:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 130}")
            return None, None

        await store._writer.do(cap)
    else:
        # Writing beyond it fails as on a full disk, but with another error of the kernel (EFBIG).
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))


def test_the_last_room_is_for_ending_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is nearly full, nothing new is taken, alone or with others; cancels are; it mends by itself."""

    async def story(store: SqliteStore) -> None:
        kept = a_job()
        await store.insert(kept)
        assert (tmp_path / f"{DATABASE}-wal").stat().st_blocks * 512 >= files.RESERVE_BYTES
        monkeypatch.setattr(files, "LEAST_FREE_BYTES", 2**62)
        for count in (1, 3):
            answers = await asyncio.gather(*(store.insert(a_job()) for _ in range(count)), return_exceptions=True)
            assert [isinstance(answer, Unavailable) for answer in answers] == [True] * count
        asks = Decision(kept.status, births=(a_job(),), trials=(Trial(1, (0,)),))
        with pytest.raises(Unavailable):
            await store.commit(kept, asks)
        assert (store.find(kept.id), store.open_trials(kept.id)) == (kept, ())
        assert (await store.ask_cancel(kept.name, "ann", 7)).intent is Intent.CANCEL
        assert ["is full" in problem for problem in store.problems()] == [True]
        assert [job.id for job in store.live()] == [kept.id]
        monkeypatch.undo()
        await store.insert(a_job())
        assert store.problems() == ()

    tell(tmp_path, story)


def test_one_bad_piece_of_work_takes_nothing_with_it(tmp_path: Path) -> None:
    """In one batch, what cannot be stored fails alone, in the middle of its writes; its neighbours are kept whole."""

    async def story(store: SqliteStore) -> None:
        good = [a_job() for _ in range(40)]
        bad = a_job(labels={"a": "lone surrogate \ud800"}, scope=replace(HERE, project="777"))
        answers = await asyncio.gather(*map(store.insert, [*good[:20], bad, *good[20:]]), return_exceptions=True)
        assert [index for index, answer in enumerate(answers) if answer is not None] == [20]
        assert isinstance(answers[20], UnicodeEncodeError)
        assert store.live() == tuple(good)
        neighbour = a_job(scope=replace(HERE, project="777"))
        await store.insert(neighbour)
        assert store.get(neighbour.name) == neighbour

    tell(tmp_path, story)


def test_a_second_server_is_refused_by_name(tmp_path: Path) -> None:
    """The sentence names the process that holds the directory and what to do; afterwards the directory is free."""

    async def story(store: SqliteStore) -> None:
        with pytest.raises(StoreError, match=rf"process {os.getpid()}\).*--data-dir"):
            await open_store(tmp_path, StoppedClock())
        await store.insert(a_job())

    tell(tmp_path, story)
    tell(tmp_path, story)


def test_a_defect_of_ours_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    """A statement that breaks a constraint is Internal: repeating it would not help."""

    async def story(store: SqliteStore) -> None:
        def twice(connection: sqlite3.Connection) -> tuple[None, None]:
            connection.executemany("INSERT INTO removal (job) VALUES (?)", [(1,), (1,)])
            return None, None

        with pytest.raises(Internal, match="defect"):
            await store._writer.do(twice)
        assert store.removals() == ()

    tell(tmp_path, story)


def test_a_closed_store_refuses_writes(tmp_path: Path) -> None:
    """A write after close is Unavailable, not a hang; closing twice is harmless."""

    async def story() -> None:
        store = await open_store(tmp_path, StoppedClock())
        await store.close()
        with pytest.raises(Unavailable, match="stopping"):
            await store.insert(a_job())
        await store.close()

    asyncio.run(story())


def test_a_file_that_is_no_database_is_refused_with_the_way_on(tmp_path: Path) -> None:
    """The sentence names the file, a copy first, and the command that saves what is readable; the file is untouched."""
    (tmp_path / DATABASE).write_bytes(b"not a database, " * 1000)
    sentence = refusal(tmp_path)
    assert str(tmp_path / DATABASE) in sentence
    assert ".recover" in sentence
    assert (tmp_path / DATABASE).read_bytes() == b"not a database, " * 1000


def test_damage_inside_is_told_to_the_caller(tmp_path: Path) -> None:
    """A broken page is no empty answer but Internal, with the same way on."""
    jobs = [a_job(spec=b"x" * 3000) for _ in range(300)]

    async def first(store: SqliteStore) -> None:
        await asyncio.gather(*map(store.insert, jobs))

    async def second(store: SqliteStore) -> None:
        with pytest.raises(Internal, match="damaged"):
            [store.get(job.name) for job in jobs]
        with pytest.raises(Internal, match="damaged"):
            await store.page(HERE, "customJobs", None, 1000, None)

    tell(tmp_path, first)
    path = tmp_path / DATABASE
    whole = path.read_bytes()
    pages = [whole[start : start + 4096] for start in range(0, len(whole), 4096)]
    path.write_bytes(b"".join(b"\xff" * 4096 if b"x" * 900 in page else page for page in pages))
    tell(tmp_path, second)
    path.write_bytes(pages[0] + b"\xff" * (len(whole) - 4096))
    assert ".recover" in refusal(tmp_path)


def test_a_directory_that_cannot_be_written_is_refused() -> None:
    """Read-only data directory: a sentence that says which, for whom, and what else can be done."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "data"
        folder.mkdir()
        Path(scratch).chmod(0o755)
        folder.chmod(0o555)
        sentence = refusal(folder) if os.geteuid() else refusal_as_nobody(folder)
    assert str(folder) in sentence
    assert "--data-dir" in sentence
    assert "writable" in sentence


def refusal_as_nobody(folder: Path) -> str:
    """Root may write anywhere, so another user has to try."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os.write(writing, refusal(folder).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_a_store_that_cannot_be_made_is_refused_and_made_later(tmp_path: Path) -> None:
    """Where the kernel takes no more bytes, opening says so in a sentence and leaves nothing in the way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        sentence = refusal(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(tmp_path / DATABASE) in sentence
    assert "--data-dir" in sentence
    tell(tmp_path, just_insert)


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """The sentence names it."""
    (tmp_path / "data").write_text("a file")
    assert "can't be used as a data directory" in refusal(tmp_path / "data")


def test_a_missing_data_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """It holds specs with people's environment variables."""
    tell(tmp_path / "a" / "b", just_insert)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b" / DATABASE).stat().st_mode & 0o777 == 0o600


async def just_insert(store: SqliteStore) -> None:
    job = a_job()
    await store.insert(job)
    moved = await store.commit(job, Decision(job.status).moved(Event.ADMITTED, 1, "room"))
    assert isinstance(moved, Job)
    assert await store.commit(moved, ended(moved)) is not None
