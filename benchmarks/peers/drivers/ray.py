"""Ray's Jobs API on a head node of its own, in namespaces of its own, run by the Python of Ray's environment.

Run it as process 1 of new pid and network namespaces: outside of them Ray binds addresses that it was not given, and
`ray stop` would end every Ray of the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from samples import Samples, loopback_up, resident_mb_of_all, tell, timed

sys.path.pop(0)  # this directory: its files are named for the libraries that they drive

RAY = Path(sys.executable).parent / "ray"
QUIET = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}


def cli_start(count: int) -> Samples:
    """Seconds of `ray --version`."""
    return {"": [timed([str(RAY), "--version"]) for _ in range(count)]}


def start(folder: str) -> float:
    """Start a head node with its dashboard; seconds until it takes jobs."""
    loopback_up()
    began = time.perf_counter()
    subprocess.run(
        [
            RAY,
            "start",
            "--head",
            "--node-ip-address=127.0.0.1",
            "--include-dashboard=true",
            "--num-cpus=8",
            "--disable-usage-stats",
            f"--temp-dir={folder}",
        ],
        check=True,
        capture_output=True,
        env=QUIET,
    )
    client().list_jobs()
    return time.perf_counter() - began


def client():
    """A client, once the head answers."""
    from ray.job_submission import JobSubmissionClient  # noqa: PLC0415 - slow to import

    deadline = time.monotonic() + 60
    while True:
        try:
            return JobSubmissionClient("http://127.0.0.1:8265")
        except (ConnectionError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def server_ready(_: int) -> Samples:
    """Seconds from `ray start` until it takes jobs; once, as it takes long to stop."""
    with tempfile.TemporaryDirectory() as scratch:
        return {"": [start(scratch)]}


def server_memory(_: int) -> Samples:
    """Resident MB of everything that `ray start` leaves running, some seconds later."""
    with tempfile.TemporaryDirectory() as scratch:
        start(scratch)
        time.sleep(5)
        return {"": [resident_mb_of_all()]}


def first_instruction(count: int) -> Samples:
    """Milliseconds from the call of `submit_job` to the program's reading of the clock; the first one left out."""
    return {"": [(reading - sent) / 1e6 for sent, _, reading in runs(count)]}


def acknowledged(count: int) -> Samples:
    """The same from the return of `submit_job`."""
    return {"": [(reading - done) / 1e6 for _, done, reading in runs(count)]}


def runs(count: int) -> list[tuple[int, int, int]]:
    """Of each job: sent, acknowledged, first instruction, in calendar nanoseconds."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        start(scratch)
        jobs = client()
        for _ in range(count + 1):
            sent = time.time_ns()
            job = jobs.submit_job(entrypoint="date +%s%N")
            done = time.time_ns()
            while not jobs.get_job_status(job).is_terminal():
                time.sleep(0.1)
            said = [line for line in jobs.get_job_logs(job).splitlines() if line.strip().isdecimal()]
            found.append((sent, done, int(said[-1])))
    return found[1:]


def short_jobs(count: int) -> Samples:
    """Jobs of `true` a second, all submitted at once, all ended."""
    with tempfile.TemporaryDirectory() as scratch:
        start(scratch)
        jobs = client()
        began = time.perf_counter()
        asked = [jobs.submit_job(entrypoint="true") for _ in range(count)]
        while not all(jobs.get_job_status(job).is_terminal() for job in asked):
            time.sleep(0.2)
        return {"": [count / (time.perf_counter() - began)]}


if __name__ == "__main__":
    tell(cli_start, server_ready, server_memory, first_instruction, acknowledged, short_jobs)
