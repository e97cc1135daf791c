"""The store at one moment, for readers that look at many jobs: one suite over every store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import test_memory_store
import test_sqlite_store
from store_suite import HERE, StoreSuite, a_deletion, a_job, ended

from trainyard.core.filter_tree import matches
from trainyard.core.filters import parse_filter
from trainyard.core.jobs import Decision, Job, Problem, ReplicaRecord, Status
from trainyard.core.names import Scope
from trainyard.core.runs import Cause, Exit
from trainyard.core.states import Event, JobState
from trainyard.store import COLUMNS, Among, Store

KEEPERS = {"memory": test_memory_store.TestMemoryStore(), "sqlite": test_sqlite_store.TestSqliteStore()}
ALL = Among(HERE, "customJobs")
ELSEWHERE = Scope(HERE.project, "europe-west4")
over_every_store = pytest.mark.parametrize("suite", KEEPERS.values(), ids=KEEPERS)


def flat(parts: Iterator[Sequence[Any]]) -> list[Any]:
    return list(chain.from_iterable(parts))


def mixed(count: int) -> list[Job]:
    """Jobs in three states, some with labels, some failed, two names in turn."""
    states = (JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED)
    jobs = []
    for number in range(count):
        job = a_job(labels={"team": f"t{number % 3}"} if number % 2 else {}, display_name=f"n{number % 2}")
        state = states[number % 3]
        problem = Problem(3, "it's wrong") if state is JobState.FAILED else None
        end_us = None if state is JobState.QUEUED else job.create_time_us + 7
        status = Status(state, job.create_time_us + 5, job.create_time_us + 1, end_us, problem)
        jobs.append(replace(job, status=status))
    return jobs


async def fill(store: Store, jobs: Iterable[Job]) -> None:
    for job in jobs:
        await store.insert(job)


@over_every_store
def test_columns_are_those_of_the_jobs(suite: StoreSuite, tmp_path: Path) -> None:
    """Every column of every job, newest first, in parts; only of the scope and kind asked for."""

    async def story(store: Store) -> None:
        jobs = mixed(150)
        await fill(store, [*jobs, a_job(scope=ELSEWHERE), a_job(collection="nasJobs")])
        view = store.view()
        names = tuple(COLUMNS)
        expected = [tuple(COLUMNS[name](job) for name in names) for job in reversed(jobs)]
        assert flat(view.columns(ALL, names)) == expected
        assert flat(view.columns(ALL, ["state", "id"])) == [(row[1], row[0]) for row in expected]
        for asked in (["state"], ["display_name"], ["id", "display_name"], ["create_time_us"], list(names)):
            in_any = flat(view.columns(ALL, asked, in_order=False))
            assert sorted(in_any, key=repr) == sorted(flat(view.columns(ALL, asked)), key=repr)
        assert flat(view.jobs(ALL)) == list(reversed(jobs))
        assert view.scopes("customJobs") == (ELSEWHERE, HERE)
        assert view.find(jobs[3].id) == jobs[3]
        assert view.find(5) is None
        assert flat(view.columns(Among(Scope("1", "nowhere"), "customJobs"), ["id"])) == []
        assert flat(view.tally(Among(Scope("1", "nowhere"), "customJobs"), ["id"])) == []
        view.close()
        view.close()

    suite.tell(tmp_path, story)


@over_every_store
@pytest.mark.parametrize(
    "text",
    [
        "state=JOB_STATE_FAILED",
        'display_name="n1"',
        "labels.team=t1",
        "state=JOB_STATE_QUEUED labels.team=t0",
        'create_time<"2001-01-01T00:00:00Z" OR display_name="n0"',
        "NOT labels.team:*",
    ],
)
def test_a_filter_chooses_the_jobs(suite: StoreSuite, tmp_path: Path, text: str) -> None:
    """Columns, whole jobs and tallies are of exactly the jobs that the filter's predicate is true for."""
    tree = parse_filter(text)
    assert tree is not None

    async def story(store: Store) -> None:
        jobs = mixed(200)
        await fill(store, jobs)
        wanted = [job for job in reversed(jobs) if matches(tree, job)]
        assert wanted
        view, among = store.view(), Among(HERE, "customJobs", tree)
        assert flat(view.jobs(among)) == wanted
        assert flat(view.columns(among, ["id", "labels"])) == [(job.id, COLUMNS["labels"](job)) for job in wanted]
        counted = {row[:-1]: row[-1] for row in flat(view.tally(among, ["display_name", "state"]))}
        assert sum(counted.values()) == len(wanted)
        assert counted == {
            key: sum((job.display_name, int(job.status.state)) == key for job in wanted)
            for key in {(job.display_name, int(job.status.state)) for job in wanted}
        }
        one = replace(among, id=wanted[0].id)
        assert flat(view.columns(one, ["id"])) == [(wanted[0].id,)]
        assert flat(view.tally(one, ["id"])) == [(wanted[0].id, 1)]
        other = next(job for job in jobs if not matches(tree, job))
        assert flat(view.jobs(replace(among, id=other.id))) == []
        view.close()

    suite.tell(tmp_path, story)


@over_every_store
def test_a_view_is_one_moment(suite: StoreSuite, tmp_path: Path) -> None:
    """What is written after a view was opened is not in it, whoever reads on; a new view has it."""

    async def story(store: Store) -> None:
        jobs = mixed(70)
        await fill(store, jobs)
        view = store.view()
        started = view.columns(ALL, ["id", "state"])
        first = next(started)
        await fill(store, [a_job()])
        await store.commit(jobs[0], ended(jobs[0]))
        await store.delete(jobs[1].name, a_deletion(jobs[1]))
        rest: list[Any] = []
        reader = Thread(target=lambda: rest.extend(flat(started)))
        reader.start()
        await asyncio.to_thread(reader.join)
        assert [*first, *rest] == [(job.id, int(job.status.state)) for job in reversed(jobs)]
        assert view.find(jobs[1].id) == jobs[1]
        view.close()
        later = store.view()
        assert later.find(jobs[1].id) is None
        assert len(flat(later.columns(ALL, ["id"]))) == 70
        later.close()

    suite.tell(tmp_path, story)


@over_every_store
def test_what_is_told_of_many_jobs(suite: StoreSuite, tmp_path: Path) -> None:
    """History and the replicas' ends come with the job's id, in the order of the single job's."""

    async def story(store: Store) -> None:
        jobs = [a_job() for _ in range(3)]
        await fill(store, jobs)
        record = ReplicaRecord(1, "workerpool0-0", 0, Exit(Cause.EXITED, 3, peak_memory_bytes=5))
        decision = Decision(jobs[1].status, records=(record,)).moved(Event.ADMITTED, 9, "there is room")
        assert await store.commit(jobs[1], decision)
        view = store.view()
        for told, of_one in ((view.changes, store.history), (view.replica_records, store.replica_records)):
            expected = [(job.id, each) for job in reversed(jobs) for each in of_one(job.name)]
            assert flat(told(ALL)) == expected
            assert flat(told(replace(ALL, id=jobs[1].id))) == [pair for pair in expected if pair[0] == jobs[1].id]
        view.close()

    suite.tell(tmp_path, story)


def test_views_of_a_file_share_few_connections(tmp_path: Path) -> None:
    """Many views at a time, opened and closed again, leave no connection behind when the store closes."""

    async def story(store: Store) -> None:
        await fill(store, mixed(5))
        views = [store.view() for _ in range(9)]
        assert all(len(flat(view.columns(ALL, ["id"]))) == 5 for view in views)
        for view in views[:-1]:
            view.close()
        with pytest.raises(ValueError, match="closed"):
            views[0].find(1)
        await store.close()
        assert len(flat(views[-1].columns(ALL, ["id"]))) == 5
        views[-1].close()

    KEEPERS["sqlite"].tell(tmp_path, story)


def test_tallies_agree_between_stores(tmp_path: Path) -> None:
    """Whatever is counted together, every store counts the same."""
    jobs, found = mixed(30), []
    asked = [["state"], ["labels", "state"], ["error_code", "error_message"], ["spec", "display_name"], list(COLUMNS)]

    async def story(store: Store) -> None:
        await fill(store, jobs)
        view = store.view()
        found.append([sorted(flat(view.tally(ALL, names)), key=repr) for names in asked])
        view.close()

    for name, suite in KEEPERS.items():
        suite.tell(tmp_path / name, story)
    assert found[0] == found[1]
    assert [sum(row[-1] for row in rows) for rows in found[0]] == [30] * len(asked)
