"""A page of 100 through REST, from a store of 1,000,000 jobs.

Every filter of benchmarks/store/million.py, each asked on its own kept-alive connection from another process. The jobs
are that builder's, with a whole CustomJob in each, so that answers are rendered as in real life; a thousandth of them
wait for the one that has taken all the room, the others have ended. Built once, kept beside the virtual environment.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from benchmarks.harness import JOBS_PATH, Row, Server, median, quantile, server
from benchmarks.rest_client import at_once, connect, request, run
from benchmarks.store import million

from trainyard.core.clock import rfc3339
from trainyard.core.jobs import Job, Status
from trainyard.core.states import FINAL, JobState
from trainyard.store import Store
from trainyard.stores.sqlite import store as sqlite_store

KEPT = Path(sys.executable).parent.parent / "bench"
PATH = JOBS_PATH.replace("/bench/", f"/{million.MAIN.project}/")
SIZE = 100
ONE_IN = 1000  # waits
AT_ONCE = 512
ROOM_FOR_ONE = ("--replicas", "3", "--runtime", "host")
COMMON_GOAL, ANY_GOAL = "≤ 5", "≤ 25"


def a_spec() -> bytes:
    """A job of ordinary size: two pools, arguments, variables; three replicas, so that one of those that wait runs."""
    container = {
        "imageUri": "europe-docker.pkg.dev/some-project/training/resnet:2026-11-01",
        "command": ["sh", "-c", "exec sleep 3600", "trainer"],
        "args": [f"--{name}=0.001" for name in ("learning-rate", "weight-decay", "momentum", "warm-up")],
        "env": [{"name": f"TRAINER_{n}", "value": f"gs://some-bucket/some/folder/{n}"} for n in range(6)],
    }
    pools = [
        {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": count, "containerSpec": container}
        for count in (1, 2)
    ]
    return json.dumps({"displayName": "template", "jobSpec": {"workerPoolSpecs": pools}}).encode()


def template() -> bytes:
    """The same as the service keeps it."""
    with server(*ROOM_FOR_ONE) as one:
        name = run(at_once(one.port, [request("POST", PATH, a_spec())], 1))[0].json["name"]
        folder = one.data_dir
        job_id = int(name.rsplit("/", 1)[1])

        async def read() -> bytes:
            store = await sqlite_store.open_store(folder, million.WallClock())
            job = store.find(job_id)
            await store.close()
            assert job is not None
            return job.spec

        one.process.terminate()
        one.process.wait()
        return bytes(asyncio.run(read()))


def a_job(number: int, chance: random.Random, spec: bytes) -> Job:
    """The builder's job, ended or (one in a thousand) waiting."""
    job = replace(million.a_job(number, chance), spec=spec)
    end_us = job.create_time_us + 600_000_000
    if number % ONE_IN == 0:
        return replace(job, status=Status(JobState.QUEUED, job.create_time_us))
    if job.status.state in FINAL:
        return job
    return replace(job, status=Status(JobState.SUCCEEDED, end_us, job.create_time_us, end_us))


async def build(folder: Path, jobs: int, spec: bytes) -> None:
    store: Store = await sqlite_store.open_store(folder, million.WallClock())
    chance = random.Random(1)
    for first in range(0, jobs, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, jobs))
        await asyncio.gather(*(store.insert(a_job(number, chance, spec)) for number in numbers))
    await store.close()


def kept(jobs: int) -> Path:
    """The folder of a store of so many jobs, built if it is not there or if anything that shapes it has changed."""
    digest = hashlib.sha256(a_spec())
    migrations = (Path(str(sqlite_store.__file__)).parent / "migrations").glob("*.sql")
    for source in (Path(str(million.__file__)), *sorted(migrations)):
        digest.update(source.read_bytes())
    folder = KEPT / f"{jobs}-jobs-{digest.hexdigest()[:12]}"
    done = folder / "built"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        asyncio.run(build(folder, jobs, template()))
        done.touch()
        print(f"  built {jobs:,} jobs in {time.perf_counter() - began:.0f} s: {folder}", file=sys.stderr, flush=True)
    return folder


def filters(jobs: int, display_name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Common and hard ones, by name."""
    old = million.START_US + jobs // 10 * million.APART_US
    words = {"name": display_name, "old": rfc3339(old), "old_end": rfc3339(old + 3_600_000_000)}
    common = {name: text.format(**words) for name, text in million.COMMON.items()}
    hard = {name: text.format(**words) for name, text in million.HARD.items()}
    return common, {**hard, "state = QUEUED": "state=JOB_STATE_QUEUED"}


async def page_times(one: Server, texts: Mapping[str, str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each answer, by filter; the filters take turns, so that none finds everything warm."""
    packets = {name: request("GET", f"{PATH}?pageSize={SIZE}&filter={quote(text)}") for name, text in texts.items()}
    times: dict[str, list[float]] = {name: [] for name in texts}
    connection = await connect(one.port)
    for _ in range(rounds):
        for name, packet in packets.items():
            answer = await connection.ask(packet)
            if answer.status != 200:
                raise RuntimeError(f"{name}: {answer.body[:300]!r}")
            times[name].append(answer.milliseconds)
    connection.close()
    return times


async def through(one: Server, pages: int) -> tuple[list[float], str, int]:
    """Milliseconds of each page of a walk by page tokens; a display name from its end, and the last page's bytes."""
    connection, token, found, page = await connect(one.port), "", [], {}
    for _ in range(pages):
        answer = await connection.ask(request("GET", f"{PATH}?pageSize={SIZE}&pageToken={token}"))
        found.append(answer.milliseconds)
        page = answer.json
        token = page.get("nextPageToken", "")
        if not token:
            break
    connection.close()
    return found, str(page["customJobs"][0]["displayName"]), len(answer.body)


def worst(times: Mapping[str, list[float]]) -> tuple[float, str]:
    """The largest p99, and the three filters that are slowest, in words."""
    by_p99 = sorted(((quantile(values, 0.99), name) for name, values in times.items()), reverse=True)
    return by_p99[0][0], "slowest: " + ", ".join(f"{name} {p99:.1f}" for p99, name in by_p99[:3])


def measure(quick: bool) -> list[Row]:
    jobs, rounds, pages = (20_000, 5, 20) if quick else (1_000_000, 300, 500)
    with server(*ROOM_FOR_ONE, data_dir=kept(jobs)) as one:
        walk, display_name, size = run(through(one, pages))
        common, hard = filters(jobs, display_name)
        run(page_times(one, common | hard, 1))
        usual, unusual = run(page_times(one, common, rounds)), run(page_times(one, hard, rounds))
        ready, memory = one.ready_seconds, one.memory_mb()
    slowest, which = worst(usual)
    slowest_of_all, which_of_all = worst(usual | unusual)
    plain = usual["none"]
    plain_note = f"fastest {min(plain):.1f} ms, p99 {quantile(plain, 0.99):.1f} ms; {size / 1000:.0f} kB a page"
    return [
        Row(f"page of {SIZE} of {jobs:,} jobs, common filters, slowest p99", slowest, "ms", COMMON_GOAL, {}, which),
        Row("any filter, slowest p99", slowest_of_all, "ms", ANY_GOAL, {}, which_of_all),
        Row("no filter, p50", median(plain), "ms", "", {}, plain_note),
        Row(f"a walk of {len(walk)} pages by token, p99", quantile(walk, 0.99), "ms"),
        Row("server ready over this store", ready, "s", "", {}, f"{memory:.0f} MB after the measurement"),
    ]
