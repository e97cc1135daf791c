"""What every benchmark shares: a server of ours on a scratch directory, quantiles, and one way of printing rows.

Nothing here judges: goals are printed beside what was measured, and peers beside both when they install here.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent
JOBS_PATH = "/v1/projects/bench/locations/us-central1/customJobs"


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure: ours, the goal, and the peers' from the same run."""

    what: str
    ours: float
    unit: str
    goal: str
    peers: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """A running service: where it answers, its process and its data."""

    url: str
    process: subprocess.Popen[str]
    data_dir: Path
    ready_seconds: float

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.url.rsplit(":", 1)[1])

    def get(self, path: str) -> dict[str, object]:
        """GET a path as JSON."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return dict(json.load(answer))

    def memory_mb(self) -> float:
        """Resident memory of the server's own process, in MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        return int(found.group(1)) / 1024 if found else float("nan")


@contextlib.contextmanager
def server(*flags: str) -> Iterator[Server]:
    """A service of ours on a fresh directory and a free port, ended with SIGTERM."""
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-", ignore_cleanup_errors=True) as scratch:
        began = time.perf_counter()
        process = subprocess.Popen(
            [BIN / "trainyard", "serve", "--port", "0", "--data-dir", scratch, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        found = re.search(r"http://[0-9.]+:\d+", process.stdout.readline())
        ready = time.perf_counter() - began
        if not found:
            raise RuntimeError("the service did not come up")
        try:
            yield Server(found.group(0), process, Path(scratch), ready)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def job_body(*command: str, replicas: int = 1, name: str = "bench") -> bytes:
    """A minimal CustomJob whose replicas run `command` on the host."""

    def pool(count: int) -> dict[str, object]:
        return {
            "machineSpec": {"machineType": "n1-standard-4"},
            "replicaCount": count,
            "containerSpec": {"imageUri": "host", "command": list(command)},
        }

    pools = [pool(1)] + ([pool(replicas - 1)] if replicas > 1 else [])
    return json.dumps({"displayName": name, "jobSpec": {"workerPoolSpecs": pools}}).encode()


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def seconds(act: Callable[[], object], times: int) -> list[float]:
    """How long each of `times` calls takes."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return taken


def version_of(package: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine() -> str:
    """One line that says what was measured on."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    processor = found.group(1) if found else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} × {processor}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, trainyard {version_of('trainyard')}"
    )


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table: ours, goal, and each peer with its ratio to ours."""
    print(f"\n{title}")
    for row in rows:
        peers = "  ".join(f"{name} {value:,.4g} ({value / row.ours:.1f}×)" for name, value in row.peers.items())
        note = f"  [{row.note}]" if row.note else ""
        print(f"  {row.what:<58} {row.ours:>10,.4g} {row.unit:<7} goal {row.goal:<12} {peers}{note}")
