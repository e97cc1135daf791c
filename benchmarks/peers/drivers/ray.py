"""Ray's Jobs API on a head node of its own, in namespaces of its own, run by the Python of Ray's environment.

Run it as process 1 of new pid and network namespaces: outside of them Ray binds addresses that it was not given, and
`ray stop` would end every Ray of the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.pop(0)  # this directory: its files are named for the libraries that they drive

RAY = Path(sys.executable).parent / "ray"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
QUIET = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}


def loopback_up() -> None:
    """`ip link set lo up`, without needing ip (netdevice(7))."""
    with socket.socket() as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def cli_start(count: int) -> dict[str, list[float]]:
    """Seconds of `ray --version`."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run([RAY, "--version"], check=True, capture_output=True)
        found.append(time.perf_counter() - began)
    return {"": found}


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


def server_ready(_: int) -> dict[str, list[float]]:
    """Seconds from `ray start` until it takes jobs; once, as it takes long to stop."""
    with tempfile.TemporaryDirectory() as scratch:
        return {"": [start(scratch)]}


def server_memory(_: int) -> dict[str, list[float]]:
    """Resident MB of everything that `ray start` leaves running, some seconds later."""
    with tempfile.TemporaryDirectory() as scratch:
        start(scratch)
        time.sleep(5)
        total = 0.0
        for entry in Path("/proc").iterdir():  # our own pid namespace: all is Ray's but this process
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                lines = (entry / "status").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
        return {"": [total]}


def first_instruction(count: int) -> dict[str, list[float]]:
    """Milliseconds from the call of `submit_job` to the program's reading of the clock; the first one left out."""
    return {"": [(reading - sent) / 1e6 for sent, _, reading in runs(count)]}


def acknowledged(count: int) -> dict[str, list[float]]:
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


def short_jobs(count: int) -> dict[str, list[float]]:
    """Jobs of `true` a second, all submitted at once, all ended."""
    with tempfile.TemporaryDirectory() as scratch:
        start(scratch)
        jobs = client()
        began = time.perf_counter()
        asked = [jobs.submit_job(entrypoint="true") for _ in range(count)]
        while not all(jobs.get_job_status(job).is_terminal() for job in asked):
            time.sleep(0.2)
        return {"": [count / (time.perf_counter() - began)]}


FIGURES = {
    each.__name__: each
    for each in (cli_start, server_ready, server_memory, first_instruction, acknowledged, short_jobs)
}

if __name__ == "__main__":
    print(json.dumps(FIGURES[sys.argv[1]](int(sys.argv[2]))))
