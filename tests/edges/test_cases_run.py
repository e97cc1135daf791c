"""Conformance cases 63 to 73: how a job ends, and what a replica is told, with real programs behind the API."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from edge_server import BUSY_SECONDS, Api, pool, pools, running

TELL = ["python3", "-c", "import json, os; print(json.dumps(dict(os.environ)))"]


def shell(script: str, count: int = 1) -> dict[str, Any]:
    """A worker pool whose replicas run a shell script."""
    return pool(replicaCount=count, containerSpec={"imageUri": "host", "command": ["sh", "-c", script]})


def telling(count: int = 1) -> dict[str, Any]:
    """A worker pool whose replicas print their environment as JSON."""
    return pool(replicaCount=count, containerSpec={"imageUri": "host", "command": TELL})


def output(api: Api, name: str, task: str = "workerpool0-0", query: str = "", stream: str = "stdout") -> bytes:
    """What a replica wrote, to the byte."""
    answer = api.call("GET", f"/trainyard/v1/{name}/logs/{task}/{stream}{query}")
    assert answer.status == 200
    return answer.body


def told(api: Api, name: str, task: str = "workerpool0-0") -> dict[str, str]:
    """The environment that a replica of `telling` printed."""
    environment: dict[str, str] = json.loads(output(api, name, task))
    return environment


def narration(api: Api, name: str) -> str:
    """The job's service log, one sentence a line."""
    page = api.call("GET", f"/trainyard/v1/{name}/logs?task=service").json
    return "\n".join(entry["text"] for entry in page["entries"])


def test_case_63_the_primary_ends_the_job(api: Api, tmp_path: Path) -> None:
    """Exit 0 of the primary while workers still sleep is SUCCEEDED, and the workers are ended before it is said."""
    up = tmp_path / "up"
    chief = shell(f"while [ ! -e {up}-0 ] || [ ! -e {up}-1 ]; do sleep 0.02; done")
    workers = shell(f"echo $$$$ > {up}-$RANK.pid; : > {up}-$((RANK - 1)); exec sleep 300", 2)
    job = api.wait(api.made(pools(chief, workers))["name"])
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert "error" not in job
    pids = [path.read_text().strip() for path in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    assert not [pid for pid in pids if Path("/proc", pid).exists()]


def test_case_64_exit_1_fails_the_job(api: Api) -> None:
    """Exit 1 is FAILED with error.code 3; the message begins as the original's, and ends with what was printed."""
    job = api.wait(api.made(running("sh", "-c", "echo it broke here >&2; exit 1"))["name"])
    assert (job["state"], job["error"]["code"]) == ("JOB_STATE_FAILED", 3)
    assert job["error"]["message"].startswith("The replica workerpool0-0 exited with a non-zero status of 1.")
    assert "it broke here" in job["error"]["message"]


def test_case_65_a_worker_fails_the_job(api: Api) -> None:
    """workerpool1-1 exits with 1: FAILED, naming it; the primary that went on is ended."""
    job = pools(shell("exec sleep 300"), shell("[ $RANK != 2 ] || exit 1; exec sleep 300", 2))
    ended = api.wait(api.made(job)["name"])
    assert (ended["state"], ended["error"]["code"]) == ("JOB_STATE_FAILED", 3)
    assert ended["error"]["message"].startswith("The replica workerpool1-1 exited with a non-zero status of 1.")


@pytest.mark.slow
def test_case_66_a_crash_is_retried(api: Api, tmp_path: Path) -> None:
    """Exit 139 is retried three times, then FAILED with 139; every try is in the service log."""
    tries = tmp_path / "tries"
    name = api.made(running("sh", "-c", f"echo x >> {tries}; exit 139"))["name"]
    job = api.wait(name, seconds=90)
    assert job["state"] == "JOB_STATE_FAILED"
    assert "non-zero status of 139" in job["error"]["message"]
    assert "retried 3 times" in job["error"]["message"]
    assert tries.read_text() == "x\n" * 4
    assert "retry 3 of 3" in narration(api, name)


def test_case_66_without_retries_a_crash_is_final(api: Api, tmp_path: Path) -> None:
    """With disableRetries the program is started once, and the error says why it was not tried again."""
    tries = tmp_path / "tries"
    spec = {"scheduling": {"disableRetries": True}}
    job = api.wait(api.made(running("sh", "-c", f"echo x >> {tries}; exit 139", job_spec=spec))["name"])
    assert job["state"] == "JOB_STATE_FAILED"
    assert "disableRetries" in job["error"]["message"]
    assert tries.read_text() == "x\n"


def test_case_67_a_timeout_ends_the_job(api: Api) -> None:
    """A timeout of 2 s ends a sleeping job as CANCELLED, with an endTime and a sentence that names the timeout."""
    begun = time.monotonic()
    job = api.wait(api.made(running("sleep", "300", job_spec={"scheduling": {"timeout": "2s"}}))["name"])
    assert 1.9 < time.monotonic() - begun < 15 + BUSY_SECONDS
    assert job["state"] == "JOB_STATE_CANCELLED"
    assert job["endTime"] > job["startTime"]
    assert "timeout of 2 s" in job["error"]["message"]


def test_case_68_one_replica_has_a_cluster_of_one(api: Api) -> None:
    """CLUSTER_SPEC names workerpool0 with one host and task workerpool0/0; TF_CONFIG and WORLD_SIZE are unset."""
    name = api.made(pools(telling()))["name"]
    api.wait(name)
    environment = told(api, name)
    spec = json.loads(environment["CLUSTER_SPEC"])
    assert list(spec["cluster"]) == ["workerpool0"]
    assert len(spec["cluster"]["workerpool0"]) == 1
    assert (spec["task"], spec["environment"]) == ({"type": "workerpool0", "index": 0}, "cloud")
    assert isinstance(spec["job"], dict)
    assert not {"TF_CONFIG", "WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"} & set(environment)


def test_case_69_every_replica_knows_the_cluster(api: Api) -> None:
    """Pools of 1, 2, 1 and 1: all hosts everywhere, each its own type and index; the evaluator is in no cluster."""
    gather = f"{' '.join(TELL[:2])} '{TELL[2]}'; exec sleep 300"
    tell_then_wait = {"imageUri": "host", "command": ["sh", "-c", gather]}
    others = [pool(replicaCount=n, containerSpec=tell_then_wait) for n in (2, 1, 1)]
    name = api.made(pools(pool(containerSpec=tell_then_wait), *others))["name"]
    tasks = ["workerpool0-0", "workerpool1-0", "workerpool1-1", "workerpool2-0", "workerpool3-0"]
    deadline = time.monotonic() + 60
    while not all(output(api, name, task).endswith(b"}\n") for task in tasks):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    all_told = {task: told(api, name, task) for task in tasks}
    api.call("POST", f"{name}:cancel", {})
    clusters = [json.loads(each["CLUSTER_SPEC"]) for each in all_told.values()]
    assert all(each["cluster"] == clusters[0]["cluster"] for each in clusters)
    assert [len(hosts) for hosts in clusters[0]["cluster"].values()] == [1, 2, 1, 1]
    assert len({host for hosts in clusters[0]["cluster"].values() for host in hosts}) == 5
    assert [f"{each['task']['type']}-{each['task']['index']}" for each in clusters] == tasks
    configs = [json.loads(each["TF_CONFIG"]) for each in all_told.values()]
    assert all(list(each["cluster"]) == ["chief", "worker", "ps"] for each in configs)
    assert [(each["task"]["type"], each["task"]["index"]) for each in configs] == [
        ("chief", 0),
        ("worker", 0),
        ("worker", 1),
        ("ps", 0),
        ("evaluator", 0),
    ]
    assert [each["RANK"] for each in all_told.values()] == list("01234")
    assert {each["WORLD_SIZE"] for each in all_told.values()} == {"5"}
    assert {f"{each['MASTER_ADDR']}:{each['MASTER_PORT']}" for each in all_told.values()} == set(
        clusters[0]["cluster"]["workerpool0"]
    )
    api.wait(name)


def test_case_70_names_are_expanded(api: Api) -> None:
    """env `A=1`, `B=$(A)2`; args `$(B)`, `$$(A)`, `$(NOPE)` arrive as `12`, `$(A)`, `$(NOPE)`: no shell between."""
    spec = {
        "imageUri": "host",
        "command": ["python3", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"],
        "args": ["$(B)", "$$(A)", "$(NOPE)", "a b;$HOME*"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}],
    }
    name = api.made(pools(pool(containerSpec=spec)))["name"]
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    assert json.loads(output(api, name)) == ["12", "$(A)", "$(NOPE)", "a b;$HOME*"]


def test_case_71_command_and_args(api: Api) -> None:
    """A command runs by itself, with args behind it; args alone need an image's entry point, and the job says so."""
    alone = api.made(running("sh", "-c", 'echo "$0:$#"'))["name"]
    both = {"imageUri": "host", "command": ["sh", "-c", 'echo "$0:$#"', "x"], "args": ["1", "2"]}
    behind = api.made(pools(pool(containerSpec=both)))["name"]
    only_args = api.made(pools(pool(containerSpec={"imageUri": "an/image", "args": ["--epochs", "3"]})))["name"]
    for name, said in ((alone, b"sh:0\n"), (behind, b"x:2\n")):
        assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
        assert output(api, name) == said
    job = api.wait(only_args)
    assert job["state"] == "JOB_STATE_FAILED"
    assert "containerSpec.command" in job["error"]["message"]


def test_case_72_the_project_and_the_job_are_known(api: Api) -> None:
    """CLOUD_ML_PROJECT_ID is the project's number, CLOUD_ML_JOB_ID the last part of the job's name."""
    name = api.made(pools(telling()))["name"]
    api.wait(name)
    environment = told(api, name)
    _, number, _, location, _, job_id = name.split("/")
    assert number.isdecimal()
    assert environment["CLOUD_ML_PROJECT_ID"] == number
    assert environment["CLOUD_ML_JOB_ID"] == job_id
    assert environment["CLOUD_ML_REGION"] == location


def test_case_73_output_directories_only_where_asked_for(api: Api) -> None:
    """Without baseOutputDirectory the three AIP_*_DIR are unset; with it they are its subdirectories."""
    plain = api.made(pools(telling()))["name"]
    base = {"baseOutputDirectory": {"outputUriPrefix": "gs://b/out"}}
    based = api.made(pools(telling(), **base))["name"]
    for name in (plain, based):
        api.wait(name)
    names = ("AIP_MODEL_DIR", "AIP_CHECKPOINT_DIR", "AIP_TENSORBOARD_LOG_DIR")
    assert not set(names) & set(told(api, plain))
    environment = told(api, based)
    assert [environment[each] for each in names] == ["gs://b/out/model/", "gs://b/out/checkpoints/", "gs://b/out/logs/"]
