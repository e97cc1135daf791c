"""Jobs that name a key: nothing that they say or print can be read at rest, and nothing at all without the key."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import edge_server
import pytest
from edge_server import Api, Server, running
from nas_requests import METRIC, choice, made, nas, reporting, search_trials, space

SECRET, LINE = "s3cr3t-of-the-env", "s3cr3t-line"
SCRIPT = 'for i in 1 2 3; do echo "$(printf s3cr3t)-line $i"; done; echo oops >&2; exit ${CODE:-0}'
KEY = "projects/p1/locations/us-central1/keyRings/team/cryptoKeys/training"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, Api]]:
    """A server of this test's own, and its client."""
    with Server(tmp_path / "data", "--replicas", "8") as server:
        api = Api(server.port)
        yield server, api
        api.close()


def cli(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`trainyard` against this server."""
    given = ("--endpoint", f"http://127.0.0.1:{server.port}", "--project", "p1", "--region", "us-central1")
    command = [sys.executable, "-m", "trainyard", arguments[0], arguments[1], *given, *arguments[2:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def made_key(server: Server, name: str = "team/training") -> None:
    """A key, by the command line."""
    answer = cli(server, "keys", "create", name)
    assert answer.returncode == 0, answer.stderr


until = partial(edge_server.until, seconds=30.0)


def secretive(script: str = SCRIPT, **changes: Any) -> dict[str, Any]:
    """A job that names the key, with a secret in its environment, its command and its output."""
    job = running("sh", "-c", f"true {SECRET}-arg; {script}", displayName="findable", **changes)
    spec = job["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    spec["env"] = [{"name": "PASSWORD", "value": SECRET}, *spec.get("env", [])]
    return job | {"encryptionSpec": {"kmsKeyName": KEY}, "labels": {"team": "vision"}}


def key_of(api: Api) -> dict[str, Any]:
    """The key as the service shows it."""
    shown: dict[str, Any] = api.get(f"/trainyard/v1/{KEY}").json
    return shown


def sealed(api: Api) -> bool:
    """Whether nothing of any job is in the clear any more."""
    return key_of(api)["openJobs"] == 0


def readable(directory: Path, *texts: str) -> list[str]:
    """Files below the directory that hold one of the texts."""
    found = []
    for folder, _, names in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            content = b""
            with contextlib.suppress(FileNotFoundError):  # the service goes on meanwhile
                content = path.read_bytes() if path.is_file() else b""  # there is a FIFO, too
            found += [f"{path}: {text}" for text in texts if text.encode() in content]
    return found


def lines(api: Api, name: str) -> list[str]:
    """What the job's replica printed, as the service tells it."""
    found = api.get(f"/trainyard/v1/{name}/logs?task=workerpool0-0").json["entries"]
    return [entry["text"] for entry in found]


def test_nothing_of_a_job_can_be_read_at_rest(served: tuple[Server, Api]) -> None:
    """While the key is there, all answers are as without one; in the data directory is no trace of what they say."""
    server, api = served
    made_key(server)
    job = api.wait(api.made(secretive(f"CODE=3; {SCRIPT}"))["name"])
    name = job["name"]
    assert job["state"] == "JOB_STATE_FAILED"
    until(lambda: sealed(api))
    for round_ in range(2):
        shown = api.get(name).json
        spec = shown["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
        assert spec["env"] == [{"name": "PASSWORD", "value": SECRET}]
        assert shown["encryptionSpec"] == {"kmsKeyName": KEY}
        assert [each["name"] for each in api.list("?filter=displayName=findable").json["customJobs"]] == [name]
        assert sorted(lines(api, name)) == ["oops", *(f"{LINE} {number}" for number in (1, 2, 3))]
        raw = api.get(f"/trainyard/v1/{name}/logs/workerpool0-0/stdout")
        assert raw.body == b"".join(b"s3cr3t-line %d\n" % number for number in (1, 2, 3))
        part = api.call("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout", headers={"Range": "bytes=14-27"})
        assert (part.status, part.body) == (206, b"s3cr3t-line 2\n"[:14])
        explained = api.get(f"/trainyard/v1/{name}:explain").json
        assert "oops" in str(explained)
        assert readable(server.data_dir, SECRET, LINE, "oops", "PASSWORD") == [], f"round {round_}"
        server.stop()
        server.__enter__()  # and the same once it has been restarted
        api.port = server.port
        api.connection = Api(server.port).connection


def test_a_key_that_cannot_be_used_is_refused(served: tuple[Server, Api]) -> None:
    """Missing, of another region, disabled, destroyed: each by the field's name, and nothing is created."""
    server, api = served
    answer = api.create(secretive())
    assert (answer.status, answer.error["status"]) == (404, "NOT_FOUND")
    assert "encryptionSpec.kmsKeyName" in answer.error["message"]
    assert "trainyard keys create team/training" in answer.error["message"]
    made_key(server)
    elsewhere = {"kmsKeyName": KEY.replace("us-central1", "europe-west4")}
    answer = api.create(secretive() | {"encryptionSpec": elsewhere})
    assert answer.status == 400
    assert [one["field"] for one in answer.violations] == ["encryptionSpec.kmsKeyName"]
    for verb, state in (("disable", "disabled"), ("delete", "destroyed")):
        assert cli(server, "keys", verb, "team/training", *(["--yes"] if verb == "delete" else [])).returncode == 0
        answer = api.create(secretive())
        assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
        assert f"is {state}" in answer.error["message"]
    assert api.list().json.get("customJobs", []) == []


def test_a_disabled_key_hides_and_an_enabled_one_shows_again(served: tuple[Server, Api]) -> None:
    """Without the key a job is still listed and found, without what it says; its logs say which key they need."""
    server, api = served
    made_key(server)
    name = api.wait(api.made(secretive())["name"])["name"]
    whole, told = api.get(name).json, lines(api, name)
    until(lambda: sealed(api))
    api.list()
    assert cli(server, "keys", "disable", "team/training").returncode == 0
    for shown in (api.get(name).json, api.list("?filter=labels.team=vision").json["customJobs"][0]):
        assert SECRET not in str(shown)
        kept = ("name", "displayName", "labels", "state", "createTime", "startTime", "endTime", "encryptionSpec")
        assert {field: shown[field] for field in kept} == {field: whole[field] for field in kept}
    for path in ("logs", "logs/workerpool0-0/stdout", "logs?task=service"):
        answer = api.get(f"/trainyard/v1/{name}/{path}")
        assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
        assert "is disabled. Enable it: trainyard keys enable team/training" in answer.error["message"]
    assert LINE not in str(api.get(f"/trainyard/v1/{name}:explain").json)
    assert cli(server, "keys", "enable", "team/training").returncode == 0
    assert api.get(name).json == whole
    assert lines(api, name) == told


def test_a_rotation_keeps_everything(served: tuple[Server, Api]) -> None:
    """The version is another, and what was sealed before reads as before, after a restart too."""
    server, api = served
    made_key(server)
    name = api.wait(api.made(secretive())["name"])["name"]
    until(lambda: sealed(api))
    told = lines(api, name)
    answer = cli(server, "keys", "rotate", "team/training")
    assert "primaryVersion: 2" in answer.stdout
    server.stop()
    server.__enter__()
    again = Api(server.port)
    assert lines(again, name) == told
    assert SECRET in str(again.get(name).json)
    assert "ENABLED" in cli(server, "keys", "list").stdout
    assert "jobs: 1" in cli(server, "keys", "describe", KEY).stdout
    again.close()


def test_deleting_a_key_shreds(served: tuple[Server, Api]) -> None:
    """It takes --yes; then a job that runs is ended and fails with one sentence, and nothing of any job comes back."""
    server, api = served
    made_key(server)
    ended = api.wait(api.made(secretive())["name"])["name"]
    runs = api.made(secretive(f"{SCRIPT.removesuffix('exit ${CODE:-0}')} exec sleep 300"))["name"]
    api.wait(runs, {"JOB_STATE_RUNNING"})
    until(lambda: key_of(api)["openJobs"] == 1)  # the first one is sealed whole
    refused = cli(server, "keys", "delete", "team/training")
    assert refused.returncode == 2
    assert "2 job(s), 1 of them not ended" in refused.stderr
    answer = cli(server, "keys", "disable", "team/training")
    assert "in use by 1 job(s)" in answer.stderr
    assert cli(server, "keys", "delete", "team/training", "--yes").returncode == 0
    failed = api.wait(runs)
    assert failed["state"] == "JOB_STATE_FAILED"
    assert failed["error"]["code"] == 9
    assert "is destroyed" in failed["error"]["message"]
    until(lambda: sealed(api))
    server.stop()
    server.__enter__()
    again = Api(server.port)
    for name in (ended, runs):
        shown = again.get(name).json
        assert SECRET not in str(shown)
        assert shown["displayName"] == "findable"
        assert again.get(f"/trainyard/v1/{name}/logs").error["status"] == "FAILED_PRECONDITION"
    assert readable(server.data_dir, SECRET, LINE, "oops") == []
    assert not subprocess.run(["pgrep", "-f", f"{SECRET}-arg"], capture_output=True, check=False).stdout
    again.close()


@pytest.mark.parametrize("after_seconds", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_a_server_killed_while_it_seals_seals_later(served: tuple[Server, Api], after_seconds: float) -> None:
    """At whatever point it is killed: every byte of the output is there once, and nothing is left in the clear."""
    server, api = served
    made_key(server)
    name = api.made(secretive("head -c 3000000 /dev/zero | tr '\\0' '\\n'; echo s3cr3t-line end"))["name"]
    api.wait(name)
    time.sleep(after_seconds)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.__enter__()
    again = Api(server.port)
    until(lambda: sealed(again))
    assert again.get(f"/trainyard/v1/{name}/logs/workerpool0-0/stdout").body == b"\n" * 3_000_000 + b"s3cr3t-line end\n"
    assert readable(server.data_dir, SECRET, LINE) == []
    assert not list((server.data_dir / "runs").glob(f"{name.rpartition('/')[2]}-*"))
    again.close()


def test_output_is_followed_over_its_sealing(served: tuple[Server, Api]) -> None:
    """A cursor from before goes on behind it: every line once."""
    server, api = served
    made_key(server)
    name = api.made(secretive("for i in $(seq 200); do echo line $i; sleep 0.005; done"))["name"]
    seen: list[str] = []
    cursor, complete = "", False
    while not (complete and sealed(api)):
        page = api.get(f"/trainyard/v1/{name}/logs?task=workerpool0-0&size=7&cursor={cursor}").json
        seen += [entry["text"] for entry in page["entries"]]
        cursor, complete = page["cursor"], page["complete"]
    page = api.get(f"/trainyard/v1/{name}/logs?task=workerpool0-0&size=1000&cursor={cursor}").json
    seen += [entry["text"] for entry in page["entries"]]
    assert seen == [f"line {number}" for number in range(1, 201)]


def test_a_deleted_job_takes_its_data_key_along(served: tuple[Server, Api]) -> None:
    """The key counts it no more."""
    server, api = served
    made_key(server)
    name = api.wait(api.made(secretive())["name"])["name"]
    until(lambda: sealed(api))
    assert key_of(api)["jobs"] == 1
    api.call("DELETE", name)
    until(lambda: key_of(api)["jobs"] == 0)


def sealed_search(script: str, **more: Any) -> dict[str, Any]:
    """A search under the key, with a secret in its space, its trainer's environment and what trials print."""
    secret_space = space(choice("a", f"'{SECRET}-x'", f"'{SECRET}-y'", f"'{SECRET}-z'"))
    search = nas(f"echo {LINE}; {script}", searched=secret_space, encryptionSpec={"kmsKeyName": KEY}, **more)
    spec = search["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["searchTrialJobSpec"]
    spec["workerPoolSpecs"][0]["containerSpec"]["env"] = [{"name": "PASSWORD", "value": SECRET}]
    return search


def test_a_search_is_sealed_with_all_of_its_trials(served: tuple[Server, Api]) -> None:
    """Points, measurements, output and the jobs of trials are under one key, and go with it."""
    server, api = served
    made_key(server)
    job = api.wait(made(api, sealed_search(f"{reporting('0.12345678')}"))["name"])
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert len(search_trials(job)) == 3
    until(lambda: sealed(api))
    name = job["name"]
    detail = api.get(f"{name}/nasTrialDetails/1").json
    assert SECRET in detail["parameters"]
    entries = api.get(f"/trainyard/v1/{name}/logs?task=search-1").json["entries"]
    assert [entry["text"] for entry in entries] == [LINE]
    assert readable(server.data_dir, SECRET, LINE, "0.12345678") == []
    assert key_of(api)["jobs"] == 1
    assert cli(server, "keys", "delete", "team/training", "--yes").returncode == 0
    shown = api.get(name)
    assert shown.status == 200
    assert SECRET not in shown.body.decode()
    for path in (f"{name}/nasTrialDetails/1", f"{name}/nasTrialDetails", f"/trainyard/v1/{name}/logs?task=search-1"):
        assert api.get(path).error["status"] == "FAILED_PRECONDITION"
    refused = api.call("POST", f"{api.parent}/nasJobs", nas() | {"nasJobSpec": {"resumeNasJobId": name}})
    assert refused.error["status"] == "FAILED_PRECONDITION"


def test_a_search_whose_key_goes_ends_with_its_trials(served: tuple[Server, Api]) -> None:
    """No trial runs on, and the search fails with the sentence."""
    server, api = served
    made_key(server)
    name = made(api, sealed_search("exec sleep 300"))["name"]
    api.wait(name, {"JOB_STATE_RUNNING"})
    until(lambda: len(list((server.data_dir / "logs").iterdir())) >= 2)
    assert cli(server, "keys", "delete", "team/training", "--yes").returncode == 0
    job = api.wait(name)
    assert job["state"] == "JOB_STATE_FAILED"
    assert "is destroyed" in job["error"]["message"]
    until(lambda: sealed(api))
    assert readable(server.data_dir, SECRET, LINE) == []


def claimed(api: Api, name: str) -> dict[str, Any]:
    """What a worker is answered; the same trial again while it holds one."""
    answer: dict[str, Any] = api.call("POST", f"/trainyard/v1/{name}:claim", {"worker": "w"}).json
    return answer


def test_points_that_workers_claim_are_sealed(served: tuple[Server, Api]) -> None:
    """What a worker reports of its trial is not in the store in the clear either."""
    server, api = served
    made_key(server)
    name = made(api, sealed_search(reporting(), labels={"trainyard-trials": "claimed"}, trials=2))["name"]
    for value in (0.11223344, 0.55667788):
        until(lambda: "trial" in claimed(api, name))
        told = {"worker": "w", "metrics": {METRIC: value}}
        number = claimed(api, name)["trial"]["id"]
        assert api.call("POST", f"/trainyard/v1/{name}/nasTrialDetails/{number}:report", told).status == 200
        assert readable(server.data_dir, SECRET, str(value)) == []
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    assert readable(server.data_dir, SECRET, "0.11223344", "0.55667788") == []


def test_other_readers_pass_over_what_is_locked(served: tuple[Server, Api]) -> None:
    """SQL and Cloud Logging go on answering about all other jobs, and say nothing of what is sealed."""
    server, api = served
    made_key(server)
    api.wait(api.made(secretive())["name"])
    plain = api.wait(api.made(running("sh", "-c", "echo to be seen", displayName="plain"))["name"])
    until(lambda: sealed(api))
    query = (
        "SELECT displayName, jobSpec, encryptionSpec, error FROM google.aiplatform.custom_jobs "
        "WHERE projectsId = 'p1' AND locationsId = 'us-central1'"
    )
    before = api.call("POST", "/v1/sql", {"sql": query}).body.decode()
    assert SECRET in before
    assert cli(server, "keys", "disable", "team/training").returncode == 0
    after = api.call("POST", "/v1/sql", {"sql": query}).body.decode()
    assert SECRET not in after
    assert "findable" in after
    assert "plain" in after
    asked = {"resourceNames": ["projects/p1"], "filter": 'resource.type="ml_job"'}
    entries = api.call("POST", "/v2/entries:list", asked).json["entries"]
    assert plain["name"].rpartition("/")[2] in {entry["resource"]["labels"]["job_id"] for entry in entries}
    assert SECRET not in str(entries)
    assert LINE not in str(entries)
    for said in (api.get(f"{api.parent}/customJobs").body, (server.data_dir / "audit.log").read_bytes()):
        assert SECRET.encode() not in said


def test_a_damaged_job_is_told_and_the_others_are_listed(served: tuple[Server, Api]) -> None:
    """`get` of it says what to do; lists and SQL go on, with what is known of it without what it says."""
    server, api = served
    made_key(server)
    name, other = (api.wait(api.made(secretive())["name"])["name"] for _ in range(2))
    until(lambda: sealed(api))
    with sqlite3.connect(server.data_dir / "trainyard.db") as raw:
        raw.create_function("changed", 1, lambda spec: spec[:-1] + bytes([spec[-1] ^ 1]))
        raw.execute("UPDATE job_body SET spec = changed(spec) WHERE id = ?", (name.rpartition("/")[2],))
    raw.close()
    server.stop()
    server.__enter__()
    again = Api(server.port)
    listed = {job["name"]: job for job in again.list().json["customJobs"]}
    assert SECRET in str(listed[other])
    assert SECRET not in str(listed[name])
    assert (listed[name]["displayName"], listed[name]["state"]) == ("findable", "JOB_STATE_SUCCEEDED")
    for path in (name, f"/trainyard/v1/{name}/logs"):
        answer = again.get(path)
        assert (answer.status, answer.error["status"]) == (500, "INTERNAL")
        assert "Restore it" in answer.error["message"]
    table = "google.aiplatform.custom_jobs WHERE projectsId = 'p1' AND locationsId = 'us-central1'"
    told = again.call("POST", "/v1/sql", {"sql": f"SELECT name, displayName, jobSpec FROM {table}"}).body.splitlines()
    rows = [json.loads(line)["row"] for line in told[1:-1]]
    assert [[row[0], row[1], SECRET in (row[2] or "")] for row in rows] == [
        [other, "findable", True],
        [name, "findable", False],
    ]
    assert again.call("DELETE", name).status == 200
    again.close()


def test_a_service_without_its_master_key_does_not_start(tmp_path: Path) -> None:
    """It says which file it needs; with it all is there again. The data directory alone opens nothing."""
    stick = tmp_path / "stick" / "master"
    server = Server(tmp_path / "data", "--master-key-file", str(stick))
    with server:
        made_key(server)
        api = Api(server.port)
        name = api.wait(api.made(secretive())["name"])["name"]
        until(lambda: sealed(api))
        api.close()
    assert stick.stat().st_mode & 0o777 == 0o600
    stick.rename(tmp_path / "pocket")
    answer = subprocess.run(server.command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert f"The master key {stick} cannot be read" in answer.stderr
    (tmp_path / "pocket").rename(stick)
    with server:
        again = Api(server.port)
        assert SECRET in str(again.get(name).json)
        again.close()


def test_an_odd_request_about_keys_is_told_what_is_odd(served: tuple[Server, Api]) -> None:
    """Names, verbs, fields and confirmations: each with the error of its kind."""
    server, api = served
    made_key(server)
    ring, key = f"/trainyard/v1/{KEY.rpartition('/')[0]}", f"/trainyard/v1/{KEY}"
    assert api.call("POST", ring, {"cryptoKeyId": "training"}).status == 409
    assert api.call("POST", ring, {"cryptoKeyId": "a b"}).status == 400
    assert api.call("POST", ring, {"cryptoKeyId": "x", "purpose": "y"}).violations[0]["field"] == "purpose"
    assert api.call("POST", f"{key}:destroy", {}).error["status"] == "FAILED_PRECONDITION"
    assert api.call("POST", f"{key}:rotate", {"x": 1}).status == 400
    assert api.call("GET", f"{key}:rotate").status == 405
    assert api.call("DELETE", key).status == 405
    assert api.get(f"{key}x").status == 404
    assert cli(server, "keys", "describe", "nonsense").returncode == 2
    assert cli(server, "keys", "describe", "no/key").returncode == 1
    assert [json.loads(line)["what"] for line in (server.data_dir / "audit.log").read_text().splitlines()] == [
        "keys.create",
        "keys.create",
    ]
