"""TorchX on its local_cwd scheduler, run by the Python of TorchX's own environment; prints samples as JSON.

There is no service to acknowledge anything: times count from the call, which starts the program before it returns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from samples import Samples, tell, timed

sys.path.pop(0)  # this directory: its files are named for the libraries that they drive

TORCHX = Path(sys.executable).parent / "torchx"


def cli_start(count: int) -> Samples:
    """Seconds of `torchx --version`."""
    return {"": [timed([str(TORCHX), "--version"]) for _ in range(count)]}


def application(*argv: str):
    from torchx.specs import AppDef, Role  # noqa: PLC0415 - the command line's start is measured without it

    return AppDef("bench", roles=[Role("replica", image="/tmp", entrypoint=argv[0], args=list(argv[1:]))])


def first_instruction(count: int) -> Samples:
    """Milliseconds from the call of `run` in a warm process to the program's reading of the clock."""
    from torchx.runner import get_runner  # noqa: PLC0415 - as above

    found = []
    with get_runner() as runner, tempfile.TemporaryDirectory() as scratch:
        for number in range(count + 1):
            folder = f"{scratch}/{number}"
            began = time.time_ns()
            handle = runner.run(application("date", "+%s%N"), "local_cwd", {"log_dir": folder})
            runner.wait(handle, wait_interval=0.05)
            found.append((reading(Path(folder)) - began) / 1e6)
    return {"(API)": found[1:]}


def from_shell(count: int) -> Samples:
    """Milliseconds from the start of `torchx run` to the program's reading of the clock."""
    found = []
    for _ in range(count):
        with tempfile.TemporaryDirectory() as scratch:
            command = [str(TORCHX), "run", "-s", "local_cwd", "-cfg", f"log_dir={scratch}", "utils.sh", "date", "+%s%N"]
            began = time.time_ns()
            subprocess.run(command, check=True, capture_output=True, cwd=scratch)
            found.append((reading(Path(scratch)) - began) / 1e6)
    return {"": found}


def reading(folder: Path) -> int:
    return next(int(text) for path in folder.rglob("stdout.log") if (text := path.read_text().strip()))


def short_jobs(count: int) -> Samples:
    """Jobs of `true` a second, at most 8 at once, all ended."""
    from torchx.runner import get_runner  # noqa: PLC0415 - as above

    with get_runner() as runner, tempfile.TemporaryDirectory() as scratch:
        began, running = time.perf_counter(), []
        for number in range(count):
            while len(running) >= 8:
                running = [each for each in running if not runner.status(each).is_terminal()]
            running.append(runner.run(application("true"), "local_cwd", {"log_dir": f"{scratch}/{number}"}))
        for handle in running:
            runner.wait(handle, wait_interval=0.005)
        return {"(API)": [count / (time.perf_counter() - began)]}


if __name__ == "__main__":
    tell(cli_start, first_instruction, from_shell, short_jobs)
