"""submitit's local executor, run by the Python of submitit's own environment; prints samples as JSON.

It has no service and no command line: times count from the call of `submit`, and a job is a Python function.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

sys.path.pop(0)  # this directory: its files are named for the libraries that they drive


def cli_start(count: int) -> dict[str, list[float]]:
    """Seconds of a Python that imports it: it has no command line."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import submitit"], check=True)
        found.append(time.perf_counter() - began)
    return {"(import)": found}


def first_instruction(count: int) -> dict[str, list[float]]:
    """Milliseconds from the call of `submit` to the function's reading of the clock."""
    import submitit  # noqa: PLC0415 - its start is measured apart

    found = []
    with tempfile.TemporaryDirectory() as scratch:
        executor = submitit.LocalExecutor(scratch)
        for _ in range(count):
            began = time.time_ns()
            found.append((executor.submit(time.time_ns).result() - began) / 1e6)
    return {"": found}


def short_jobs(count: int) -> dict[str, list[float]]:
    """Jobs of an empty function a second, at most 8 at once, all ended."""
    import submitit  # noqa: PLC0415 - its start is measured apart

    with tempfile.TemporaryDirectory() as scratch:
        executor = submitit.LocalExecutor(scratch)
        began, running = time.perf_counter(), []
        for _ in range(count):
            while len(running) >= 8:
                running = [job for job in running if not job.done()]
                time.sleep(0.005)
            running.append(executor.submit(time.time_ns))
        for job in running:
            job.result()
        return {"": [count / (time.perf_counter() - began)]}


FIGURES = {each.__name__: each for each in (cli_start, first_instruction, short_jobs)}

if __name__ == "__main__":
    print(json.dumps(FIGURES[sys.argv[1]](int(sys.argv[2]))))
