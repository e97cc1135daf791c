"""What the pytest plugin costs a run, and how soon a test has a service of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Row, median, seconds

from trainyard.local_service import LocalService

IMPORT = "import time, pytest; t = time.perf_counter(); import trainyard.pytest_plugin; print(time.perf_counter() - t)"


def imports(times: int) -> list[float]:
    """Milliseconds that importing the plugin takes in a fresh interpreter that has pytest already."""
    runs = (subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True) for _ in range(times))
    return [float(run.stdout) * 1000 for run in runs]


def starts(times: int) -> list[float]:
    """Seconds from asking for a service to its answering, each on an empty directory of its own."""
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as scratch:
            service = LocalService(Path(scratch))
            found += seconds(service.__enter__, 1)
            service.__exit__(None, None, None)
    return found


def measure(quick: bool) -> list[Row]:
    times = 3 if quick else 15
    return [
        Row("import of the pytest plugin, median", median(imports(times)), "ms", "≤ 50"),
        Row("a fresh service for a test, median", median(starts(times)), "s", "< 0.5"),
    ]
