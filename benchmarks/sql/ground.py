"""A store of many jobs in ten projects of equal size, whole CustomJobs of a few dozen shapes; built once and kept."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import inspect
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.list_page import KEPT
from benchmarks.store.million import APART_US, MODELS, START_US, WallClock

from trainyard.contract import codec
from trainyard.contract.pool import message_class
from trainyard.core.clock import rfc3339
from trainyard.core.jobs import Job, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.states import JobState
from trainyard.service.wire import part_of
from trainyard.stores.sqlite import store as sqlite_store
from trainyard.stores.sqlite.faults import DATABASE

PROJECTS = [f"{810_000_000_000 + number}" for number in range(10)]
LOCATION = "us-central1"
MACHINES = ["n1-standard-4", "n1-standard-8", "a2-highgpu-1g", "g2-standard-4", "e2-standard-4", "n2-highmem-8"]
STATES = [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]
AT_ONCE = 512
_EXPORT = """
SELECT job.id, place.project, job.display_name, job.state, job.create_time_us, b.spec
FROM place JOIN job ON job.place = place.id JOIN job_body AS b ON b.id = job.id
"""


def shapes() -> list[Any]:
    """CustomJob messages of ordinary size that differ in machine, image and learning rate."""
    cls: Any = message_class("google.cloud.aiplatform.v1beta1.CustomJob")
    made = []
    for number in range(48):
        container = {
            "imageUri": f"europe-docker.pkg.dev/some-project/training/{MODELS[number % len(MODELS)]}:2026-11-01",
            "command": ["python", "-m", "trainer.task"],
            "args": [f"--{name}=0.{number:03}" for name in ("learning-rate", "weight-decay", "momentum", "warm-up")],
            "env": [{"name": f"TRAINER_{n}", "value": f"gs://some-bucket/some/folder/{n}"} for n in range(6)],
        }
        machine = {"machineType": MACHINES[number % len(MACHINES)]}
        pools = [{"machineSpec": machine, "replicaCount": str(count), "containerSpec": container} for count in (1, 2)]
        made.append(codec.parse(cls, {"jobSpec": {"workerPoolSpecs": pools}}))
    return made


def a_job(number: int, chance: random.Random, messages: list[Any]) -> Job:
    """Job `number`: projects take turns, and each of them has the same names."""
    made_us = START_US + number * APART_US
    end_us = made_us + chance.randrange(60, 7200) * 1_000_000
    name = f"train-{MODELS[number // 10 % len(MODELS)]}-{number // 10}"
    labels = {"team": f"t{chance.randrange(50)}", "env": chance.choice(["prod", "dev", "test"])}
    message = message_class("google.cloud.aiplatform.v1beta1.CustomJob")(display_name=name, labels=labels)
    message.MergeFrom(chance.choice(messages))
    state = chance.choices(STATES, [80, 15, 5])[0]
    return Job(
        JobName(Scope(PROJECTS[number % len(PROJECTS)], LOCATION), "customJobs", made_us * 1000),
        made_us,
        name,
        labels,
        message.SerializeToString(deterministic=True),
        Status(state, end_us, made_us + 5_000_000, end_us, attempt=1),
    )


async def build(folder: Path, jobs: int) -> None:
    """Fill a store."""
    store = await sqlite_store.open_store(folder, WallClock())
    chance, messages = random.Random(1), shapes()
    for first in range(0, jobs, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, jobs))
        await asyncio.gather(*(store.insert(a_job(number, chance, messages)) for number in numbers))
    await store.close()


def kept(jobs: int) -> Path:
    """The folder of a store of so many jobs, built where it is not there or what shapes it has changed."""
    digest = hashlib.sha256(inspect.getsource(a_job).encode() + inspect.getsource(shapes).encode())
    for source in sorted((Path(str(sqlite_store.__file__)).parent / "migrations").glob("*.sql")):
        digest.update(source.read_bytes())
    folder = KEPT / f"sql-{jobs}-jobs-{digest.hexdigest()[:12]}"
    if not (folder / "built").exists():
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        asyncio.run(build(folder, jobs))
        (folder / "built").touch()
        print(f"  built {jobs:,} jobs in {time.perf_counter() - began:.0f} s: {folder}", file=sys.stderr, flush=True)
    return folder


def export(folder: Path) -> Path:
    """The jobs of a kept store as CSV, what a warehouse would be loaded with; made once."""
    path = folder / "export.csv"
    if path.exists():
        return path
    texts: dict[bytes, str] = {}
    cls: Any = message_class("google.cloud.aiplatform.v1beta1.CustomJob")
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "projectsId", "displayName", "state", "createTime", "jobSpec"])
        connection = sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)
        for id_, project, name, state, created_us, spec in connection.execute(_EXPORT):
            shape = part_of(spec, 4)
            if shape not in texts:
                texts[shape] = codec.render_bytes(cls.FromString(shape).job_spec).decode()
            job = f"projects/{project}/locations/{LOCATION}/customJobs/{id_}"
            writer.writerow([job, project, name, JobState(state).api_name, rfc3339(created_us), texts[shape]])
        connection.close()
    part.rename(path)
    return path
