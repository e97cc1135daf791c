"""From a create to the first instruction of the replica.

The replica is `date +%s%N`, executed directly: what it prints is its own reading of the clock, taken after its
start-up; the client reads the same clock when it sends, and when it has the whole answer. One job at a time on an idle
server.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from dataclasses import dataclass

from benchmarks import peers
from benchmarks.harness import BIN, JOBS_PATH, Row, Server, job_body, median, quantile, server
from benchmarks.rest_client import Connection, connect, request, run, wait_until_final

REST_SECONDS = 0.06  # no question is asked while a job starts
MOST_SECONDS = 60.0
WARM_UP = 3
SPEC = "machine-type=n1-standard-4,replica-count=1,container-image-uri=host"


@dataclass(frozen=True, slots=True)
class Start:
    """Milliseconds from sending the create, and from its answer, to the first instruction."""

    from_sent: float
    from_answer: float


async def starts(one: Server, count: int) -> list[Start]:
    connection = await connect(one.port)
    packet = request("POST", JOBS_PATH, job_body("date", "+%s%N"))
    found = []
    for _ in range(count):
        answer = await connection.ask(packet)
        await asyncio.sleep(REST_SECONDS)
        began = await reading(connection, answer.json["name"])
        found.append(Start((began - answer.sent_ns) / 1e6, (began - answer.done_ns) / 1e6))
    connection.close()
    return found


async def reading(connection: Connection, name: str) -> int:
    """What the replica printed, once its job has succeeded."""
    state = await wait_until_final(connection, name, 0.02, MOST_SECONDS)
    if state != "JOB_STATE_SUCCEEDED":
        raise RuntimeError(f"{name} ended {state}")
    return int((await connection.ask(request("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout"))).body)


async def from_shell(one: Server, count: int) -> list[float]:
    """Milliseconds from the start of `trainyard custom-jobs create` to the first instruction."""
    command = [
        str(BIN / "trainyard"),
        "custom-jobs",
        "create",
        "--display-name=bench",
        f"--worker-pool-spec={SPEC}",
        "--command=date,+%s%N",
        "--format=value(name)",
    ]
    environment = {**os.environ, "TRAINYARD_ENDPOINT": one.url, "GOOGLE_CLOUD_PROJECT": "bench"}
    connection, found = await connect(one.port), []
    for _ in range(count):
        sent = time.time_ns()
        told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        await asyncio.sleep(REST_SECONDS)
        found.append((await reading(connection, told.strip()) - sent) / 1e6)
    connection.close()
    return found


def measure(quick: bool) -> list[Row]:
    count, asked = (15, 0) if quick else (400, 10)
    with server() as one:
        first = run(starts(one, WARM_UP))[0]
        found = run(starts(one, count))
        shell = run(from_shell(one, 3 if quick else 20))
    answered, sent = [one.from_answer for one in found], [one.from_sent for one in found]
    theirs = peers.each("acknowledged", asked, quick=quick)
    return [
        Row(
            "create acknowledged → first instruction, p50",
            median(answered),
            "ms",
            "≤ 10",
            theirs,
            f"{count} jobs; fastest {min(answered):.1f} ms",
        ),
        Row("create acknowledged → first instruction, p99", quantile(answered, 0.99), "ms", "≤ 50"),
        Row(
            "create sent → first instruction, p50",
            median(sent),
            "ms",
            "",
            peers.each("first_instruction", asked, quick=quick),
            "libraries without a service count from their call",
        ),
        Row("the same for the first job of a server", first.from_sent, "ms"),
        Row(
            "shell command started → first instruction, p50",
            median(shell),
            "ms",
            "",
            peers.each("from_shell", asked, quick=quick),
            "trainyard custom-jobs create",
        ),
    ]
