"""What every store must keep. Subclass StoreSuite, say how to open yours, and you have proved it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainyard.core.errors import AlreadyExists, FailedPrecondition, NotFound
from trainyard.core.expressions import And, Not, Or
from trainyard.core.filter_tree import (
    TIME_FIELDS,
    Filter,
    LabelHas,
    LabelIs,
    NameIs,
    NameLike,
    StateIs,
    TimeHas,
    TimeIs,
    matches,
)
from trainyard.core.filters import parse_filter
from trainyard.core.jobs import (
    Change,
    Decision,
    Intent,
    Job,
    Note,
    Problem,
    QueuePlace,
    ReplicaRecord,
    Severity,
    Status,
)
from trainyard.core.names import JobName, OperationName, Scope
from trainyard.core.runs import Cause, Exit
from trainyard.core.states import Event, JobState
from trainyard.store import Narrated, Store, StoredOperation

HERE = Scope("123456789012", "us-central1")
START_US = 1_700_000_000_000_000
_serial = itertools.count(1)


def a_job(id_: int | None = None, *, scope: Scope = HERE, collection: str = "customJobs", **parts: object) -> Job:
    """A queued job, made a second after the one before."""
    serial = next(_serial)
    time_us = START_US + serial * 1_000_000
    job = Job(
        name=JobName(scope, collection, time_us * 1000 if id_ is None else id_),
        create_time_us=time_us,
        display_name=f"job-{serial}",
        labels={},
        spec=b"\x00\xffspec",
        status=Status(JobState.QUEUED, time_us),
    )
    return replace(job, **parts)  # type: ignore[arg-type]  # a builder takes any field


def a_deletion(job: Job) -> StoredOperation:
    """The operation of deleting a job."""
    return StoredOperation(OperationName(job.name.scope, job.name, job.id + 1), "v1", "Delete", 5, 6)


def ended(job: Job) -> Decision:
    """A decision that ends the job."""
    return Decision(job.status).moved(Event.CANCEL_ASKED, 10, "asked").moved(Event.CANCELLED, 11, "gone")


class StoreSuite:
    """One test per promise of `trainyard.store`."""

    keeps_on_disk = True

    async def open(self, folder: Path) -> Store:
        """The keeper on trial, on this folder; opened again after `close` it has what it had."""
        raise NotImplementedError

    def tell(self, folder: Path, story: Callable[[Store], Awaitable[None]]) -> None:
        """Run a story on a fresh store and close it."""

        async def whole() -> None:
            store = await self.open(folder)
            try:
                await story(store)
            finally:
                await store.close()

        asyncio.run(whole())

    def test_a_job_comes_back_as_it_went_in(self, tmp_path: Path) -> None:
        """Every field survives: bytes, Unicode, a NUL, an empty label, the largest id."""
        full = a_job(
            2**63 - 1,
            display_name="naïve 🚂\x00 name",
            labels={"ключ": "wert", "empty": ""},
            spec=bytes(range(256)),
            priority=-3,
            intent=Intent.CANCEL,
            intent_by="ann@example.com",
            intent_time_us=7,
            status=Status(JobState.FAILED, 9, 3, 9, Problem(3, "exit 1\x00"), 2, "x-2", "why", '{"a": 1}'),
        )

        async def story(store: Store) -> None:
            for job in (full, a_job()):
                await store.insert(job)
                assert store.get(job.name) == job
                assert store.find(job.id) == job

        self.tell(tmp_path, story)

    def test_a_taken_id_is_refused(self, tmp_path: Path) -> None:
        """An id is unique over all kinds and scopes; the first job stays as it is."""

        async def story(store: Store) -> None:
            job = a_job()
            await store.insert(job)
            with pytest.raises(AlreadyExists):
                await store.insert(a_job(job.id, collection="nasJobs"))
            assert store.get(job.name) == job
            assert len(store.history(job.name)) == 1

        self.tell(tmp_path, story)

    def test_a_job_is_found_under_its_own_name_only(self, tmp_path: Path) -> None:
        """Another project, location or kind does not see it, by no question."""

        async def story(store: Store) -> None:
            job = a_job()
            await store.insert(job, [Note(1, Severity.INFO, "hello")])
            strangers = [
                JobName(Scope("999999999999", HERE.location), "customJobs", job.id),
                JobName(Scope(HERE.project, "europe-west4"), "customJobs", job.id),
                JobName(HERE, "nasJobs", job.id),
                JobName(HERE, "customJobs", job.id + 1),
            ]
            for name in strangers:
                for ask in (store.get, store.history, store.narration, store.replica_records):
                    with pytest.raises(NotFound, match="does not exist"):
                        ask(name)
                with pytest.raises(NotFound):
                    await store.ask_cancel(name, "eve", 1)
                with pytest.raises(NotFound):
                    await store.delete(name, a_deletion(job))
            assert store.get(job.name) == job

        self.tell(tmp_path, story)

    def test_of_two_who_read_the_same_revision_one_succeeds(self, tmp_path: Path) -> None:
        """A stale commit changes nothing: no status, no history, no note, no record."""

        async def story(store: Store) -> None:
            job = a_job()
            await store.insert(job)
            won = await store.commit(job, Decision(job.status).moved(Event.ADMITTED, 5, "room"))
            assert won == store.get(job.name)
            assert won is not None
            assert won.revision == job.revision + 1
            late = Decision(job.status).moved(Event.FAILED, 6, "late").noted("late", 6)
            assert await store.commit(job, replace(late, records=(a_record(),))) is None
            assert store.get(job.name) == won
            assert [change.why for change in store.history(job.name)] == ["The job was accepted.", "room"]
            assert store.narration(job.name) == store.replica_records(job.name) == ()

        self.tell(tmp_path, story)

    def test_a_cancel_moves_the_guard(self, tmp_path: Path) -> None:
        """A decision made before the cancel was asked is dropped; the next one sees the cancel."""

        async def story(store: Store) -> None:
            job = a_job()
            await store.insert(job)
            asked = await store.ask_cancel(job.name, "ann", 77)
            assert (asked.intent, asked.intent_by, asked.intent_time_us) == (Intent.CANCEL, "ann", 77)
            assert asked == store.get(job.name)
            assert asked.status == job.status
            assert await store.commit(job, Decision(job.status).moved(Event.ADMITTED, 5, "room")) is None
            assert await store.commit(asked, ended(asked)) is not None

        self.tell(tmp_path, story)

    def test_a_finish_moves_the_guard_and_a_cancel_goes_over_it(self, tmp_path: Path) -> None:
        """Asked to finish once, a job is so; asked to end, it ends, and to finish is no more to be asked of it."""

        async def story(store: Store) -> None:
            job = a_job()
            await store.insert(job)
            asked = await store.ask_finish(job.name, "ann", 77)
            assert (asked.intent, asked.intent_by, asked.revision) == (Intent.FINISH, "ann", job.revision + 1)
            assert await store.ask_finish(job.name, "bob", 78) == asked == store.get(job.name)
            assert (await store.ask_cancel(job.name, "bob", 79)).intent is Intent.CANCEL
            assert (await store.ask_finish(job.name, "ann", 80)).intent is Intent.CANCEL

        self.tell(tmp_path, story)

    def test_a_second_cancel_and_a_late_one_change_nothing(self, tmp_path: Path) -> None:
        """Who asked first stays; a final job keeps its intent; neither leaves a hint."""

        async def story(store: Store) -> None:
            first, final = a_job(), a_job()
            await store.insert(first)
            await store.insert(final)
            await store.commit(final, ended(final))
            asked = await store.ask_cancel(first.name, "ann", 1)
            hints: list[int] = []
            store.on_write(lambda job_id, _: hints.append(job_id))
            assert await store.ask_cancel(first.name, "bob", 2) == asked
            assert (await store.ask_cancel(final.name, "bob", 2)).intent is Intent.RUN
            await asyncio.sleep(0)
            assert hints == []

        self.tell(tmp_path, story)

    def test_history_is_complete_and_in_order(self, tmp_path: Path) -> None:
        """The creation and every transition, oldest first, as they were told; clocks that jump do not reorder it."""

        async def story(store: Store) -> None:
            job = a_job()
            await store.insert(job)
            admitted = await store.commit(job, Decision(job.status).moved(Event.ADMITTED, 900, "room"))
            assert admitted is not None
            await store.commit(admitted, ended(admitted))
            assert store.history(job.name) == (
                Change(job.create_time_us, None, JobState.QUEUED, 0, "The job was accepted."),
                Change(900, JobState.QUEUED, JobState.PENDING, 0, "room"),
                Change(10, JobState.PENDING, JobState.CANCELLING, 0, "asked"),
                Change(11, JobState.CANCELLING, JobState.CANCELLED, 0, "gone"),
            )

        self.tell(tmp_path, story)

    def test_narration_counts_from_one_without_a_gap(self, tmp_path: Path) -> None:
        """Over many commits, some of them stale, each job's notes are numbered 1, 2, 3 …; reading resumes anywhere."""

        async def story(store: Store) -> None:
            jobs = [a_job() for _ in range(5)]
            await asyncio.gather(*(store.insert(job, [Note(1, Severity.NOTICE, "note 1")]) for job in jobs))

            async def narrate(job: Job) -> None:
                for number in range(2, 12):
                    decision = Decision(job.status).noted(f"note {number}", number)
                    tries = await asyncio.gather(store.commit(job, decision), store.commit(job, decision))
                    assert [kept is None for kept in tries].count(True) == 1
                    job = store.get(job.name)

            await asyncio.gather(*map(narrate, jobs))
            for job in jobs:
                told = store.narration(job.name)
                assert [line.seq for line in told] == list(range(1, 12))
                assert [line.note.text for line in told] == [f"note {n}" for n in range(1, 12)]
                assert store.narration(job.name, 9) == told[9:]
            assert told[0] == Narrated(1, Note(1, Severity.NOTICE, "note 1"))

        self.tell(tmp_path, story)

    def test_the_first_evidence_of_an_end_stays(self, tmp_path: Path) -> None:
        """Replica records come back whole and in order; the same incarnation told twice is kept once."""
        rich = ReplicaRecord(2, "workerpool1-0", 3, Exit(Cause.SIGNALED, 137, 9, "m", "tail\x00", 1, 2, 3, 4.5, True))

        async def story(store: Store) -> None:
            job = a_job()
            await store.insert(job)
            later = Exit(Cause.LOST, message="later")
            first = replace(Decision(job.status), records=(rich, a_record(), replace(rich, exit=later)))
            kept = await store.commit(job, first)
            assert kept is not None
            again = (replace(rich, exit=later), a_record(incarnation=1))
            await store.commit(kept, replace(Decision(job.status), records=again))
            assert store.replica_records(job.name) == (rich, a_record(), a_record(incarnation=1))

        self.tell(tmp_path, story)

    def test_every_write_of_the_desk_leaves_a_hint(self, tmp_path: Path) -> None:
        """Insert (with the job), cancel and delete hint once each, to every listener, even where the caller is gone."""

        async def story(store: Store) -> None:
            hints: list[tuple[int, Job | None]] = []
            other: list[tuple[int, Job | None]] = []
            store.on_write(lambda *hint: hints.append(hint))
            store.on_write(lambda *hint: other.append(hint))
            job = made = a_job()
            await store.insert(job)
            await store.ask_cancel(job.name, "ann", 1)
            job = store.get(job.name)
            await store.commit(job, ended(job))
            await store.delete(job.name, a_deletion(job))
            assert hints == other == [(job.id, made), (job.id, None), (job.id, None)]
            gone_away = a_job()
            task = asyncio.create_task(store.insert(gone_away))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await store.insert(a_job())
            assert (gone_away.id, gone_away) in hints
            assert store.get(gone_away.name) == gone_away

        self.tell(tmp_path, story)

    def test_only_a_final_job_can_be_deleted(self, tmp_path: Path) -> None:
        """Otherwise FailedPrecondition, and the job, its history and the operations are as before."""

        async def story(store: Store) -> None:
            job = a_job()
            await store.insert(job)
            with pytest.raises(FailedPrecondition, match="cancel it first"):
                await store.delete(job.name, a_deletion(job))
            assert store.get(job.name) == job
            assert store.removals() == ()
            with pytest.raises(NotFound):
                store.operation(a_deletion(job).name)

        self.tell(tmp_path, story)

    def test_a_taken_operation_id_stops_the_deletion(self, tmp_path: Path) -> None:
        """AlreadyExists, the job is still there and the operation is still the other's."""

        async def story(store: Store) -> None:
            first, second = a_job(), a_job()
            for job in (first, second):
                await store.insert(job)
                await store.commit(job, ended(job))
            await store.delete(first.name, a_deletion(first))
            taken = replace(a_deletion(second), name=replace(a_deletion(second).name, id=first.id + 1))
            with pytest.raises(AlreadyExists):
                await store.delete(second.name, taken)
            assert store.get(second.name).is_final
            assert store.operations(HERE, None, 10, None) == (a_deletion(first),)
            assert store.removals() == (first.id,)

        self.tell(tmp_path, story)

    def test_a_deleted_job_leaves_its_operation_and_a_removal(self, tmp_path: Path) -> None:
        """Nothing else: no page shows it, no question finds it, and the removal goes when its files are gone."""

        async def story(store: Store) -> None:
            job = a_job(labels={"env": "prod"})
            await store.insert(job, [Note(1, Severity.INFO, "hello")])
            await store.commit(job, replace(ended(job), records=(a_record(),)))
            deletion = a_deletion(job)
            await store.delete(job.name, deletion)
            with pytest.raises(NotFound):
                store.get(job.name)
            assert store.find(job.id) is None
            assert await store.commit(job, ended(job)) is None
            assert store.operation(deletion.name) == deletion
            for text in ("", "labels.env=prod", f'display_name="{job.display_name}"', "state=JOB_STATE_CANCELLED"):
                assert (await store.page(HERE, "customJobs", parse_filter(text), 10, None)).jobs == ()
            assert store.removals() == (job.id,)
            await store.removed(job.id)
            await store.removed(job.id)
            assert store.removals() == ()

        self.tell(tmp_path, story)

    def test_operations_are_listed_newest_first_and_forgotten_once(self, tmp_path: Path) -> None:
        """By job and by scope, in pages; found with or without the job's name; a wrong scope or job finds nothing."""

        async def story(store: Store) -> None:
            jobs = [a_job() for _ in range(3)]
            for job in jobs:
                await store.insert(job)
                await store.commit(job, ended(job))
                await store.delete(job.name, a_deletion(job))
            made = [a_deletion(job) for job in reversed(jobs)]
            assert store.operations(HERE, None, 10, None) == tuple(made)
            assert store.operations(HERE, None, 2, made[0].name.id) == tuple(made[1:])
            assert store.operations(HERE, jobs[1].name, 10, None) == (made[1],)
            assert store.operations(Scope("1", "x"), jobs[1].name, 10, None) == ()
            short = OperationName(HERE, None, made[0].name.id)
            assert store.operation(short) == made[0]
            for name in (
                replace(short, id=1),
                replace(short, scope=Scope("1", "x")),
                replace(short, job=jobs[0].name),
            ):
                with pytest.raises(NotFound):
                    store.operation(name)
                with pytest.raises(NotFound):
                    await store.delete_operation(name)
            await store.delete_operation(short)
            with pytest.raises(NotFound):
                await store.delete_operation(short)

        self.tell(tmp_path, story)

    def test_live_is_every_job_that_is_not_final_oldest_first(self, tmp_path: Path) -> None:
        """Whatever the state: the controller takes up exactly these."""

        async def story(store: Store) -> None:
            jobs = [a_job(status=Status(state, 1)) for state in JobState]
            for job in reversed(jobs):
                await store.insert(job)
            assert store.live() == tuple(job for job in jobs if not job.is_final)

        self.tell(tmp_path, story)

    def test_the_queue_is_what_was_published_last(self, tmp_path: Path) -> None:
        """A place not in the newest publication is gone."""

        async def story(store: Store) -> None:
            first, second = a_job(), a_job()
            place = QueuePlace(1, 2, "no room", 5)
            store.publish_queue({first.id: place})
            assert store.queue_place(first.name) == place
            store.publish_queue({second.id: place})
            assert store.queue_place(first.name) is None

        self.tell(tmp_path, story)

    def test_pages_hold_every_job_once_while_others_come_and_go(self, tmp_path: Path) -> None:
        """25 jobs by 10: 10, 10, 5, newest first; jobs inserted or deleted meanwhile move nothing."""

        async def story(store: Store) -> None:
            jobs = [a_job() for _ in range(25)]
            for job in (*jobs, a_job(scope=Scope("5", "x")), a_job(collection="nasJobs")):
                await store.insert(job)
            seen: list[Job] = []
            after: int | None = None
            sizes = []
            while True:
                page = await store.page(HERE, "customJobs", None, 10, after)
                seen += page.jobs
                sizes.append(len(page.jobs))
                await store.insert(a_job())
                if page.next_after is None:
                    break
                after = page.next_after
            assert sizes == [10, 10, 5]
            assert seen == jobs[::-1]
            exact = await store.page(Scope("5", "x"), "customJobs", None, 1, None)
            assert exact.next_after is None

        self.tell(tmp_path, story)

    def test_a_search_is_the_predicate(self, tmp_path: Path) -> None:
        """For any filter the pages hold exactly the jobs that match, newest first, in any page size."""
        jobs = population()
        elsewhere = [
            replace(job, name=JobName(Scope(HERE.project, "europe-west4"), "customJobs", job.id + 3)) for job in jobs
        ]

        async def story(store: Store) -> None:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*map(store.insert, [*jobs, *elsewhere]))

            @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
            @given(tree=TREES, size=st.sampled_from([1, 7, 100, 1000]))
            def cases(tree: Filter, size: int) -> None:
                found = asyncio.run_coroutine_threadsafe(everything(store, tree, size), loop).result(30)
                assert found == [job for job in reversed(jobs) if matches(tree, job)]

            await asyncio.to_thread(cases)

        self.tell(tmp_path, story)

    def test_a_clock_that_jumped_hides_no_job(self, tmp_path: Path) -> None:
        """Whether an id ran ahead of its creation time or lagged, ranges of time find the job, also after a restart."""
        hour = 3_600_000_000
        jobs = [
            a_job((START_US + place) * 1000, create_time_us=START_US + time)
            for place, time in ((1, 1), (2, 2 - hour), (3, 3 + hour), (4, 4))
        ]

        async def insert(store: Store) -> None:
            for job in jobs:
                await store.insert(job)

        async def search(store: Store) -> None:
            for job, op in itertools.product(jobs, ("=", "<", "<=", ">", ">=")):
                for near in (-1, 0, 1):
                    tree = TimeIs("create_time", op, job.create_time_us + near)
                    assert await everything(store, tree, 2) == [j for j in reversed(jobs) if matches(tree, j)]

        if self.keeps_on_disk:
            self.tell(tmp_path, insert)
            self.tell(tmp_path, search)

        async def both(store: Store) -> None:
            await insert(store)
            await search(store)

        self.tell(tmp_path / "other", both)

    def test_what_was_acknowledged_is_there_after_a_reopening(self, tmp_path: Path) -> None:
        """Jobs, history, notes, records, operations, removals and the largest id; not the queue, not the listeners."""
        if not self.keeps_on_disk:
            pytest.skip("this keeper has no disk; its snapshots are tested on their own")
        kept, dropped = a_job(labels={"a": "b"}), a_job()

        async def first(store: Store) -> None:
            await store.insert(kept, [Note(1, Severity.INFO, "hello")])
            await store.insert(dropped)
            await store.commit(dropped, ended(dropped))
            await store.delete(dropped.name, a_deletion(dropped))
            store.publish_queue({kept.id: QueuePlace(1, 1, "")})

        async def second(store: Store) -> None:
            assert store.get(kept.name) == kept
            assert len(store.history(kept.name)) == len(store.narration(kept.name)) == 1
            assert store.removals() == (dropped.id,)
            assert store.largest_id == dropped.id + 1
            assert store.queue_place(kept.name) is None
            await store.removed(dropped.id)
            await store.delete_operation(a_deletion(dropped).name)

        async def third(store: Store) -> None:
            assert store.largest_id == dropped.id + 1
            assert store.removals() == ()

        for story in (first, second, third):
            self.tell(tmp_path, story)


def a_record(incarnation: int = 0) -> ReplicaRecord:
    """A replica that ended well."""
    return ReplicaRecord(1, "workerpool0-0", incarnation, Exit(Cause.EXITED, 0))


async def everything(store: Store, tree: Filter | None, size: int) -> list[Job]:
    """All pages of a search in HERE, joined."""
    found: list[Job] = []
    after: int | None = None
    while True:
        page = await store.page(HERE, "customJobs", tree, size, after)
        assert len(page.jobs) <= size
        found += page.jobs
        if page.next_after is None:
            return found
        after = page.next_after


# Few values, so that they meet; characters at the borders of what text functions get wrong.
_CHARACTERS = ["a", "b", "é", "*", "%", "_", "\\", "\x00", "\ud7ff", "\ue000", "\U0010ffff"]
_STATES = [JobState.SUCCEEDED] * 5 + list(JobState)


def population() -> list[Job]:
    """Jobs of every make, three to a microsecond, always the same."""
    chance = Random(7)
    names = ["", *_CHARACTERS, *("".join(chance.choices(_CHARACTERS, k=chance.randint(2, 4))) for _ in range(110))]
    jobs = []
    for number, name in enumerate(names):
        time_us = START_US + number // 3
        times = [chance.choice([None, START_US + chance.randrange(40)]) for _ in range(2)]
        labels = {key: chance.choice(["", "v", "w"]) for key in ("k", "ключ", "a.b") if chance.random() < 0.6}
        status = Status(chance.choice(_STATES), START_US + chance.randrange(40), *times)
        job_id = time_us * 1000 + number % 3
        jobs.append(a_job(job_id, create_time_us=time_us, display_name=name, labels=labels, status=status))
    return jobs


_TEXTS = st.text(st.sampled_from(_CHARACTERS), max_size=3)
_TIMES = st.integers(START_US - 1, START_US + 41) | st.sampled_from([-(10**17), 10**18])
_FIELDS = st.sampled_from(TIME_FIELDS)
_KEYS = st.sampled_from(["k", "ключ", "a.b", "none"])
_PARTS = st.sampled_from([job.display_name for job in population() if len(job.display_name) > 2])
_LEAVES: st.SearchStrategy[Filter] = st.one_of(
    st.builds(lambda part: NameLike(("", part, "")), _PARTS),
    st.builds(lambda name, cut, piece: NameLike((name[:cut] + piece, name[cut:])), _PARTS, st.integers(0, 1), _TEXTS),
    st.builds(NameIs, _TEXTS),
    st.builds(NameLike, st.lists(_TEXTS, min_size=2, max_size=4).map(tuple)),
    st.builds(StateIs, st.integers(0, 11)),
    st.builds(TimeIs, _FIELDS, st.sampled_from(["=", "<", "<=", ">", ">="]), _TIMES),
    st.builds(TimeHas, _FIELDS),
    st.builds(LabelIs, _KEYS, st.sampled_from(["", "v", "w", "none"])),
    st.builds(LabelHas, _KEYS),
)
# What people write most: several things at once, each of which an index could answer.
_COMMON: st.SearchStrategy[Filter] = st.one_of(
    st.builds(LabelIs, st.sampled_from(["k", "ключ"]), st.sampled_from(["", "v", "w"])),
    st.builds(StateIs, st.integers(3, 5)),
    st.builds(lambda first: NameLike((first, "")), st.sampled_from(_CHARACTERS)),
    st.builds(TimeIs, st.just("create_time"), st.sampled_from(["<", ">"]), st.integers(START_US, START_US + 40)),
)
_TOGETHER = st.builds(And, st.lists(_COMMON, min_size=2, max_size=3).map(tuple))
TREES: st.SearchStrategy[Filter] = (
    _LEAVES
    | _TOGETHER
    | st.builds(Not, _LEAVES | _TOGETHER)
    | st.recursive(
        _LEAVES,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )
)
