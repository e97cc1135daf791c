"""Conformance cases C57 to C59 of NasJob: what real clients send and ask, against a server of ours."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from edge_server import FINAL, Api, Server
from nas_requests import TWELVE, create, ended, made, nas, reporting, search_trials

pytestmark = pytest.mark.usefixtures("offline")
CLI_STATES_OF_THE_DONE = {"JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_SUCCEEDED"}


def job_service(server: Server, transport: str, version: str = "v1") -> Any:
    """The official client, pointed here."""
    import grpc
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1, aiplatform_v1beta1

    module = {"v1": aiplatform_v1, "v1beta1": aiplatform_v1beta1}[version]
    kind = module.JobServiceClient.get_transport_class(transport)
    if transport == "grpc":
        channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
        return module.JobServiceClient(transport=kind(channel=channel)), module
    host, credentials = f"127.0.0.1:{server.port}", AnonymousCredentials()
    return module.JobServiceClient(transport=kind(host=host, credentials=credentials, url_scheme="http")), module


@pytest.mark.clients
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_case_c59_the_official_client(server: Server, project: str, transport: str, version: str) -> None:
    """create, get, list, trial details, cancel, delete, over REST and gRPC, in both versions."""
    client, module = job_service(server, transport, version)
    parent = f"projects/{project}/locations/us-central1"
    body = nas(trials=3, at_once=1, train=(3, 1))
    job = client.create_nas_job(parent=parent, nas_job=module.NasJob.from_json(json.dumps(body)))
    assert job.state in (module.JobState.JOB_STATE_QUEUED, module.JobState.JOB_STATE_PENDING)
    deadline = time.monotonic() + 60
    while client.get_nas_job(name=job.name).state != module.JobState.JOB_STATE_SUCCEEDED:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    output = client.get_nas_job(name=job.name).nas_job_output.multi_trial_job_output
    assert [trial.id for trial in output.search_trials] == ["1", "2", "3"]
    assert output.search_trials[2].final_measurement.metrics[0].value == 3.0
    assert output.train_trials[0].state == module.NasTrial.State.SUCCEEDED
    (listed,) = client.list_nas_jobs(parent=parent)
    assert not listed.nas_job_output.multi_trial_job_output.search_trials
    details = list(client.list_nas_trial_details(request={"parent": job.name, "page_size": 2}))
    assert [each.search_trial.id for each in details] == ["3", "2", "1"]
    one = client.get_nas_trial_detail(name=f"{job.name}/nasTrialDetails/3")
    assert one == details[0]
    assert one.train_trial.id == "1"
    client.cancel_nas_job(name=job.name)
    client.delete_nas_job(name=job.name).result(timeout=60)
    assert not list(client.list_nas_jobs(parent=parent))


def as_the_cli_creates(trials: int = 2, train: bool = False, script: str = "") -> dict[str, Any]:
    """A request in the shape in which vertex_nas_cli.py sends a search: its names, its cases, its defaults."""
    script = script or reporting()

    def job_spec(stage: str) -> dict[str, Any]:
        container = {
            "imageUri": "gcr.io/project/trainer:latest",
            "command": ["sh", "-c", script, "trainer"],
            "args": ["--config_file=c.yaml", "--epochs=1"],
        }
        return {
            "workerPoolSpecs": [
                {
                    "machineSpec": {"machineType": "n1-highmem-16"},
                    "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100},
                    "replicaCount": 1,
                    "containerSpec": container,
                }
            ],
            "scheduling": {"timeout": "1209600s"},
            "baseOutputDirectory": {"outputUriPrefix": f"gs://cli/exp/nas/{stage}"},
        }

    algorithm: dict[str, Any] = {
        "multiTrialAlgorithm": "REINFORCEMENT_LEARNING",
        "searchTrialSpec": {
            "searchTrialJobSpec": job_spec("search"),
            "maxTrialCount": trials,
            "maxParallelTrialCount": 1,
            "maxFailedTrialCount": trials,
        },
        "metric": {"metricId": "nas_reward", "goal": "MAXIMIZE"},
    }
    if train:
        spec = {"trainTrialJobSpec": job_spec("train"), "maxParallelTrialCount": 1, "frequency": trials}
        algorithm["trainTrialSpec"] = spec
    spec = {"searchSpaceSpec": TWELVE, "multiTrialAlgorithmSpec": algorithm}
    return {"displayName": "exp", "labels": {"search_space": ""}, "nasJobSpec": spec}


def ids_as_the_cli_pages(api: Api, name: str, most: int) -> list[str]:
    """list_trials of the public client: pages of min(20, what is left), until a page is empty or has no token."""
    seen: list[str] = []
    token = ""
    while True:
        page = api.get(f"{name}/nasTrialDetails?pageSize={min(20, most - len(seen))}&pageToken={token}")
        if page.status != 200 or "nasTrialDetails" not in page.json:
            return seen
        seen += [each["searchTrial"]["id"] for each in page.json["nasTrialDetails"]]
        token = page.json.get("nextPageToken", "")
        if not token:
            return seen


def test_case_c57_search_and_list_trials(api: Api) -> None:
    """The client's request passes; what it indexes in the answers is there: id, times with a fraction, every value."""
    answer = create(api, as_the_cli_creates(trials=3, train=True))
    assert answer.status == 200, answer.body
    assert int(answer.json["name"].split("/")[-1]) > 0
    assert {"name", "displayName", "state"} <= answer.json.keys()
    job = api.wait(answer.json["name"])
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    for trial in search_trials(job):
        assert "." in trial["startTime"]
        assert all("value" in metric for metric in trial["finalMeasurement"]["metrics"])
    assert job["labels"] == {"search_space": ""}
    assert ids_as_the_cli_pages(api, job["name"], 20) == ["3", "2", "1"]


def test_case_c57_the_client_pages_to_its_maximum_and_beyond(api: Api) -> None:
    """It asks for a page of 0, then of a negative size, where there are more trials than it wants; its loop ends."""
    job = ended(api, nas(trials=25, at_once=5))
    assert len(ids_as_the_cli_pages(api, job["name"], 20)) >= 20


def test_case_c57_train_runs_exactly_as_many_trials_as_ids(api: Api) -> None:
    """`train` is a search of n trials, n at once, n failures allowed; trainers pick by CLOUD_ML_TRIAL_ID: 1 to n."""
    script = 'echo "$CLOUD_ML_TRIAL_ID" ; [ "$CLOUD_ML_TRIAL_ID" != 2 ] || exit 1; ' + reporting()
    body = as_the_cli_creates(trials=3, script=script)
    body["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["maxParallelTrialCount"] = 3
    job = ended(api, body)
    assert [trial["id"] for trial in search_trials(job)] == ["1", "2", "3"]
    assert job["state"] == "JOB_STATE_SUCCEEDED"


def test_case_c58_the_latency_worker(api: Api, tmp_path: Path) -> None:
    """It looks at v1beta1 for trials that are REQUESTED, ACTIVE or STOPPING, and leaves when the job is over."""
    until_seen = f'while [ ! -e "{tmp_path}/$CLOUD_ML_TRIAL_ID" ]; do sleep 0.05; done; '
    job = made(api, nas(until_seen + reporting(), trials=4, at_once=2))
    running: set[str] = set()
    while True:
        now = api.call("GET", job["name"], version="v1beta1").json
        trials = now.get("nasJobOutput", {}).get("multiTrialJobOutput", {}).get("searchTrials", [])
        running |= {each["id"] for each in trials if each["state"] in ("REQUESTED", "ACTIVE", "STOPPING")}
        for seen in running:
            (tmp_path / seen).touch()
        if now["state"] in CLI_STATES_OF_THE_DONE:
            break
        time.sleep(0.02)
    assert now["state"] in FINAL
    assert running == {"1", "2", "3", "4"}
