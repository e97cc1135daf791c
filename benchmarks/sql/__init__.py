"""SQL over 1,000,000 jobs in ten projects, beside REST page by page and DuckDB over an export.

Statements go over PostgreSQL's protocol from this process, on one connection; a first run warms, the median of the
others counts. REST answers the same questions as any SQL-over-API tool must: page after page, counted here. DuckDB has
all rows in a table of its own before its time begins. Memory is the server's, after each statement, above what it had.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from benchmarks.harness import Row, Server, median, quantile, server
from benchmarks.peers import each
from benchmarks.rest_client import Connection, connect, request
from benchmarks.sql.ground import LOCATION, PROJECTS, export, kept

TABLE = "google.aiplatform.custom_jobs"
PLACE = f"locationsId = '{LOCATION}'"
FIRST = f"projectsId = '{PROJECTS[0]}' AND {PLACE}"
MACHINE = "json_extract(jobSpec, '$.workerPoolSpecs[0].machineSpec.machineType')"
QUERIES: Mapping[str, tuple[str, str]] = {
    "first page with a state filter": (
        f"SELECT name, displayName, createTime FROM {TABLE} WHERE {FIRST} AND state = 'JOB_STATE_FAILED' LIMIT 100",
        "≤ 5",
    ),
    "count by state of one project": (f"SELECT state, count(*) AS n FROM {TABLE} WHERE {FIRST} GROUP BY state", "≤ 50"),
    "count by state of everything": (
        f"SELECT state, count(*) AS n FROM {TABLE} WHERE projectsId = '-' AND locationsId = '-' GROUP BY state",
        "≤ 500",
    ),
    "JSON path over one project": (
        f"SELECT {MACHINE} AS machine, count(*) AS n FROM {TABLE} WHERE {FIRST} GROUP BY machine",
        "≤ 300",
    ),
    "join of two projects on displayName": (
        f"SELECT count(*) AS n FROM {TABLE} x JOIN {TABLE} y ON x.displayName = y.displayName "
        f"WHERE x.projectsId = '{PROJECTS[0]}' AND y.projectsId = '{PROJECTS[1]}' AND {PLACE}",
        "≤ 500",
    ),
}
MEMORY_GOAL = "≤ 150"
REST = "REST, page by page"
PAGE = 1000


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def milliseconds(act: Callable[[], object], times: int) -> list[float]:
    """How long each call takes."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def over_the_wire(port: int, one: Server, rounds: int) -> tuple[dict[str, list[float]], float, list[str]]:
    """Times of each query, the most memory in MB that the server had more than at first, and names of jobs."""
    import psycopg  # noqa: PLC0415 - a client that only this benchmark needs

    times: dict[str, list[float]] = {}
    with psycopg.connect(f"postgresql://bench@127.0.0.1:{port}/google", autocommit=True) as connection:
        connection.execute("SELECT 1").fetchall()
        before = most = one.memory_mb()
        for name, (query, _) in QUERIES.items():
            asked = query.encode()

            def ask(asked: bytes = asked) -> None:
                connection.execute(asked).fetchall()

            ask()
            times[name] = milliseconds(ask, rounds)
            most = max(most, one.memory_mb())
        found = connection.execute(f"SELECT customJobsId FROM {TABLE} WHERE {FIRST} LIMIT 5000".encode()).fetchall()
        ids = random.Random(1).sample([row[0] for row in found], min(len(found), rounds * 100))
        get = f"SELECT name, displayName, state FROM {TABLE} WHERE {FIRST} AND customJobsId = "
        taken = [
            milliseconds(lambda id_=id_: connection.execute(f"{get}'{id_}'".encode()).fetchall(), 1)[0] for id_ in ids
        ]
        times["get by id"] = taken[len(taken) // 10 :]
    return times, most - before, ids


async def page_by_page(one: Server, ids: list[str], *, quick: bool) -> dict[str, float]:
    """Milliseconds of the same questions through REST, by name."""
    connection = await connect(one.port)
    gets = [(await connection.ask(request("GET", f"{_path(PROJECTS[0])}/{id_}"))).milliseconds for id_ in ids]
    filtered = f"{_path(PROJECTS[0])}?pageSize=100&filter={quote('state=JOB_STATE_FAILED')}"
    pages = [(await connection.ask(request("GET", filtered))).milliseconds for _ in range(20)]
    found = {"get by id": median(gets), "first page with a state filter": median(pages)}
    began = time.perf_counter()
    first = await _walk(connection, PROJECTS[0])
    Counter(job["state"] for job in first)
    found["count by state of one project"] = (time.perf_counter() - began) * 1000
    began = time.perf_counter()
    Counter(job["jobSpec"]["workerPoolSpecs"][0]["machineSpec"]["machineType"] for job in first)
    found["JSON path over one project"] = found["count by state of one project"] + (time.perf_counter() - began) * 1000
    began = time.perf_counter()
    second = Counter(job["displayName"] for job in await _walk(connection, PROJECTS[1]))
    sum(second[job["displayName"]] for job in first)
    found["join of two projects on displayName"] = (
        found["count by state of one project"] + (time.perf_counter() - began) * 1000
    )
    del first, second
    began = time.perf_counter()
    for project in PROJECTS[:1] if quick else PROJECTS:
        Counter(job["state"] for job in await _walk(connection, project))
    found["count by state of everything"] = (time.perf_counter() - began) * 1000 * (len(PROJECTS) if quick else 1)
    connection.close()
    return found


def _path(project: str) -> str:
    return f"/v1/projects/{project}/locations/{LOCATION}/customJobs"


async def _walk(connection: Connection, project: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = []
    token = ""
    while True:
        answer = await connection.ask(request("GET", f"{_path(project)}?pageSize={PAGE}&pageToken={token}"))
        page = json.loads(answer.body)
        jobs += page.get("customJobs", [])
        token = page.get("nextPageToken", "")
        if not token:
            return jobs


def measure(quick: bool) -> list[Row]:
    """A row for each question, and one for memory."""
    jobs, rounds = (20_000, 3) if quick else (1_000_000, 15)
    folder, port = kept(jobs), free_port()
    with server("--sql-port", str(port), data_dir=folder) as one:
        times, growth, ids = over_the_wire(port, one, rounds)
        rest = asyncio.run(page_by_page(one, ids[:200], quick=quick))
    if not quick:
        os.environ["TRAINYARD_BENCH_EXPORT"] = str(export(folder))
    duck = {name: each(f"sql: {name}", rounds, quick=quick) for name in times}
    goals = {"get by id": "≤ 0.5", **{name: goal for name, (_, goal) in QUERIES.items()}}
    rows = [
        Row(
            f"{name}, {jobs:,} jobs, p50",
            median(times[name]),
            "ms",
            goals[name],
            {REST: rest[name], **duck[name]},
            f"p99 {quantile(times[name], 0.99):.1f} ms",
        )
        for name in goals
    ]
    return [*rows, Row("server memory, the most that it grew", growth, "MB", MEMORY_GOAL)]
