"""What is sealed in the store's rows: the table of places follows the statements, and a key that goes is noticed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trainyard.core.errors import Internal
from trainyard.core.jobs import Change, Decision, Job, Note, Parentage, Problem, ReplicaRecord, Seal, Severity
from trainyard.core.names import KeyName, Scope
from trainyard.core.runs import Cause, Exit
from trainyard.core.states import JobState
from trainyard.core.trials import Measurement, Stage, Trial
from trainyard.keyrings.local.ring import open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.store import Among
from trainyard.stores.sqlite.sealed import CannotSeal
from trainyard.stores.sqlite.store import SqliteStore, open_store
from trainyard.testing.builders import plain_job

SCOPE = Scope.of("p", "us-central1")
KEY = KeyName(SCOPE, "r", "k")
SECRET = "5ecret"


class StoppedClock:
    """It is always the same moment."""

    def now_us(self) -> int:
        """On the calendar."""
        return 1_000_000

    def steady_us(self) -> int:
        """Since the start."""
        return 1_000_000


def with_store(directory: Path, work: Callable[[SqliteStore, DataVault], Awaitable[None]]) -> None:
    """Do something with a store that seals, and close it."""

    async def body() -> None:
        store = await open_store(directory, StoppedClock())
        vault = DataVault(directory / "keys", open_ring(directory / "keys"))
        store.share_seals(vault)
        try:
            await work(store, vault)
        finally:
            await store.close()
            vault.close()

    asyncio.run(body())


def secretive(vault: DataVault, job_id: int = 7) -> Job:
    """A job whose spec is a secret, under the key."""
    if not vault.listed():
        vault.create(KEY, 1)
    vault.admit(job_id, SCOPE, str(KEY))
    return replace(plain_job(job_id), spec=SECRET.encode(), seal=Seal(job_id, b"outline"))


def telling(job: Job) -> Decision:
    """A decision with a secret in every text that it can hold."""
    end = Exit(Cause.EXITED, 3, None, f"{SECRET} message", f"{SECRET} last lines")
    status = replace(job.status, error=Problem(3, f"{SECRET} error"), memo=f'{{"told":["{SECRET}"]}}')
    trial = Trial(1, (SECRET,), measurement=Measurement({SECRET: 1.0}, 1, None), why=f"{SECRET} why")
    return Decision(
        status,
        changes=(Change(1, JobState.QUEUED, JobState.FAILED, 1, f"{SECRET} why"),),
        notes=(Note(1, Severity.INFO, f"{SECRET} note"),),
        records=(ReplicaRecord(1, "workerpool0-0", 0, end),),
        trials=(trial,),
    )


def test_every_text_that_is_told_of_a_job_is_sealed(tmp_path: Path) -> None:
    """None of it is in the files, and all of it comes back."""

    async def work(store: SqliteStore, vault: DataVault) -> None:
        job = secretive(vault)
        await store.insert(job, [Note(1, Severity.NOTICE, f"{SECRET} first note")])
        decision = telling(job)
        assert await store.commit(job, decision) is not None
        found = store.get(job.name)
        assert (found.spec, found.seal, found.status) == (job.spec, Seal(7), decision.status)
        assert store.history(job.name)[1:] == decision.changes
        assert [one.note.text for one in store.narration(job.name)] == [f"{SECRET} first note", f"{SECRET} note"]
        assert store.replica_records(job.name) == decision.records
        assert store.trial_history(7) == decision.trials

    with_store(tmp_path, work)
    at_rest = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert SECRET.encode() not in at_rest


def test_what_no_key_opens_is_shown_in_outline(tmp_path: Path) -> None:
    """Whatever is read of the job, in a view too; its revision tells whoever kept it that it reads otherwise."""

    async def work(store: SqliteStore, vault: DataVault) -> None:
        job = secretive(vault)
        await store.insert(job)
        await store.commit(job, telling(job))
        before = store.get(job.name)
        hints: list[int] = []
        store.on_write(lambda job_id, _: hints.append(job_id))
        vault.destroy(KEY)
        await store.renew(vault.owners(KEY))
        found = store.get(job.name)
        assert found.spec == b"outline"
        assert found.seal is not None
        assert "is destroyed" in found.seal.locked
        assert found.revision == before.revision + 1
        assert hints == [7]
        view = store.view()
        told = (found, store.history(job.name), store.narration(job.name), store.replica_records(job.name))
        assert SECRET not in repr((*told, store.trial_history(7), view.find(7)))
        view.close()

    with_store(tmp_path, work)


def changed(value: bytes) -> bytes:
    """With one bit in the middle turned."""
    middle = len(value) // 2
    return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]


def damage(directory: Path, table: str, column: str, where: str) -> None:
    """Change sealed values at rest."""
    with sqlite3.connect(directory / "trainyard.db") as raw:
        raw.create_function("changed", 1, changed)
        assert raw.execute(f"UPDATE {table} SET {column} = changed({column}) WHERE {where}").rowcount == 1
    raw.close()


@pytest.mark.parametrize(("table", "column"), [("job_body", "spec"), ("job_detail", "memo")])
def test_a_damaged_job_does_not_hide_the_others(tmp_path: Path, table: str, column: str) -> None:
    """Lists, views and the live jobs of a start show it without what it says, with the reason, beside all others."""

    async def work(store: SqliteStore, vault: DataVault) -> None:
        for job_id in (7, 8):
            job = secretive(vault, job_id)
            await store.insert(job)
            await store.commit(job, telling(job))
        damage(tmp_path, table, column, "id = 7")
        page = await store.page(SCOPE, "customJobs", None, 10, None)
        view = store.view()
        seen = [part for found in view.jobs(Among(SCOPE, "customJobs")) for part in found]
        for whole, damaged in (page.jobs, seen, sorted(store.live(), key=lambda job: -job.id)):
            assert (whole.id, whole.spec) == (8, SECRET.encode())
            assert (damaged.id, damaged.spec, damaged.status.memo) == (7, b"", "{}")
            assert damaged.seal is not None
            assert damaged.seal.damaged
            assert "Restore it" in damaged.seal.locked
            assert "Restore it" in str(damaged.status.error)
        view.close()

    with_store(tmp_path, work)


def test_what_is_told_of_a_job_says_itself_that_it_is_damaged(tmp_path: Path) -> None:
    """A note, a change and a record that were changed say so in their place; nobody searches on with such a trial."""
    told = (("note", "text", "seq = 2"), ("history", "why", "seq = 2"))
    told += (("replica_record", "last_lines", "1"), ("trial", "point", "1"))

    async def work(store: SqliteStore, vault: DataVault) -> None:
        job = secretive(vault)
        await store.insert(job, [Note(1, Severity.NOTICE, f"{SECRET} first note")])
        await store.commit(job, telling(job))
        for table, column, where in told:
            damage(tmp_path, table, column, where)
        first, note = (one.note.text for one in store.narration(job.name))
        created, change = (one.why for one in store.history(job.name))
        assert (first, created) == (f"{SECRET} first note", "The job was accepted.")
        (record,) = store.replica_records(job.name)
        for text in (note, change, record.exit.message, record.exit.last_lines):
            assert "Restore it" in text
        with pytest.raises(Internal, match="Restore it"):
            store.trial_history(7)

    with_store(tmp_path, work)


def test_nothing_is_written_in_the_clear_when_the_key_goes_meanwhile(tmp_path: Path) -> None:
    """A job that was read before its key went cannot be told of; read again, what is told is the service's own."""

    async def work(store: SqliteStore, vault: DataVault) -> None:
        job = secretive(vault)
        await store.insert(job)
        vault.destroy(KEY)
        with pytest.raises(CannotSeal, match="is destroyed"):
            await store.commit(job, telling(job))
        assert store.get(job.name).revision == job.revision
        locked = store.get(job.name)
        own = Decision(locked.status, notes=(Note(2, Severity.ERROR, "Its key is gone."),))
        assert await store.commit(locked, own) is not None
        assert [one.note.text for one in store.narration(job.name)] == ["Its key is gone."]

    with_store(tmp_path, work)


def test_jobs_of_trials_are_sealed_by_their_search(tmp_path: Path) -> None:
    """They have its data key, and a new revision when it goes."""

    async def work(store: SqliteStore, vault: DataVault) -> None:
        search = secretive(vault)
        await store.insert(search)
        child = replace(plain_job(8), spec=SECRET.encode(), parent=Parentage(7, Stage.SEARCH, 1), seal=Seal(7))
        assert await store.commit(search, Decision(search.status, births=(child,))) is not None
        found = store.find(8)
        assert found is not None
        assert (found.spec, found.seal) == (SECRET.encode(), Seal(7))
        await store.renew([7])
        again = store.find(8)
        assert again is not None
        assert again.revision == found.revision + 1

    with_store(tmp_path, work)


def test_a_store_without_keys_looks_at_no_value(tmp_path: Path) -> None:
    """Opening begins with the first job that names a key, and at the start where there is one."""

    async def work(store: SqliteStore, vault: DataVault) -> None:
        await store.insert(plain_job(5))
        assert store._reader.row_factory is None
        await store.insert(secretive(vault))
        assert store._reader.row_factory is not None

    async def again(store: SqliteStore, vault: DataVault) -> None:
        assert store._reader.row_factory is not None
        assert store._reader.execute("SELECT 1").fetchone() == (1,)

    with_store(tmp_path, work)
    with_store(tmp_path, again)
    with sqlite3.connect(tmp_path / "trainyard.db") as raw:
        assert raw.execute("SELECT count(*) FROM job").fetchone() == (2,)
    raw.close()
