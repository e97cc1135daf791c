"""Server ready, and its memory when idle.

From the start of the process to its ready line, on a fresh data directory. Memory is that of the server and of the
processes that it keeps, shared pages counted once, after some idle seconds and again after jobs have run; the peers'
is resident memory, summed.
"""

from __future__ import annotations

import time

from benchmarks import peers
from benchmarks.harness import JOBS_PATH, Row, Server, job_body, median, server
from benchmarks.rest_client import at_once, connect, request, run, wait_until_final


def measure(quick: bool) -> list[Row]:
    ready = []
    for _ in range(2 if quick else 7):
        with server() as one:
            ready.append(one.ready_seconds)
    with server() as one:
        time.sleep(1 if quick else 5)
        alone, idle = one.memory_mb(), one.memory_of_all_mb()
        jobs = 20 if quick else 1000
        run(work(one, jobs))
        time.sleep(1)
        after = one.memory_of_all_mb()
    return [
        Row(
            "server ready",
            median(ready),
            "s",
            "≤ 0.5",
            peers.each("server_ready", 3, quick=quick),
            f"fastest {min(ready):.2f} s, slowest {max(ready):.2f} s",
        ),
        Row(
            "memory, idle",
            idle,
            "MB",
            "≤ 80",
            peers.each("server_memory", 1, quick=quick),
            f"resident memory of the server alone: {alone:.0f} MB",
        ),
        Row(f"memory after {jobs:,} jobs", after, "MB"),
    ]


async def work(one: Server, count: int) -> None:
    """Let the server run some jobs."""
    body = request("POST", JOBS_PATH, job_body("true"))
    answers = await at_once(one.port, [body] * count, 8)
    connection = await connect(one.port)
    await wait_until_final(connection, answers[-1].json["name"], 0.02, 120)
    connection.close()
