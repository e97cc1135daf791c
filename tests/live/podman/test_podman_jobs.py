"""A job's images through the whole service: what a client asks for by REST runs in its container, whoever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import images
import pytest
from contained import containers_of

from trainyard.keyrings.holes import can_punch

JOBS = "/v1/projects/p/locations/us-central1/customJobs"


class Service:
    """A server with the default settings, but for where it keeps things."""

    def __init__(self, folder: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainyard", "serve", "--port=0", "--sql-port=off", f"--data-dir={folder}"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://[0-9.]+:\d+", self.process.stdout.readline())
        assert found, "the service did not come up"
        self.url = found.group(0)

    def ask(self, path: str, body: object = None) -> Any:
        """GET, or POST with a body."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=30) as answer:
            return json.load(answer)

    def create(self, image: str, *command: str, count: int = 1, key: str = "", **spec: object) -> str:
        """A job of so many replicas, under a key if there is one; its name."""
        pool = {
            "machineSpec": {"machineType": "n1-standard-4"},
            "containerSpec": {"imageUri": image, "command": command},
        }
        pools = [{**pool, "replicaCount": 1}, *([{**pool, "replicaCount": count - 1}] if count > 1 else [])]
        sealed = {"encryptionSpec": {"kmsKeyName": key}} if key else {}
        made = self.ask(JOBS, {"displayName": "t", "jobSpec": {"workerPoolSpecs": pools, **spec}, **sealed})
        return str(made["name"])

    def wait(self, name: str, *states: str) -> Any:
        """The job in one of these states."""
        deadline = time.monotonic() + 120
        while (job := self.ask(f"/v1/{name}"))["state"].removeprefix("JOB_STATE_") not in states:
            assert time.monotonic() < deadline, job
            time.sleep(0.02)
        return job

    def narration(self, name: str) -> str:
        """The job's service log."""
        with urllib.request.urlopen(f"{self.url}/trainyard/v1/{name}/logs", timeout=30) as answer:
            return str(answer.read().decode())

    def end(self, number: signal.Signals) -> None:
        """End it."""
        self.process.send_signal(number)
        self.process.communicate()


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Service]:
    """A server that is stopped afterwards."""
    running = Service(folder)
    try:
        yield running
    finally:
        running.end(signal.SIGTERM)


def test_by_default_a_job_runs_in_its_image_and_leaves_nothing(tmp_path: Path) -> None:
    """Three replicas in one network; the service log says where they ran; afterwards there is no container."""
    script = "grep -c cmle-training /etc/hosts; test -x /bin/busybox"
    with service(tmp_path) as one:
        name = one.create(images.BUSYBOX, "/bin/sh", "-c", script, count=3)
        job = one.wait(name, "SUCCEEDED", "FAILED")
        assert job["state"] == "JOB_STATE_SUCCEEDED", job
        assert "runs in its image" in one.narration(name)
        deadline = time.monotonic() + 60
        while containers_of(tmp_path):
            assert time.monotonic() < deadline, containers_of(tmp_path)
            time.sleep(0.1)


def test_a_container_that_does_not_come_up_fails_its_job_in_one_sentence(tmp_path: Path) -> None:
    """error.message names replica, image and program, and says what to do."""
    with service(tmp_path) as one:
        job = one.wait(one.create(images.BUSYBOX, "train-me"), "SUCCEEDED", "FAILED")
        assert job["error"]["code"] == 3
        assert "StartError" in job["error"]["message"]
        assert "has no program train-me" in job["error"]["message"]


def test_a_sealed_job_in_a_container_leaves_nothing_to_read(tmp_path: Path) -> None:
    """Not its command, nor what it printed a while ago, in any file of ours while it runs; its last words are told."""
    ring, go, data = (
        "projects/p/locations/us-central1/keyRings/r/cryptoKeys",
        tmp_path / "data/buckets/b/go",
        tmp_path / "data",
    )
    script = (
        "true s3cr3t-argument; printf s3cr3t- >&2; echo word >&2; while [ ! -e /gcs/b/go ]; do sleep 0.1; done; exit 3"
    )

    def holding() -> list[str]:
        found = []
        for path in (Path(folder, name) for folder, _, names in os.walk(data) for name in names):
            with contextlib.suppress(FileNotFoundError):  # the service goes on meanwhile
                found += [str(path)] if path.is_file() and b"s3cr3t" in path.read_bytes() else []
        return found

    with (tmp_path / "probe").open("wb") as file:
        if not can_punch(file.fileno()):
            pytest.skip("the file system of temporary files cannot punch holes")
    with service(data) as one:
        one.ask(f"/trainyard/v1/{ring}", {"cryptoKeyId": "k"})
        name = one.create(images.BUSYBOX, "/bin/sh", "-c", script, key=f"{ring}/k")
        one.wait(name, "RUNNING")
        deadline = time.monotonic() + 120
        while "s3cr3t-word" not in one.narration(name) or holding():
            assert time.monotonic() < deadline, holding()
            time.sleep(0.1)
        go.parent.mkdir(parents=True, exist_ok=True)
        go.touch()
        assert "s3cr3t-word" in one.wait(name, "FAILED")["error"]["message"]


def test_a_cancelled_job_ends_its_containers(tmp_path: Path) -> None:
    """Cancel: CANCELLED, and neither process nor container is there any more."""
    with service(tmp_path) as one:
        name = one.create(images.BUSYBOX, "/bin/sleep", "600", count=2)
        one.wait(name, "RUNNING")
        one.ask(f"/v1/{name}:cancel", {})
        assert one.wait(name, "CANCELLED")["error"]["code"] == 1
        deadline = time.monotonic() + 60
        while containers_of(tmp_path):
            assert time.monotonic() < deadline, containers_of(tmp_path)
            time.sleep(0.1)


def test_a_job_outlives_a_killed_server(tmp_path: Path) -> None:
    """kill -9 of the server while a container runs: the next one tells its end."""
    one = Service(tmp_path)
    name = one.create(images.BUSYBOX, "/bin/sh", "-c", "sleep 5; exit 0")
    one.wait(name, "RUNNING")
    one.end(signal.SIGKILL)
    with service(tmp_path) as two:
        job = two.wait(name, "SUCCEEDED", "FAILED")
        assert job["state"] == "JOB_STATE_SUCCEEDED", job


def test_an_images_own_modules_are_found_and_tensorflow_is_aimed(tmp_path: Path) -> None:
    """PYTHONPATH of the image holds beside ours, and what TensorFlow is told in a container leads to this gs://.

    A module of its name stands in for TensorFlow, whose C++ is tried on the host (tests/clients/test_tensorflow.py).
    """
    image = "localhost/trainyard-test/searching:1"
    images.derive(image, images.PYTHON, "ENV PYTHONPATH=/gcs/code")
    code = tmp_path / "buckets/code"
    code.mkdir(parents=True)
    (code / "tensorflow.py").touch()
    (code / "own.py").write_text(_ASKS_AS_TENSORFLOW)
    with service(tmp_path) as one:
        name = one.create(image, "python3", "-m", "own", count=2)
        job = one.wait(name, "SUCCEEDED", "FAILED")
        assert job["state"] == "JOB_STATE_SUCCEEDED", job
        assert "own.py has 200" in one.narration(name)


_ASKS_AS_TENSORFLOW = """\
import ctypes, http.client, ssl, urllib.parse
import tensorflow
told = ctypes.CDLL(None).getenv
told.restype = ctypes.c_char_p
proxy = urllib.parse.urlsplit(told(b"HTTPS_PROXY").decode())
context = ssl.create_default_context(cafile=told(b"CURL_CA_BUNDLE").decode())
asking = http.client.HTTPSConnection(proxy.hostname, proxy.port, context=context)
asking.set_tunnel("storage.googleapis.com")
asking.request("GET", "/storage/v1/b/code/o/own.py")
print("own.py has", asking.getresponse().status)
"""
