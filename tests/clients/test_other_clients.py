"""Clients that are not the Python SDK: googleapiclient, KFP's runner, Node, gcloud, and bare HTTP libraries."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from foreign import HERE, TRAINYARD, Ended, clean_environment, program, run

from trainyard.local_service import LocalService

pytestmark = [pytest.mark.clients, pytest.mark.slow]
# What `python -m google_cloud_pipeline_components.container.v1.custom_job.launcher` does, looking more often.
KFP_LAUNCHER = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from google_cloud_pipeline_components.container.v1.custom_job import launcher
from google_cloud_pipeline_components.container.v1.gcp_launcher import job_remote_runner
job_remote_runner._POLLING_INTERVAL_IN_SECONDS = 0.2
launcher.main(sys.argv[1:])
"""
LIBRARIES_HERE = ("requests", "google_auth", "urllib3", "urllib", "urllib_text", "http_client", "httpx", "httpx_async")
LIBRARIES_1X = ("requests", "httplib2", "aiohttp", "httpx")


def is_whole_discovery_story(told: dict[str, Any]) -> None:
    """Both versions created, found, cancelled in vain and deleted a job."""
    for version in ("v1", "v1beta1"):
        assert told[version] == 1
        assert told[f"{version} delete"] is True
        assert told[f"{version} gone"] == [404, "The CustomJob does not exist."]


def test_googleapiclient_under_exec(python_1x: str, execute: Callable[..., Ended], project: str) -> None:
    """google-api-python-client with its bundled discovery document, unedited."""
    is_whole_discovery_story(execute(python_1x, program("discovery_client.py"), PROJECT=project).told)


def test_googleapiclient_by_endpoint(python_1x: str, service: LocalService, project: str) -> None:
    """google-api-python-client with nothing but the endpoint and the credentials changed."""
    ended = run([python_1x, program("discovery_client.py")], PROJECT=project, ENDPOINT=service.endpoint)
    is_whole_discovery_story(ended.told)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_node_client(node_folder: Path, service: LocalService, project: str, transport: str) -> None:
    """@google-cloud/aiplatform creates, polls, lists, cancels and deletes in both versions over both transports."""
    address = service.endpoint.removeprefix("http://")
    script = program("node_story.mjs")
    ended = run(["node", script, address, transport, project], cwd=node_folder, METADATA_SERVER_DETECTION="none")
    assert ended.told == {"v1": ["v1", 1, True], "v1beta1": ["v1beta1", 1, True]}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_what_gcloud_sends(service: LocalService, project: str, version: str) -> None:
    """gcloud's requests, byte for byte as recorded: create from flags and from YAML, list, describe, cancel."""
    recorded = json.loads((HERE / "recorded" / "gcloud_528.json").read_text())
    names, answers = [], {}
    for each in recorded["requests"]:
        path = each["path"].replace("{version}", version).replace("{project}", project)
        path = path.replace("{name}", names[-1] if names else "")
        connection = http.client.HTTPConnection(service.endpoint.removeprefix("http://"), timeout=30)
        connection.request(each["method"], path, each["body"] or None, recorded["headers"])
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        assert response.status == 200, (each["step"], answer)
        answers[each["step"]] = answer
        if each["step"].startswith("create"):
            names.append(answer["name"])
    assert answers["create from flags"]["labels"] == {"team": "a"}
    assert answers["create from YAML"]["jobSpec"]["scheduling"]["timeout"] == "3600s"
    assert [job["name"] for job in answers["list"]["customJobs"]] == names[::-1]
    assert answers["describe"]["displayName"] == "yaml"
    assert answers["cancel"] == {}
    assert service.wait(names[-1])["state"] == "JOB_STATE_CANCELLED"


def kfp_command(python: str, project: str, resources: Path, *command: str) -> list[str]:
    """The launcher as a pipeline's container runs it."""
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": "host", "command": list(command)},
    }
    scheduling = {"timeout": "604800s", "restart_job_on_worker_restart": False, "strategy": "STANDARD"}
    spec = {
        "worker_pool_specs": [pool],
        "scheduling": {**scheduling, "max_wait_duration": "86400s"},
        "service_account": "",
        "network": "",
        "base_output_directory": {"output_uri_prefix": ""},
    }
    payload = {"display_name": "kfp", "job_spec": spec, "labels": {}, "encryption_spec": {"kms_key_name": ""}}
    there = ("--project", project, "--location", "us-central1", "--gcp_resources", str(resources))
    return [python, "-c", KFP_LAUNCHER, "--type", "CustomJob", *there, "--payload", json.dumps(payload)]


def test_kfps_runner_hears_of_a_failure(
    python_1x: str, execute: Callable[..., Ended], service: LocalService, project: str, tmp_path: Path
) -> None:
    """KFP's runner, whose host is hard-coded, creates the job and takes error.code 3 for the user's fault."""
    ended = execute(*kfp_command(python_1x, project, tmp_path / "resources", "sh", "-c", "sleep 0.1; exit 1"))
    assert ended.code == 1
    assert "Job failed with value error in error state" in ended.err
    [resource] = json.loads((tmp_path / "resources").read_text())["resources"]
    name = resource["resourceUri"].partition("/v1/")[2]
    assert service.job(name)["displayName"] == "kfp"


def test_kfps_runner_cancels_its_job(python_1x: str, service: LocalService, project: str, tmp_path: Path) -> None:
    """SIGTERM to `trainyard exec` reaches the runner, which cancels by a raw POST to the hard-coded host."""
    command = kfp_command(python_1x, project, tmp_path / "resources", "sleep", "300")
    process = subprocess.Popen(
        [TRAINYARD, "exec", "--endpoint", service.endpoint, "--", *command],
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        # The runner listens for SIGTERM from its first look at the job on.
        said = next(line for line in process.stderr if "is in a non-final state" in line)
        process.send_signal(signal.SIGTERM)
        [name] = re.findall(r"projects/\S+/customJobs/\d+", said)
        assert service.wait(name)["state"] == "JOB_STATE_CANCELLED"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("where", "names"), [("here", LIBRARIES_HERE), ("1.x", LIBRARIES_1X)])
def test_every_http_library(
    request: pytest.FixtureRequest, execute: Callable[..., Ended], project: str, where: str, names: tuple[str, ...]
) -> None:
    """A hard-coded Vertex host is our service in each of them; any other Google host is refused with a sentence."""
    python = sys.executable if where == "here" else str(request.getfixturevalue("python_1x"))
    ended = execute(python, program("http_libraries.py"), *names, PROJECT=project)
    for name, (ours, other) in ended.told.items():
        assert ours == {}, f"{name}: an empty list was expected, not {ours}"
        assert other.startswith("RealCloudRefused: bigquery.googleapis.com was not called"), f"{name}: {other}"
        assert "--allow-host bigquery.googleapis.com" in other
