"""Short jobs end to end.

Jobs whose one replica runs `true`, created over 16 connections; the time is from the first byte sent until all are
SUCCEEDED, with every promise kept: durable create, exclusive start, exit record, logs closed, history.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

from benchmarks import peers
from benchmarks.harness import JOBS_PATH, Row, Server, job_body, median, server
from benchmarks.rest_client import at_once, connect, request, run, wait_until_final

CONNECTIONS = 16
POLL_SECONDS = 0.02
MOST_SECONDS = 300.0
FEWER = {"ray": 20, "submitit": 40}
NOT_SUCCEEDED = request(
    "GET", f"{JOBS_PATH}?pageSize=1&fields=customJobs.state&filter=" + quote("state!=JOB_STATE_SUCCEEDED")
)


async def end_to_end(one: Server, count: int) -> tuple[float, float]:
    """Seconds until all were acknowledged, and until all had succeeded."""
    packet = request("POST", JOBS_PATH, job_body("true"))
    began = time.perf_counter()
    answers = await at_once(one.port, [packet] * count, CONNECTIONS)
    acknowledged = time.perf_counter() - began
    if wrong := [answer for answer in answers if answer.status != 200]:
        raise RuntimeError(f"{len(wrong)} creates refused: {wrong[0].body[:300]!r}")
    connection = await connect(one.port)
    # First the youngest job, which costs the server least to tell; then, mostly once, whether there is any other.
    await wait_until_final(connection, answers[-1].json["name"], POLL_SECONDS, MOST_SECONDS)
    while (await connection.ask(NOT_SUCCEEDED)).json.get("customJobs"):
        if time.perf_counter() - began > MOST_SECONDS:
            raise TimeoutError("not all jobs succeeded")
        await asyncio.sleep(POLL_SECONDS)
    connection.close()
    return acknowledged, time.perf_counter() - began


def measure(quick: bool) -> list[Row]:
    count, rounds = (60, 1) if quick else (1000, 5)
    with server() as one:
        run(end_to_end(one, 10))
        times = [run(end_to_end(one, count)) for _ in range(rounds)]
    rates = [count / whole for _, whole in times]
    theirs = peers.each("short_jobs", 300, quick=quick, fewer=FEWER)
    acknowledged = median([first for first, _ in times])
    return [
        Row(
            "short jobs end to end",
            median(rates),
            "jobs/s",
            "≥ 300",
            theirs,
            f"{rounds} × {count:,} jobs, best {max(rates):.0f}; all acknowledged after {acknowledged:.2f} s",
        ),
    ]
