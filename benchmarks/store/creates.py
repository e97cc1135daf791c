"""Durable creates and commits a second, beside plain sqlite3 with a commit for each.

Both sides write the same rows (job, detail, body of 1.9 kB, three labels, a line of history) with WAL and
synchronous=FULL on the same disk in the same run. Goal: 10,000 creates and 4,000 commits a second at 64 callers.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from trainyard.core.jobs import Decision, Job, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.states import Event, JobState
from trainyard.stores.sqlite import grams
from trainyard.stores.sqlite.conditions import Bounds
from trainyard.stores.sqlite.faults import DATABASE
from trainyard.stores.sqlite.files import open_writer
from trainyard.stores.sqlite.store import open_store
from trainyard.stores.sqlite.writes import Writes

HERE = Scope("123456789012", "us-central1")
START_US = 1_700_000_000_000_000
JOBS = 10_000
CALLERS = (1, 8, 64, 256)


class WallClock:
    """The real clock."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    def steady_us(self) -> int:
        """Microseconds since an unknown moment."""
        return time.monotonic_ns() // 1000


def a_job(number: int) -> Job:
    time_us = START_US + number
    labels = {"team": f"t{number % 50}", "env": "prod", "owner": f"o{number % 1000}"}
    status = Status(JobState.QUEUED, time_us)
    return Job(JobName(HERE, "customJobs", time_us * 1000), time_us, f"job-{number}", labels, os.urandom(1900), status)


async def shared(callers: int, jobs: Iterable[Job], call: Callable[[Job], Awaitable[object]]) -> list[float]:
    """Milliseconds of each call, with so many callers at once."""
    waiting, times = iter(jobs), []

    async def caller() -> None:
        for job in waiting:
            started = time.perf_counter()
            await call(job)
            times.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return times


def line(name: str, count: int, seconds: float, times: list[float]) -> None:
    cuts = statistics.quantiles(times, n=100)
    print(f"{name:44}{count / seconds:10,.0f}/s   p50 {cuts[49]:7.2f} ms   p99 {cuts[98]:7.2f} ms")


async def ours(callers: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        store = await open_store(Path(scratch), WallClock())
        jobs = [a_job(number) for number in range(count)]
        started = time.perf_counter()
        times = await shared(callers, jobs, store.insert)
        line(f"creates, {callers} callers", count, time.perf_counter() - started, times)

        def admit(job: Job) -> Awaitable[object]:
            decision = Decision(job.status).moved(Event.ADMITTED, 5, "there is room").noted("starting", 5)
            return store.commit(job, decision)

        started = time.perf_counter()
        times = await shared(callers, jobs, admit)
        line(f"commits, {callers} callers", count, time.perf_counter() - started, times)
        times = []
        for job in jobs[:2000]:
            started = time.perf_counter()
            store.get(job.name)
            times.append((time.perf_counter() - started) * 1000)
        line("gets, one after the other", len(times), sum(times) / 1000, times)
        await store.close()


def plain(count: int) -> None:
    """The peer: the same statements, one thread, one commit each, no event loop."""
    with tempfile.TemporaryDirectory() as scratch:
        connection, writes, times = open_writer(Path(scratch) / DATABASE, WallClock()), Writes(Bounds(), grams=True), []
        grams.prepare(connection)
        for number in range(count):
            job = a_job(number)
            started = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            writes.insert(job, ())(connection)
            connection.execute("COMMIT")
            times.append((time.perf_counter() - started) * 1000)
        line("creates, plain sqlite3, commit each", count, sum(times) / 1000, times)
        assert connection.execute("SELECT count(*) FROM job").fetchone()[0] == count
        connection.close()


def main() -> None:
    versions = f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    print(f"{platform.platform()}, {os.cpu_count()} cores, {versions}")
    plain(3000)
    for callers in CALLERS:
        asyncio.run(ours(callers, JOBS if callers > 1 else 3000))


if __name__ == "__main__":
    main()
