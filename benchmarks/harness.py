"""What every benchmark shares: a server of ours on a scratch directory, quantiles, and the row that is printed.

Nothing here judges: goals stand beside what was measured, and peers beside both when they are installed here.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import platform
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainyard.local_ending import end_all

BIN = Path(sys.executable).parent
JOBS_PATH = "/v1/projects/bench/locations/us-central1/customJobs"
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure: ours, the goal ("≤ 10", "≥ 300", "" for none), and the peers' from the same run.

    `peers` maps a peer's name to its figure in `unit`, or to a sentence saying why there is none.
    """

    what: str
    ours: float
    unit: str
    goal: str = ""
    peers: Mapping[str, float | str] = field(default_factory=dict)
    note: str = ""

    @property
    def more_is_better(self) -> bool:
        """Whether a larger figure is the better one."""
        return self.goal.startswith("≥") or self.unit.endswith("/s")

    @property
    def verdict(self) -> str:
        """`met`, or by which factor the goal was missed; empty without a goal."""
        if not self.goal:
            return ""
        goal = float(self.goal[1:].replace(",", ""))
        if self.ours >= goal if self.more_is_better else self.ours <= goal:
            return "met"
        far = goal / self.ours if self.more_is_better else self.ours / goal if goal else self.ours
        return f"missed {far:.1f}×"

    def times_better(self, theirs: float) -> float:
        """How many times better ours is than theirs; below 1 where theirs is better."""
        return self.ours / theirs if self.more_is_better else theirs / self.ours


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
        return resident_mb(self.process.pid)

    def memory_of_all_mb(self) -> float:
        """Memory of the server, its spawner and idle agents in MB; pages that they share are counted once (PSS)."""
        return sum(proportional_mb(pid) for pid in (self.process.pid, *children_of(self.process.pid)))


@contextlib.contextmanager
def server(*flags: str, data_dir: Path | None = None) -> Iterator[Server]:
    """A service of ours on a free port, ended with SIGTERM; on a fresh directory unless one is given.

    Jobs outlive a server, by design; those of a benchmark are ended with it. Scratch is removed only when all is
    measured: file systems are slow for a while where thousands of files have just been deleted.
    """
    data = data_dir or Path(tempfile.mkdtemp(dir=scratch().name))
    began = time.perf_counter()
    process = subprocess.Popen(
        [BIN / "trainyard", "serve", "--port", "0", "--data-dir", data, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"http://[0-9.]+:\d+", process.stdout.readline())
    ready = time.perf_counter() - began
    try:
        if not found:
            raise RuntimeError("the service did not come up")
        yield Server(found.group(0), process, data, ready)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
        end_all(data / "runs")


@functools.cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """Where the data of all servers of this run lies; removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="trainyard-bench-", ignore_cleanup_errors=True)


def job_body(*command: str, replicas: int = 1, name: str = "bench", image: str = "host") -> bytes:
    """A minimal CustomJob whose replicas run `command` on the host, or in an image that is here."""

    def pool(count: int) -> dict[str, object]:
        return {
            "machineSpec": {"machineType": "n1-standard-4"},
            "replicaCount": count,
            "containerSpec": {"imageUri": image, "command": list(command)},
        }

    pools = [pool(1)] + ([pool(replicas - 1)] if replicas > 1 else [])
    return json.dumps({"displayName": name, "jobSpec": {"workerPoolSpecs": pools}}).encode()


def status_of(pid: int, key: str) -> int:
    """A number of /proc/PID/status (proc(5)): VmRSS and VmHWM are in KiB. Raises OSError when there is no process."""
    found = re.search(rf"^{key}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found.group(1)) if found else 0


def resident_mb(pid: int) -> float:
    """Resident memory of one process in MB; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return status_of(pid, "VmRSS") / 1024
    return 0.0


def proportional_mb(pid: int) -> float:
    """Memory of one process in MB, its share of what it shares with others (proc(5), smaps_rollup); 0 when gone."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found.group(1)) / 1024 if found else 0.0
    return 0.0


def children_of(pid: int) -> list[int]:
    """All living descendants of a process."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parents.setdefault(status_of(int(entry.name), "PPid"), []).append(int(entry.name))
    found, ahead = [], [pid]
    while ahead:
        ahead += (below := parents.get(ahead.pop(), []))
        found += below
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return quantile(values, 0.5)


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
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} × {processor}, {memory:.0f} GiB, {system}, data on {file_system(tempfile.gettempdir())}"


def file_system(path: str) -> str:
    """The type of the file system that a path lies on; for ext4 also whether it has a journal, as that is felt."""
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    under = [mount for mount in mounts if Path(path).resolve().is_relative_to(mount[1])]
    device, _, kind = max(under, key=lambda mount: len(mount[1]))
    journals = [entry.name for entry in Path("/proc/fs/jbd2").glob("*")]
    if kind != "ext4" or any(name.startswith(Path(device).name + "-") for name in journals):
        return kind
    return "ext4 without a journal" if not journals else kind


def versions() -> str:
    """One line that says what of ours was measured."""
    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    ).stdout.strip()
    ours = f"trainyard {version_of('trainyard')}" + (f" ({commit})" if commit else "")
    return f"{ours}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"


def load() -> float:
    """How many processes wanted a core on average over the last minute, ours included."""
    return os.getloadavg()[0]
