"""Throughput of a replica's log, and the server's memory meanwhile.

The replica is `seq 1 N`: distinct lines, as fast as coreutils write them. Timed from the acknowledged create until the
job is SUCCEEDED, its output being durable by then; then read back whole over REST and compared byte for byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import subprocess
import time

from benchmarks.harness import JOBS_PATH, Row, Server, job_body, server, status_of
from benchmarks.rest_client import connect, request, run, wait_until_final

CHUNK_BYTES = 1 << 20
ENOUGH_BYTES = 64 << 20  # of a followed stream: a person would have hung up
MOST_SECONDS = 300.0


async def flood(one: Server, lines: int, *, followed: bool = False) -> tuple[str, float]:
    """The job's name, and the seconds from its acknowledgement to its success; `followed` live by a reader."""
    connection = await connect(one.port)
    answer = await connection.ask(request("POST", JOBS_PATH, job_body("seq", "1", str(lines))))
    name = str(answer.json["name"])
    reader = asyncio.create_task(asyncio.to_thread(follow, one, name)) if followed else None
    state = await wait_until_final(connection, name, 0.02, MOST_SECONDS)
    took = (time.time_ns() - answer.done_ns) / 1e9
    connection.close()
    if reader is not None:
        await reader
    if state != "JOB_STATE_SUCCEEDED":
        raise RuntimeError(f"{name} ended {state}")
    return name, took


def expected(lines: int) -> tuple[str, int]:
    """Digest and length of what the replica writes, made here once more."""
    digest, length = hashlib.sha256(), 0
    with subprocess.Popen(["seq", "1", str(lines)], stdout=subprocess.PIPE) as source:
        assert source.stdout is not None
        while chunk := source.stdout.read(CHUNK_BYTES):
            digest.update(chunk)
            length += len(chunk)
    return digest.hexdigest(), length


def read_back(one: Server, name: str) -> tuple[str, int, float]:
    """Digest and length of what the service has kept, and the seconds that reading took."""
    began, digest, length = time.perf_counter(), hashlib.sha256(), 0
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
    connection.request("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout")
    answer = connection.getresponse()
    while chunk := answer.read(CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
    connection.close()
    return digest.hexdigest(), length, time.perf_counter() - began


def follow(one: Server, name: str) -> None:
    """Follow the job's lines as a person would, until enough is seen."""
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
    connection.request("GET", f"/trainyard/v1/{name}/logs", headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    seen = 0
    while seen < ENOUGH_BYTES and (chunk := answer.read1(CHUNK_BYTES)):
        seen += len(chunk)
    connection.close()


def measure(quick: bool) -> list[Row]:
    lines, rounds = (5_000_000, 1) if quick else (100_000_000, 3)
    digest, length = expected(lines)
    rates, exact, reading = [], 0, 0.0
    with server() as one:
        run(flood(one, 1000))
        before = one.memory_mb()
        for _ in range(rounds):
            name, took = run(flood(one, lines))
            rates.append(length / took / 1e6)
            found, size, reading = read_back(one, name)
            exact += (found, size) == (digest, length)
        run(flood(one, lines, followed=True))
        after, peak = one.memory_mb(), status_of(one.process.pid, "VmHWM") / 1024
    note = f"{rounds} × {length / 1e6:,.0f} MB, slowest {min(rates):.0f} MB/s"
    return [
        Row(
            "log of one replica, create acknowledged → job SUCCEEDED",
            sorted(rates)[len(rates) // 2],
            "MB/s",
            "≥ 100",
            {},
            note,
        ),
        Row("log bytes lost or changed, runs", rounds - exact, "runs", "≤ 0", {}, "by SHA-256 of the whole stream"),
        Row(
            "server memory grown by it, peak",
            max(0.0, peak - before),
            "MB",
            "",
            {},
            f"{before:.0f} MB before, {after:.0f} MB after, {peak:.0f} MB at most; read back whole and followed live",
        ),
        Row("the whole log read back over REST", length / reading / 1e6, "MB/s"),
    ]
