"""submitit's local executor, run by the Python of submitit's own environment; prints samples as JSON.

It has no service and no command line: times count from the call of `submit`, and a job is a Python function.
"""

from __future__ import annotations

import sys
import tempfile
import time

from samples import Samples, tell, timed

sys.path.pop(0)  # this directory: its files are named for the libraries that they drive


def cli_start(count: int) -> Samples:
    """Seconds of a Python that imports it: it has no command line."""
    return {"(import)": [timed([sys.executable, "-c", "import submitit"]) for _ in range(count)]}


def first_instruction(count: int) -> Samples:
    """Milliseconds from the call of `submit` to the function's reading of the clock."""
    import submitit  # noqa: PLC0415 - its start is measured apart

    found = []
    with tempfile.TemporaryDirectory() as scratch:
        executor = submitit.LocalExecutor(scratch)
        for _ in range(count):
            began = time.time_ns()
            found.append((executor.submit(time.time_ns).result() - began) / 1e6)
    return {"": found}


def short_jobs(count: int) -> Samples:
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


if __name__ == "__main__":
    tell(cli_start, first_instruction, short_jobs)
