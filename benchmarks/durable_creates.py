"""Durable creates and reads over REST.

Created while the machine is full, so that they only queue: a long job holds the one slot. Each answer means that the
job would survive a power cut. The client is another process, on kept-alive connections; it takes its share of the
cores.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import JOBS_PATH, Row, Server, job_body, median, quantile, server
from benchmarks.rest_client import Answer, at_once, connect, request, run

CONNECTIONS = 64
POST = request("POST", JOBS_PATH, job_body("true"))


async def creates(one: Server, count: int, connections: int) -> tuple[float, list[Answer]]:
    """Creates a second, and the answers."""
    began = time.perf_counter()
    answers = await at_once(one.port, [POST] * count, connections)
    rate = count / (time.perf_counter() - began)
    for answer in answers[-1:]:
        answer.json  # noqa: B018 - raises where it was refused
    return rate, answers


async def gets(one: Server, name: str, count: int) -> list[float]:
    """Milliseconds of GETs of one job, one after the other."""
    answers = await at_once(one.port, [request("GET", f"/v1/{name}")] * count, 1)
    return [answer.milliseconds for answer in answers]


async def gets_meanwhile(one: Server, name: str, count: int) -> list[float]:
    """Milliseconds of GETs while others create as fast as they can."""
    flood = asyncio.create_task(creates(one, count, CONNECTIONS))
    connection, found = await connect(one.port), []
    while not flood.done():
        found.append((await connection.ask(request("GET", f"/v1/{name}"))).milliseconds)
        await asyncio.sleep(0.002)
    connection.close()
    await flood
    return found


def measure(quick: bool) -> list[Row]:
    count, rounds = (500, 1) if quick else (6000, 3)
    with server("--replicas", "1") as one:
        held = run(at_once(one.port, [request("POST", JOBS_PATH, job_body("sleep", "3600"))], 1))[0].json["name"]
        run(creates(one, 200, CONNECTIONS))
        rates = [run(creates(one, count, CONNECTIONS))[0] for _ in range(rounds)]
        alone = [answer.milliseconds for answer in run(creates(one, count // 6, 1))[1]]
        read = run(gets(one, held, count // 2))
        meanwhile = run(gets_meanwhile(one, held, count))
    return [
        Row(
            f"durable creates, {CONNECTIONS} connections",
            median(rates),
            "/s",
            "≥ 3000",
            {},
            f"best of {rounds} rounds {max(rates):,.0f}",
        ),
        Row("a create on one connection, p50", median(alone), "ms", note=f"p99 {quantile(alone, 0.99):.2f} ms"),
        Row("GET, p50", median(read), "ms", "≤ 1", {}, f"p99 {quantile(read, 0.99):.2f} ms"),
        Row(
            "GET while 64 connections create, p99",
            quantile(meanwhile, 0.99),
            "ms",
            note=f"p50 {median(meanwhile):.1f} ms",
        ),
    ]
