"""A server process and the smallest possible REST client, for tests that want to see the bytes."""

from __future__ import annotations

import copy
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trainyard.local_ending import end_all

BUSY_SECONDS = 15.0  # what a machine with other work to do may add to a promise of seconds; benchmarks/ measure those
FINAL = frozenset({"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"})
MINIMAL: Mapping[str, Any] = {
    "displayName": "t",
    "jobSpec": {
        "workerPoolSpecs": [
            {
                "machineSpec": {"machineType": "n1-standard-4"},
                "replicaCount": 1,
                "containerSpec": {"imageUri": "img", "args": ["x"]},
            }
        ]
    },
}


def minimal(**changes: Any) -> dict[str, Any]:
    """The smallest body that is accepted, top-level fields replaced; None removes one."""
    body = copy.deepcopy(dict(MINIMAL)) | changes
    return {name: value for name, value in body.items() if value is not None}


def pool(**changes: Any) -> dict[str, Any]:
    """The smallest worker pool, fields replaced; None removes one."""
    spec = copy.deepcopy(MINIMAL["jobSpec"]["workerPoolSpecs"][0]) | changes
    return {name: value for name, value in spec.items() if value is not None}


def pools(*specs: Mapping[str, Any], **job_spec: Any) -> dict[str, Any]:
    """A job of these worker pools; keywords are further fields of the job spec."""
    return minimal(jobSpec={"workerPoolSpecs": list(specs), **job_spec})


def running(*command: str, **changes: Any) -> dict[str, Any]:
    """A job whose one replica runs a command of this machine."""
    spec = {"imageUri": "host", "command": list(command)}
    return pools(pool(containerSpec=spec), **changes.pop("job_spec", {})) | changes


class Server:
    """`python -m trainyard serve`, up when entered, stopped when left; replicas outlive it if the test is well."""

    def __init__(self, data_dir: Path, *flags: str, port: int = 0) -> None:
        self.data_dir = data_dir
        self.command = [
            sys.executable,
            "-m",
            "trainyard",
            "serve",
            "--port",
            str(port),
            "--data-dir",
            str(data_dir),
            *flags,
        ]
        self.ready_line = ""
        self.port = port

    def __enter__(self) -> Self:
        self.errors = (self.data_dir.parent / f"{self.data_dir.name}.stderr").open("ab+")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")},
                "TRAINYARD_RUNTIME": "host",  # whatever images and engines this machine has
            },
        )
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline()
        self.ready_seconds = time.monotonic() - self.started
        found = re.search(r"https?://[^ ]+:(\d+)", self.ready_line)
        assert found, f"not ready: {self.ready_line!r} {self.stderr()}"
        self.port = int(found[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()
        self.errors.close()
        if kind is not None:  # the test has failed: nobody will let its programs go
            end_all(self.data_dir / "runs")

    def stop(self, number: int = signal.SIGTERM, patience: float = 60.0) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def stderr(self) -> str:
        """All that it said."""
        return (self.data_dir.parent / f"{self.data_dir.name}.stderr").read_text()

    def memory_bytes(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def comes_to_work(self) -> bool:
        """Whether it uses much of a processor within a minute."""
        return self._comes_to(lambda share: share >= 0.2)

    def comes_to_rest(self) -> bool:
        """Whether it uses next to nothing of a processor within a minute."""
        return self._comes_to(lambda share: share < 0.1)

    def _comes_to(self, wanted: Callable[[float], bool]) -> bool:
        """Whether the share of a processor that it uses over half a second comes to what is wanted."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            used, begun = self.cpu_seconds(), time.monotonic()
            time.sleep(0.5)
            if wanted((self.cpu_seconds() - used) / (time.monotonic() - begun)):
                return True
        return False


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """The error's envelope."""
        return self.json["error"]

    @property
    def violations(self) -> list[dict[str, str]]:
        """BadRequest.fieldViolations, empty where there is none."""
        return [
            violation
            for detail in self.error.get("details", [])
            if detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
            for violation in detail["fieldViolations"]
        ]


class Api:
    """Calls of one project and location; a fresh connection when the last one was closed."""

    def __init__(self, port: int, project: str = "p1", location: str = "us-central1") -> None:
        self.port = port
        self.parent = f"projects/{project}/locations/{location}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self) -> None:
        """Hang up."""
        self.connection.close()

    def call(
        self, verb: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, version: str = "v1"
    ) -> Answer:
        """One request; `path` is below the version's prefix unless it begins with a slash. Text and bytes go raw."""
        raw = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
        url = path if path.startswith("/") else f"/{version}/{path}"
        self.connection.request(verb, url, raw, {"Content-Type": "application/json", **(headers or {})})
        response = self.connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def create(self, body: Any = None, query: str = "", version: str = "v1") -> Answer:
        """POST …/customJobs."""
        return self.call("POST", f"{self.parent}/customJobs{query}", MINIMAL if body is None else body, version=version)

    def made(self, body: Any = None, version: str = "v1") -> dict[str, Any]:
        """A job that must be accepted."""
        answer = self.create(body, version=version)
        assert answer.status == 200, answer.body
        return answer.json

    def get(self, name: str, query: str = "") -> Answer:
        """GET a resource by its name."""
        return self.call("GET", name + query)

    def list(self, query: str = "") -> Answer:
        """GET …/customJobs."""
        return self.call("GET", f"{self.parent}/customJobs{query}")

    def wait(self, name: str, states: Collection[str] = FINAL, seconds: float = 60.0) -> dict[str, Any]:
        """Poll until the job is in one of the states."""
        deadline = time.monotonic() + seconds
        while True:
            job = self.get(name).json
            if job.get("state") in states:
                return job
            assert time.monotonic() < deadline, f"still {job.get('state')} after {seconds} s: {job}"
            assert job.get("state") not in FINAL, f"wanted {states}: {job}"
            time.sleep(0.02)


def restarted(server: Server, api: Api) -> None:
    """As after kill -9."""
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.__enter__()
    api.port = server.port
    api.connection = Api(server.port).connection


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
