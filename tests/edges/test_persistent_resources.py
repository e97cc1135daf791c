"""Machines that are kept: made and deleted over REST and from the command line, and jobs that run on them alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import nas_requests
import pytest
from edge_server import Answer, Api, Server, pool, running

POOLS = "/trainyard/v1/pools"
N1 = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": "1"}
BODY: dict[str, Any] = {"name": "warm", "resourcePools": [N1]}
RUNNING = {"JOB_STATE_RUNNING"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One of the test's own, with room for three replicas."""
    with Server(tmp_path / "data", "--replicas", "3", "--grace", "1") as up:
        yield up


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """Its client."""
    client = Api(server.port)
    yield client
    client.close()


def gated(gate: Path, resource: str = "warm", **spec: Any) -> dict[str, Any]:
    """A job that lasts until the gate is there; on no resource where that is empty."""
    named = {"persistentResourceId": resource} if resource else {}
    return running("sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.02; done", job_spec={**named, **spec})


def explained(api: Api, name: str) -> str:
    """Why a job waits, with the numbers of the moment."""
    return str(api.call("GET", f"/trainyard/v1/{name}:explain").json["queue"]["why"])


def cli(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    """The program, against this server."""
    environment = {**os.environ, "TRAINYARD_ENDPOINT": f"http://127.0.0.1:{server.port}"}
    command = [sys.executable, "-m", "trainyard", "pools", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def made(api: Api, body: dict[str, Any]) -> Answer:
    return api.call("POST", POOLS, body)


def test_jobs_run_on_their_resource_and_wait_for_it(api: Api, tmp_path: Path) -> None:
    """One runs, a second waits although there is room elsewhere, and others leave the place alone."""
    gate, other_gate = tmp_path / "gate", tmp_path / "other"
    assert made(api, BODY).status == 200
    first = api.made(gated(gate))["name"]
    api.wait(first, RUNNING)
    second = api.made(gated(gate))["name"]
    others = [api.made(gated(other_gate, ""))["name"] for _ in range(3)]
    for name in others[:2]:
        api.wait(name, RUNNING)
    assert api.get(second).json["state"] == "JOB_STATE_QUEUED"
    assert explained(api, second) == (
        "It asks for 1 replica of the persistent resource warm (n1-standard-4); free now: 0 of 1 replica of the "
        f"persistent resource warm (n1-standard-4); in use by customJobs/{first.rpartition('/')[2]}."
    )
    assert "0 of 2 replicas outside of persistent resources" in explained(api, others[2])
    found = api.call("GET", f"{POOLS}/warm").json
    assert found["resourcePools"][0]["usedReplicaCount"] == "1"
    assert len(found["jobs"]) == 2
    gate.touch()
    assert api.wait(second)["state"] == "JOB_STATE_SUCCEEDED"
    assert api.get(others[2]).json["state"] == "JOB_STATE_QUEUED"  # the place is free, and not for it
    assert api.call("DELETE", f"{POOLS}/warm").status == 200
    api.wait(others[2], RUNNING)
    other_gate.touch()
    assert api.wait(others[2])["state"] == "JOB_STATE_SUCCEEDED"


def test_a_resource_and_who_waits_for_it_outlive_the_service(tmp_path: Path) -> None:
    """Killed while one job runs and one waits, both go on where they were; no place was given away meanwhile."""
    gate = tmp_path / "gate"
    with Server(tmp_path / "data", "--replicas", "2", "--grace", "1") as server:
        api = Api(server.port)
        assert made(api, BODY).status == 200
        first, second = (api.made(gated(gate))["name"] for _ in range(2))
        api.wait(first, RUNNING)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        api.close()
    with Server(tmp_path / "data", "--replicas", "2", "--grace", "1") as server:
        api = Api(server.port)
        found = api.call("GET", f"{POOLS}/warm").json
        assert (found["state"], sorted(found["jobs"])) == ("RUNNING", sorted([first, second]))
        assert "in use by" in explained(api, second)
        refused = api.call("DELETE", f"{POOLS}/warm")
        assert (refused.status, refused.error["status"]) == (400, "FAILED_PRECONDITION")
        assert first in refused.error["message"]
        gate.touch()
        assert {api.wait(name)["state"] for name in (first, second)} == {"JOB_STATE_SUCCEEDED"}
        assert api.call("DELETE", f"{POOLS}/warm").status == 200
        assert api.call("GET", POOLS).json == {"pools": []}
        api.close()


def test_what_does_not_fit_is_refused(api: Api, tmp_path: Path) -> None:
    """Of jobs and of resources, each with its code."""
    assert made(api, BODY).status == 200
    large = gated(tmp_path, workerPoolSpecs=[pool(), pool(replicaCount=2)])
    machine = gated(tmp_path, workerPoolSpecs=[pool(machineSpec={"machineType": "e2-standard-4"})])
    spot = gated(tmp_path, scheduling={"strategy": "SPOT"})
    for body, field in (
        (large, "job_spec.worker_pool_specs[1].replica_count"),
        (machine, "job_spec.worker_pool_specs[0].machine_spec"),
        (spot, "job_spec.scheduling.strategy"),
    ):
        answer = api.create(body)
        assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")
        assert field in [each["field"] for each in answer.violations]
    absent = api.create(gated(tmp_path, "cold"))
    assert (absent.status, absent.error["status"]) == (404, "NOT_FOUND")
    assert "This server has warm;" in absent.error["message"]
    for body, status, words in (
        (BODY, 409, "exists already"),
        ({**BODY, "name": "more", "resourcePools": [{**N1, "replicaCount": 3}]}, 429, "would keep 4 replicas"),
        ({"name": "bad"}, 400, "resourcePools"),
    ):
        answer = made(api, body)
        assert (answer.status, words in answer.error["message"]) == (status, True)
    assert "no parameter 'filter' here" in api.call("GET", f"{POOLS}?filter=x").error["message"]
    assert api.call("PUT", POOLS, BODY).status == 405
    assert api.call("POST", f"{POOLS}/warm", BODY).headers["allow"] == "GET, HEAD, DELETE"
    assert api.call("GET", f"{POOLS}/cold").status == 404


def test_trials_of_a_search_run_on_it_too(api: Api, tmp_path: Path) -> None:
    """Two at once are allowed and one place is kept: they run one after the other, with room elsewhere."""
    assert made(api, BODY).status == 200
    here = tmp_path / "trials"
    here.mkdir()
    script = f"cd {here}; mkdir $CLOUD_ML_TRIAL_ID; ls; sleep 0.2; {nas_requests.reporting()}; rmdir $CLOUD_ML_TRIAL_ID"
    search = nas_requests.nas(script, trials=3, at_once=2)
    trial = search["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["searchTrialJobSpec"]
    trial["persistentResourceId"] = "cold"
    assert nas_requests.create(api, search).status == 404
    trial["persistentResourceId"] = "warm"
    job = nas_requests.ended(api, search)
    assert nas_requests.states(job) == ["SUCCEEDED"] * 3
    outputs = [nas_requests.output_of(api, job, f"search-{number}") for number in (1, 2, 3)]
    assert [text.split() for text in outputs] == [["1"], ["2"], ["3"]]
    assert api.call("GET", f"{POOLS}/warm").json["jobs"] == []


def package(path: Path) -> None:
    """A source distribution without requirements."""
    files = {"setup.py": "from setuptools import setup\nsetup(name='warmed', version='1', py_modules=['warmed'])\n"}
    files |= {"PKG-INFO": "Metadata-Version: 2.1\nName: warmed\nVersion: 1\n", "warmed.py": "print('warm')\n"}
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"warmed-1/{name}")
            info.size = len(text)
            archive.addfile(info, BytesIO(text.encode()))


def test_the_environment_is_there_before_the_first_job(server: Server, api: Api) -> None:
    """`pools create` waits until it is made; the job that then asks for it prepares nothing."""
    package(server.data_dir / "buckets" / "bkt" / "warmed.tar.gz")
    told = cli(server, "create", "warm", "--resource-pool-spec=machine-type=n1-standard-4", "--image=img",
               "--python-package-uris=gs://bkt/warmed.tar.gz", "--format=json")  # fmt: skip
    assert (told.returncode, json.loads(told.stdout)["state"]) == (0, "RUNNING"), told.stderr
    assert "The environment that stands in for img is ready" in told.stdout
    (kept,) = (path for path in (server.data_dir / "environments").iterdir() if path.is_dir())
    spec = {"executorImageUri": "img", "packageUris": ["gs://bkt/warmed.tar.gz"], "pythonModule": "warmed"}
    workers = [pool(containerSpec=None, pythonPackageSpec=spec)]
    job = api.wait(
        api.made({"displayName": "t", "jobSpec": {"workerPoolSpecs": workers, "persistentResourceId": "warm"}})["name"]
    )
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    page = api.call("GET", f"/trainyard/v1/{job['name']}/logs").json["entries"]
    assert "warm" in [entry["text"] for entry in page]
    assert not any("Preparing" in entry["text"] for entry in page)
    assert [path for path in kept.parent.iterdir() if path.is_dir()] == [kept]


def test_the_command_line_says_all_of_it(server: Server, api: Api) -> None:
    """Create by flags and by file, list, describe, delete; what fails is told in a sentence, with an exit code."""
    flags = "machine-type=a2-highgpu-1g,replica-count=1,disk-size=200,accelerator-type=NVIDIA_TESLA_A100"
    assert cli(server, "create", "warm", f"--resource-pool-spec={flags}", "--display-name=W", "--async").returncode == 0
    shown = json.loads(cli(server, "describe", "warm", "--format=json").stdout)
    assert shown["displayName"] == "W"
    assert shown["resourcePools"][0]["diskSpec"] == {"bootDiskSizeGb": 200}
    (table, row) = cli(server, "list").stdout.splitlines()
    assert table.split() == ["NAME", "STATE", "REPLICAS", "USED", "IMAGE", "JOBS"]
    assert row.split() == ["warm", "RUNNING", "1", "0", "0"]
    assert cli(server, "list", "--format=value(name)").stdout == "warm\n"
    missing = cli(server, "create", "gone", f"--resource-pool-spec={flags}", "--image=img",
                  "--python-package-uris=gs://no/p.tar.gz")  # fmt: skip
    assert missing.returncode == 1
    assert "could not be made ready" in missing.stderr
    for words, code in (
        (("create", "x"), 2),
        (("create", "x", "--resource-pool-spec=colour=red"), 2),
        (("create", "x", "--resource-pool-spec=machine-type=n1-standard-4,replica-count=two"), 2),
        (("create", "x", "--resource-pool-spec=machine-type=n1-standard-4,accelerator-count=1"), 2),
        (("delete", "x"), 1),
    ):
        assert cli(server, *words).returncode == code, words
    for name in ("gone", "warm"):
        assert cli(server, "delete", name).stderr == f"Deleted the persistent resource [{name}].\n"
    file = server.data_dir / "pool.yaml"
    file.write_text("resource_pools:\n- machine_spec: {machine_type: n1-standard-4}\n")
    assert cli(server, "create", "warm", f"--config={file}").returncode == 0
    assert api.call("GET", POOLS).json["pools"][0]["state"] == "RUNNING"


def test_the_settings_declare_them(tmp_path: Path) -> None:
    """They are kept from the start, and cannot be deleted; with a file that cannot be meant nothing comes up."""
    file = tmp_path / "pools.json"
    file.write_text(json.dumps([BODY]))
    with Server(tmp_path / "data", "--replicas", "2", "--persistent-resources", str(file)) as server:
        api = Api(server.port)
        (found,) = api.call("GET", POOLS).json["pools"]
        assert (found["name"], found["state"], found["declared"]) == ("warm", "RUNNING", True)
        assert "take it out of that file" in api.call("DELETE", f"{POOLS}/warm").error["message"]
        job = api.made(running("true", job_spec={"persistentResourceId": "warm"}))
        assert api.wait(job["name"])["state"] == "JOB_STATE_SUCCEEDED"
        api.close()
    for content, words in (
        ("{}", "is no list"),
        ("[", "cannot be read as JSON"),
        ('[{"name": "A"}]', "lowercase"),
        (json.dumps([BODY, BODY]), "a name stands twice"),
        (json.dumps([{**BODY, "resourcePools": [{**N1, "replicaCount": 9}]}]), "would keep 9 replicas"),
    ):
        file.write_text(content)
        command = [*server.command, "--persistent-resources", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 1
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
