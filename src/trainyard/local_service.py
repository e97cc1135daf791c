"""A service in a process of its own, for tests: up when entered; when left, it and all that it started are gone.

Used by the pytest plugin, and by itself wherever a `with` statement will do. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

from trainyard.cli.connection import Target
from trainyard.cli.env import variables
from trainyard.cli.problems import Problem
from trainyard.cli.service_api import FINAL_STATES, Job, ServiceApi
from trainyard.local_ending import end_all

_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
_ADDRESS: Final = re.compile(rb"https?://[^\s/]+:\d+")
_SQL_PORT: Final = re.compile(rb"postgresql://[^\s/]+:(\d+)")
_LAST_LINES: Final = 20


class DidNotStart(Exception):
    """The service did not come up; the message is what it said."""


class LocalService:
    """One service with a data directory. Jobs are named by their name, or by the SDK's object that has one."""

    def __init__(
        self,
        directory: Path | str,
        project: str = "demo",
        location: str = "us-central1",
        flags: Sequence[str] = (),
    ) -> None:
        """Nothing is started yet. `flags` are further ones of `trainyard serve`."""
        self.directory = Path(directory).absolute()
        self.data_dir = self.directory / "data"
        self.project = project
        self.location = location
        self.endpoint = ""
        self.sql_port: int | None = None
        """Where it speaks PostgreSQL's protocol, once it runs."""
        self._flags = tuple(flags)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.directory / "serve.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Come up on a free port; after a stop() or kill() on the one that it had. Raises DidNotStart."""
        self.begin()
        self.finish()

    def begin(self) -> None:
        """The first half of start(): it is coming up, nobody waits."""
        self.directory.mkdir(parents=True, exist_ok=True)
        port = self.endpoint.rpartition(":")[2] or "0"  # the one that it had
        command = [sys.executable, "-m", "trainyard", "serve", "--port", port, "--data-dir", str(self.data_dir)]
        command += ["--sql-port", str(self.sql_port)] if self.sql_port else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--drain", "1", *self._flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, whose end is ours
                cwd="/",  # a module of the tests' folder must not stand before one of ours
                env=_environment(os.environ),
            )

    def finish(self) -> None:
        """The second half of start(): wait until it is ready. Raises DidNotStart."""
        process = self._process
        assert process is not None, "begin() comes first"
        assert process.stdout is not None
        deadline, said = time.monotonic() + _READY_SECONDS, b""
        while b"\n" not in said:
            readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(process.stdout.fileno(), 4096) if readable else b""
            if not part:
                process.kill()
                code = process.wait()
                process.stdout.close()
                self._process = None
                raise DidNotStart(f"trainyard serve did not start (exit code {code}):\n{self._last_words()}")
            said += part
        found = _ADDRESS.search(said)
        assert found is not None, said
        self.endpoint = found.group().decode()
        sql = _SQL_PORT.search(said)
        self.sql_port = int(sql[1]) if sql else None

    def stop(self) -> None:
        """End the service and every process of its jobs, however deaf to signals."""
        self._end(signal.SIGTERM)
        end_all(self.data_dir / "runs")

    def kill(self) -> None:
        """SIGKILL the service alone, as a power cut would; its jobs go on. start() brings it back."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    @property
    def pid(self) -> int:
        """The service's process; 0 while none runs."""
        return self._process.pid if self._process else 0

    @property
    def parent(self) -> str:
        """The collection's parent in resource names."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def api(self) -> ServiceApi:
        """The REST API, a fresh connection; its errors are problems.Problem with the service's own words."""
        return ServiceApi(Target(self.endpoint, self.project, self.location))

    def env(self) -> dict[str, str]:
        """What a child process must be told to reach this service (`trainyard env`)."""
        return variables(Target(self.endpoint, self.project, self.location), os.environ)

    def init(self, **more: Any) -> Any:
        """Point google-cloud-aiplatform, which must be installed, here with `aiplatform.init`; returns the module."""
        aiplatform = import_module("google.cloud.aiplatform")
        credentials = import_module("google.auth.credentials")
        aiplatform.init(
            **{
                "project": self.project,
                "location": self.location,
                "staging_bucket": "gs://staging",
                "api_endpoint": self.endpoint,
                "api_transport": "rest",
                "credentials": credentials.AnonymousCredentials(),
                **more,
            }
        )
        return aiplatform

    @contextlib.contextmanager
    def redirect(self) -> Iterator[None]:
        """Inside, code that was written for the real cloud reaches this service unedited, in child processes too.

        Any other *.googleapis.com host is refused with a PermissionError.
        """
        from trainyard.redirect import aim_again, install  # noqa: PLC0415 - it changes libraries, for who wants it

        on_path = str(Path(__file__).parent / "redirect" / "on_path")
        search = os.pathsep.join(filter(None, (on_path, os.environ.get("PYTHONPATH", ""))))
        bundle = str(self.data_dir / "tunnel" / "bundle.pem")
        told = self.env() | {
            "TRAINYARD_REDIRECT": self.endpoint,
            "TRAINYARD_REDIRECT_BUNDLE": bundle,
            "PYTHONPATH": search,
        }
        before = {name: os.environ.get(name) for name in told}
        install()
        os.environ.update(told)
        aim_again()
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def submit(self, *command: str, replicas: int = 1, env: Mapping[str, str] | None = None) -> str:
        """Create a job that runs a command of this machine in each replica; its name. It writes to gs://outputs."""
        container = {
            "imageUri": "host",
            "command": [part.replace("$", "$$") for part in command],
            "env": [{"name": name, "value": value.replace("$", "$$")} for name, value in (env or {}).items()],
        }
        pool = {"machineSpec": {"machineType": "n1-standard-4"}, "containerSpec": container}
        pools = [{**pool, "replicaCount": count} for count in (1, replicas - 1) if count]
        output = {"outputUriPrefix": f"gs://outputs/{time.time_ns()}"}
        spec = {"workerPoolSpecs": pools, "baseOutputDirectory": output}
        return str(self.api.create({"displayName": Path(command[0]).name, "jobSpec": spec})["name"])

    def run(self, *command: str, replicas: int = 1, env: Mapping[str, str] | None = None, timeout: float = 60) -> Job:
        """Submit and wait; the job as it ended."""
        return self.wait(self.submit(*command, replicas=replicas, env=env), timeout)

    def job(self, job: Any) -> Job:
        """The job as the API shows it now."""
        return self.api.get(name_of(job))

    def jobs(self) -> list[Job]:
        """All jobs of the project and location, newest first."""
        return list(self.api.jobs())

    def wait(self, job: Any, timeout: float = 60) -> Job:
        """The job once it has ended. Raises TimeoutError after `timeout` seconds, saying why it is where it is."""
        api, name = self.api, name_of(job)
        deadline = time.monotonic() + timeout
        while (seen := api.get(name)).get("state") not in FINAL_STATES:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is {seen.get('state')} after {timeout:g} s: {self.why(job)}")
            time.sleep(0.02)
        return seen

    def why(self, job: Any) -> str:
        """Why the job is where it is, in one sentence."""
        return str(self.api.explain(name_of(job)).get("sentence", ""))

    def logs(self, job: Any, replica: str = "") -> str:
        """All that the job has printed so far, in order; of one replica, such as workerpool0-0, if it is named."""
        api, query = self.api, {"size": "10000"} | ({"task": replica} if replica else {})
        lines: list[str] = []
        while True:
            page = api.connection.call("GET", f"trainyard/v1/{name_of(job)}/logs", query)
            entries = page.get("entries", [])
            lines += [each["text"] for each in entries if each["stream"] in ("stdout", "stderr")]
            if len(entries) < 10_000:
                return "\n".join(lines)
            query["cursor"] = page["cursor"]

    def bucket(self, name: str) -> Path:
        """The directory that is gs://name; it is made if there is none."""
        directory = self.data_dir / "buckets" / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def path(self, uri: str) -> Path:
        """Where a gs:// URI lies on this machine. Raises ValueError on any other."""
        scheme, _, rest = uri.partition("://")
        bucket, _, name = rest.partition("/")
        if scheme != "gs" or not bucket or ".." in name.split("/"):
            raise ValueError(f"{uri!r} is no gs://BUCKET/NAME")
        return self.bucket(bucket) / name

    def outputs(self, job: Any) -> Path:
        """The directory of the job's base output directory. Raises ValueError for a job without one."""
        spec = self.job(job).get("jobSpec", {})
        uri = spec.get("baseOutputDirectory", {}).get("outputUriPrefix")
        if not uri:
            raise ValueError(f"{name_of(job)} has no base output directory")
        return self.path(uri)

    def account(self) -> str:
        """For whoever looks at a failed test: the service's problems, and each job's state and sentence."""
        told = [f"{self.endpoint}, data in {self.data_dir}"]
        try:
            health = self.api.health()
            told += [f"problem: {each}" for each in health.get("problems", [])]
            jobs = self.jobs()
            told += [line for job in jobs for line in self._about(job)] or ["no jobs"]
        except Problem as problem:
            told.append(problem.sentence)
        warnings = [line for line in self._last_words().splitlines() if " INFO " not in line]
        return "\n".join([*told, *warnings])

    def _about(self, job: Job) -> list[str]:
        name, state = str(job["name"]), str(job.get("state", ""))
        told = [f"{job.get('displayName')} {state.removeprefix('JOB_STATE_')}: {self.why(name)}", f"  {name}"]
        if state != "JOB_STATE_SUCCEEDED":
            told += [f"  | {line}" for line in self.logs(name).splitlines()[-_LAST_LINES:]]
        return told

    def _last_words(self) -> str:
        try:
            return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:])
        except FileNotFoundError:
            return ""


def name_of(job: Any) -> str:
    """A job's full name: itself, an API object's `name`, or the SDK object's `resource_name`."""
    if isinstance(job, str):
        return job
    if isinstance(job, Mapping):
        return str(job["name"])
    return str(getattr(job, "resource_name", None) or job.name)


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's, without what would set or redirect the service."""
    return {name: value for name, value in environment.items() if not name.startswith("TRAINYARD_")}
