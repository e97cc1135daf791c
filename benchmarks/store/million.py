"""How long a page of 100 takes in a store of 1,000,000 jobs, by filter; `--keep DIR` builds once and measures again.

Goal: p99 of any filter at most 25 ms, of common ones at most 5 ms. A search may answer with a short page and a token
(AIP-158): `pages` says how many calls it took until 100 jobs were found or the list ended, `all` how long they took
together. `first` is the first call, before SQLite's own cache has seen any of it; p50 and p99 are of the others.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from trainyard.core.clock import rfc3339
from trainyard.core.filters import parse_filter
from trainyard.core.jobs import Job, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.states import JobState
from trainyard.store import Store
from trainyard.stores.sqlite.store import open_store

MAIN = Scope("123456789012", "us-central1")
OTHERS = [Scope(f"9000000000{n:02d}", "us-central1") for n in range(9)]
START_US = 1_700_000_000_000_000
APART_US = 30_000_000
LIVE = [JobState.QUEUED, JobState.PENDING, JobState.RUNNING]
MODELS = ["resnet", "bert", "lightgbm", "vit", "gpt", "unet", "wav2vec", "dlrm"]
COMMON = {
    "none": "",
    "state = SUCCEEDED": "state=JOB_STATE_SUCCEEDED",
    "state = RUNNING": "state=JOB_STATE_RUNNING",
    "state != FAILED": "state!=JOB_STATE_FAILED",
    "name exact": 'display_name="{name}"',
    "name prefix, many": 'display_name:"train-bert-*"',
    "name prefix, few": 'display_name:"train-gpt-6000*"',
    "env = prod": "labels.env=prod",
    "owner (0.1 %)": "labels.owner=o77",
    "env = prod, RUNNING": "labels.env=prod state=JOB_STATE_RUNNING",
    "created in an hour, years ago": 'create_time>"{old}" create_time<"{old_end}"',
}
HARD = {
    "team, RUNNING": "labels.team=t7 state=JOB_STATE_RUNNING",
    "owner, RUNNING (few)": "labels.owner=o77 state=JOB_STATE_RUNNING",
    "team, owner (few)": "labels.team=t7 labels.owner=o77",
    "env, team, PENDING": "labels.env=dev labels.team=t7 state=JOB_STATE_PENDING",
    "label nobody has": "labels.nope=1",
    "label key nobody has": "labels.nope:*",
    "three states of live jobs": "state=JOB_STATE_QUEUED OR state=JOB_STATE_PENDING OR state=JOB_STATE_RUNNING",
    "name contains": 'display_name:"*bert*"',
    "name contains, 1 hit": 'display_name:"*99123*"',
    "name contains, no hit": 'display_name:"*nowhere*"',
    "name suffix, few": 'display_name:"*-123456"',
    "two letters, no hit": 'display_name:"*zz*"',
    "not env, not SUCCEEDED": "-labels.env:* state!=JOB_STATE_SUCCEEDED",
    "started before all": 'start_time<"2001-01-01T00:00:00Z"',
    "team or a name": 'labels.team=t7 OR display_name="x"',
    "no team t7 and updated long ago": 'NOT labels.team=t7 update_time<"2001-01-01T00:00:00Z"',
}


class WallClock:
    """The real clock."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    def steady_us(self) -> int:
        """Microseconds since an unknown moment."""
        return time.monotonic_ns() // 1000


def a_job(number: int, chance: random.Random) -> Job:
    time_us = START_US + number * APART_US
    live = chance.random() < 0.1
    state = chance.choice(LIVE) if live else chance.choices([JobState.SUCCEEDED, JobState.FAILED], [8, 2])[0]
    end_us = None if live else time_us + 600_000_000
    labels = {
        "team": f"t{chance.randrange(50)}",
        "env": chance.choice(["prod", "dev", "test"]),
        "owner": f"o{chance.randrange(1000)}",
    }
    return Job(
        JobName(MAIN if chance.random() < 0.7 else chance.choice(OTHERS), "customJobs", time_us * 1000),
        time_us,
        f"train-{chance.choice(MODELS)}-{number}",
        labels,
        chance.randbytes(1900),
        Status(state, end_us or time_us, time_us, end_us),
    )


async def build(store: Store, jobs: int) -> None:
    chance = random.Random(1)
    for first in range(0, jobs, 512):
        await asyncio.gather(*(store.insert(a_job(n, chance)) for n in range(first, min(first + 512, jobs))))


async def measure(store: Store, text: str, rounds: int) -> tuple[list[float], int, int, float]:
    """Milliseconds of each call, jobs found, calls for a full page, milliseconds for all of them."""
    tree, times = parse_filter(text), []
    for _ in range(rounds):
        started = time.perf_counter()
        await store.page(MAIN, "customJobs", tree, 100, None)
        times.append((time.perf_counter() - started) * 1000)
    found, calls, after, started = 0, 0, None, time.perf_counter()
    while found < 100:
        page = await store.page(MAIN, "customJobs", tree, 100, after)
        found, calls, after = found + len(page.jobs), calls + 1, page.next_after
        if after is None:
            break
    return times, found, calls, (time.perf_counter() - started) * 1000


async def report(folder: Path, jobs: int, rounds: int) -> None:
    store = await open_store(folder, WallClock())
    try:
        if not store.largest_id:
            started = time.perf_counter()
            await build(store, jobs)
            print(f"built {jobs:,} jobs in {time.perf_counter() - started:.0f} s")
        old = START_US + 100_000 * APART_US
        some = (await store.page(MAIN, "customJobs", None, 1, (START_US + 400_000 * APART_US) * 1000)).jobs[0]
        named = {"name": some.display_name, "old": rfc3339(old), "old_end": rfc3339(old + 3_600_000_000)}
        print(f"{'page of 100':34}{'p50 ms':>9}{'p99 ms':>9}{'first':>9}{'found':>7}{'pages':>7}{'all ms':>9}")
        for name, text in (COMMON | HARD).items():
            times, found, calls, whole = await measure(store, text.format(**named), rounds)
            first, *times = times
            p99 = statistics.quantiles(times, n=100)[98]
            print(f"{name:34}{statistics.median(times):9.2f}{p99:9.2f}{first:9.2f}{found:7}{calls:7}{whole:9.1f}")
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="build here once and use it again")
    options = parser.parse_args()
    versions = f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    print(f"{platform.platform()}, {os.cpu_count()} cores, {versions}")
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(report(options.keep or Path(scratch), options.jobs, options.rounds))


if __name__ == "__main__":
    main()
