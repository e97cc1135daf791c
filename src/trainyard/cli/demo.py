"""`trainyard demo`: three replicas train one model together, on a service that this command starts, live."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from trainyard.cli import background
from trainyard.cli.connection import Target
from trainyard.cli.explaining import size
from trainyard.cli.follow import LABEL_WIDTH, Follower, labelled, shown_text
from trainyard.cli.job_specs import add_env, add_places, job_from_file
from trainyard.cli.parser import DEFAULT_PROJECT, DEFAULT_REGION
from trainyard.cli.problems import INTERRUPTED, Problem, Unreachable
from trainyard.cli.run import exit_code
from trainyard.cli.service_api import FINAL_STATES, Job, ServiceApi
from trainyard.cli.terminal import Terminal

_PORT: Final = 8470
_END_SECONDS: Final = 10.0
_EXAMPLE: Final = Path("distributed_digits", "spec.yaml")
_NEEDS: Final = {"lightgbm": "lightgbm", "sklearn": "scikit-learn"}


def demo(flags: Namespace) -> int:
    """Start a service, run the example on it, show all of it, say what came out and how to go on."""
    if flags.nas:
        from trainyard.cli.demo_nas import demo_nas  # noqa: PLC0415 - it needs this module's service

        return demo_nas(flags)
    spec = example(_EXAMPLE)
    check_needs(_NEEDS, "make demo")
    terminal = Terminal()
    running, directory = service(flags, terminal)
    keep = flags.keep
    try:
        api = ServiceApi(Target(running.endpoint, DEFAULT_PROJECT, DEFAULT_REGION))
        performance = Performance(api, terminal, _job(spec))
        with ended_with_us(api, str(performance.job["name"])):
            code = performance.run()
        keep = keep or performance.left
        if code == 0:
            _results(terminal, performance, directory)
    finally:
        if not keep:
            background.stop(running)
    if code == 0:
        _ways_on(terminal, running, directory, keep=keep)
    return code


class Performance:
    """One run of the example, and what was seen of it."""

    def __init__(self, api: ServiceApi, terminal: Terminal, job: Job) -> None:
        """Submit the job."""
        self.api = api
        self.terminal = terminal
        self.job = api.create(job)
        self.started = process_start()
        self.first_line_seconds: float | None = None
        self.seconds = 0.0
        self.left = False
        terminal.line(f"job       {self.job['name']}")

    def run(self) -> int:
        """Follow it to its end; the exit code of the command."""
        follower = Follower(self.api, str(self.job["name"]), self.terminal)
        follower.show_line = self._line
        follower.states_on_stderr = False
        follower.on_interrupt = self._interrupted
        self.job = follower.follow() or self.job
        self.left = follower.left
        self.seconds = time.time() - self.started
        return INTERRUPTED if self.left else exit_code(self.job)

    def _line(self, entry: Mapping[str, Any]) -> None:
        seconds = datetime.fromisoformat(str(entry["time"])).timestamp() - self.started
        task = str(entry.get("task", ""))
        if task != "service" and self.first_line_seconds is None:
            self.first_line_seconds = seconds
        line = labelled(self.terminal, task, shown_text(entry, live=self.terminal.colour), LABEL_WIDTH)
        self.terminal.line(f"{self.terminal.paint(f'{seconds:6.2f}s', 'dim')}  {line}")

    def _interrupted(self, times: int) -> bool:
        if times > 1:
            return True
        try:
            self.api.cancel(str(self.job["name"]))
        except Unreachable:
            self.terminal.line("the service is gone; press Ctrl-C again to leave", "red", err=True)
        else:
            self.terminal.line("cancelling; press Ctrl-C again to leave job and service running", "yellow", err=True)
        return False


@contextmanager
def ended_with_us(api: ServiceApi, name: str) -> Iterator[None]:
    """No program of the demo outlives it when it is torn away: replicas live on when only their service stops."""
    try:
        yield
    except BaseException:
        with suppress(Problem):
            api.cancel(name)
            deadline = time.monotonic() + _END_SECONDS
            while api.get(name).get("state") not in FINAL_STATES and time.monotonic() < deadline:
                time.sleep(0.05)
        raise


def check_needs(needs: Mapping[str, str], target: str) -> None:
    """Raise Problem where a package that an example trains with is not installed; `target` installs it in a clone."""
    missing = [name for module, name in needs.items() if find_spec(module) is None]
    if missing:
        raise Problem(
            f"the demo trains with {' and '.join(needs.values())}, and {' and '.join(missing)} is not installed here",
            (f"in a clone:      {target}", f"anywhere else:   pip install {' '.join(needs.values())}"),
        )


def process_start() -> float:
    """When this process began, in seconds since the epoch, as the kernel knows it: the interpreter's start counts."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def example(name: Path) -> Path:
    """A file of an example: in the package where it was installed from a wheel, beside it in a clone."""
    here = Path(__file__).resolve()
    for root in (here.parents[1], here.parents[3]):
        spec = root / "examples" / name
        if spec.exists():
            return spec
    raise Problem("the demo's example is not part of this installation; it is in the source, under examples/")


def _job(spec: Path) -> Job:
    job = job_from_file(str(spec))
    add_places(job, str(spec), sys.executable)
    add_env(job, ["PYTHONUNBUFFERED=1"])
    return job


def service(flags: Namespace, terminal: Terminal) -> tuple[background.Running, Path]:
    """A service of the demo's own, until the demo ends, also by a signal; its directory is kept for a warm start."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # ends by way of the caller's `finally`
    running, directory = _started(flags)
    terminal.line(f"service   {running.endpoint}  (process {running.process.pid}, data in {directory})")
    return running, directory


def _started(flags: Namespace) -> tuple[background.Running, Path]:
    directory = background.data_dir({**os.environ, "TRAINYARD_DATA_DIR": ""}, flags.data_dir, "trainyard-demo")
    options = ["--host", "127.0.0.1", "--port", str(_port() if flags.port is None else flags.port)]
    try:
        with background.start_lock(directory):
            return background.start(directory, options), directory
    except Problem:
        if flags.data_dir:
            raise
    # Most likely an earlier demo's service still holds it (--keep); another failure will show again.
    directory = Path(tempfile.mkdtemp(prefix="trainyard-demo-"))
    return background.start(directory, options), directory


def _port() -> int:
    """The usual port where it is free, else any."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _PORT))
        except OSError:
            return 0
    return _PORT


def _results(terminal: Terminal, performance: Performance, directory: Path) -> None:
    """What the job says of itself, read from what it left behind."""
    prefix = str(performance.job["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"]).removeprefix("gs://")
    model = directory / "buckets" / prefix / "model" / "model.txt"
    metrics = json.loads(model.with_name("metrics.json").read_text())
    terminal.line()
    terminal.line(f"SUCCEEDED in {performance.seconds:.1f} s", "green", "bold")
    terminal.line(f"  accuracy    {metrics['accuracy']:.4f} on {metrics['tested']} digits that no replica has seen")
    terminal.line(f"  model       {model} ({size(model.stat().st_size)})")
    if performance.first_line_seconds is not None:
        seconds = performance.first_line_seconds
        terminal.line(f"  first line  {seconds:.2f} s from the command to the first line of user code")


def _ways_on(terminal: Terminal, running: background.Running, directory: Path, *, keep: bool) -> None:
    """The three lines, and what must run for them."""
    terminal.line()
    terminal.line("Point Google's own SDK here, and leave the rest of your code as it is:", "bold")
    terminal.line()
    for line in sdk_lines(running.endpoint):
        terminal.line(f"  {line}")
    look = "Look at the job: trainyard custom-jobs list" if keep else ""
    say_of_service(terminal, running, directory, look, "demo")


def say_of_service(terminal: Terminal, running: background.Running, directory: Path, look: str, command: str) -> None:
    """What became of the service that a command started: it runs on, to `look` at with its endpoint, or is stopped."""
    terminal.line()
    if look:
        terminal.line(f"The service goes on running; stop it with: kill {running.process.pid}")
        terminal.line(f"{look} --endpoint {running.endpoint}")
    else:
        port = running.endpoint.rpartition(":")[2]
        terminal.line(f"The service is stopped again (trainyard {command} --keep leaves it running). To start it:")
        terminal.line(f"  {_shell(Path(sys.argv[0]))} serve --port {port} --data-dir {directory}")


def sdk_lines(endpoint: str) -> tuple[str, str, str]:
    """The three lines that point the official client at a service."""
    return (
        "from google.auth.credentials import AnonymousCredentials",
        "from google.cloud import aiplatform",
        f'aiplatform.init(project="{DEFAULT_PROJECT}", location="{DEFAULT_REGION}", '
        f'staging_bucket="gs://{DEFAULT_PROJECT}", '
        f'api_endpoint="{endpoint}", api_transport="rest", credentials=AnonymousCredentials())',
    )


def _shell(program: Path) -> str:
    """How the caller named this program."""
    return str(program) if program.name == "trainyard" else "trainyard"
