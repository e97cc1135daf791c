"""Conformance cases 52 to 61: cancelling and deleting, operations, over the wire."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from edge_server import Api, running

NAP = running("sleep", "60")
RUNNING = {"JOB_STATE_RUNNING"}


def ended(api: Api, *command: str) -> str:
    """The name of a job that has ended."""
    name: str = api.made(running(*(command or ("true",))))["name"]
    api.wait(name)
    return name


@pytest.mark.parametrize("body", ["{}", "", None, '""'], ids=["object", "empty", "none", "empty string"])
def test_case_52_and_53_cancel_a_running_job(api: Api, body: str | None) -> None:
    """POST …:cancel on RUNNING with `{}` or no body gives 200 `{}`; then CANCELLED: error.code 1, endTime, CANCELED."""
    name = api.made(NAP)["name"]
    api.wait(name, RUNNING)
    answer = api.call("POST", f"{name}:cancel", body)
    assert (answer.status, answer.json) == (200, {})
    assert api.get(name).json["state"] in ("JOB_STATE_RUNNING", "JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED")
    job = api.wait(name, {"JOB_STATE_CANCELLED"})
    assert job["error"]["code"] == 1
    assert "CANCELED" in job["error"]["message"]
    assert job["startTime"] <= job["endTime"]


def test_case_54_cancel_before_it_starts(api: Api) -> None:
    """Cancel on QUEUED gives CANCELLED, with no startTime."""
    blocker = api.made(running("sleep", "60") | {"displayName": "blocker"})
    gang = running("sleep", "60")
    gang["jobSpec"]["workerPoolSpecs"].append({**gang["jobSpec"]["workerPoolSpecs"][0], "replicaCount": 63})
    queued = api.made(gang)["name"]
    assert api.get(queued).json["state"] == "JOB_STATE_QUEUED"
    assert api.call("POST", f"{queued}:cancel", {}).status == 200
    job = api.wait(queued, {"JOB_STATE_CANCELLED"})
    assert "startTime" not in job
    api.call("POST", f"{blocker['name']}:cancel", {})
    api.wait(blocker["name"])


def test_case_55_cancel_what_has_ended(api: Api) -> None:
    """Cancel on SUCCEEDED gives 200 `{}` and leaves the job unchanged; on an unknown job 404."""
    name = ended(api)
    before = api.get(name).json
    answer = api.call("POST", f"{name}:cancel", {})
    assert (answer.status, answer.json) == (200, {})
    assert api.get(name).json == before
    assert api.call("POST", f"{api.parent}/customJobs/5:cancel", {}).status == 404


def test_case_56_a_cancelled_job_leaves_no_process(api: Api, tmp_path: Path) -> None:
    """Cancel sends SIGTERM, then SIGKILL, to every replica; no process is alive after the final state."""
    seen = tmp_path / "seen"
    trap = f"trap 'echo term >> {seen}; exit 0' TERM"
    script = f"{trap}; (setsid sleep 61.75 &); echo up >> {seen}; while :; do sleep 0.05; done"
    job = running("sh", "-c", script)
    job["jobSpec"]["workerPoolSpecs"].append({**job["jobSpec"]["workerPoolSpecs"][0], "replicaCount": 2})
    name = api.made(job)["name"]
    api.wait(name, RUNNING)
    deadline = time.monotonic() + 60
    while not seen.exists() or seen.read_text().count("up") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    api.call("POST", f"{name}:cancel", {})
    api.wait(name, {"JOB_STATE_CANCELLED"})
    assert seen.read_text().count("term") == 3
    assert not [line for line in _command_lines() if "sleep\x0061.75" in line or str(seen) in line]


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text())
        except OSError:
            continue
    return lines


def test_case_57_delete_gives_an_operation(api: Api) -> None:
    """DELETE of a finished job gives an Operation with metadata; it becomes `done` with an Empty response."""
    name = ended(api)
    operation = api.call("DELETE", name).json
    assert operation["name"].startswith(f"{name}/operations/")
    assert operation["metadata"]["@type"] == "type.googleapis.com/google.cloud.aiplatform.v1.DeleteOperationMetadata"
    assert operation["metadata"]["genericMetadata"].keys() == {"createTime", "updateTime"}
    done = api.get(operation["name"]).json
    assert done["done"] is True
    assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}


def test_case_57_the_operation_speaks_the_version_it_was_asked_in(api: Api) -> None:
    """Deleted over v1beta1, the metadata's type is v1beta1's."""
    operation = api.call("DELETE", ended(api), version="v1beta1").json
    assert (
        operation["metadata"]["@type"] == "type.googleapis.com/google.cloud.aiplatform.v1beta1.DeleteOperationMetadata"
    )


def test_case_58_operations_answer_under_every_prefix(api: Api) -> None:
    """`GET /ui/{op}` equals `GET /v1/{op}`; `/v1beta1/` and `/ui/` exist alike."""
    operation = api.call("DELETE", ended(api)).json["name"]
    under = {prefix: api.call("GET", f"/{prefix}/{operation}") for prefix in ("ui", "v1", "v1beta1")}
    assert {answer.status for answer in under.values()} == {200}
    assert under["ui"].json == under["v1"].json
    assert under["v1beta1"].json["name"] == operation


def test_case_59_wait_cancel_and_list_operations(api: Api) -> None:
    """POST {op}:wait?timeout=5s gives it done or pending; {op}:cancel 200; an unknown op 404; a list under the job."""
    name = ended(api)
    operation = api.call("DELETE", name).json["name"]
    assert api.call("POST", f"{operation}:wait?timeout=5s").json["name"] == operation
    assert api.call("POST", f"{operation}:wait", {"timeout": "5s"}).json["done"] is True
    assert api.call("POST", f"{operation}:cancel", {}).status == 200
    assert api.get(f"{name}/operations/1").status == 404
    assert [each["name"] for each in api.get(f"{name}/operations").json["operations"]] == [operation]
    assert operation in [each["name"] for each in api.get(f"{api.parent}/operations").json["operations"]]
    assert api.call("DELETE", operation).status == 200
    assert api.get(operation).status == 404


def test_case_60_a_deleted_job_is_gone_and_its_operation_stays(api: Api) -> None:
    """After deletion GET of the job is a 404, the operation is still readable, the list omits the job."""
    name = ended(api)
    operation = api.call("DELETE", name).json["name"]
    assert api.get(name).status == 404
    assert api.get(operation).status == 200
    assert api.list().json == {}
    assert api.call("DELETE", name).status == 404


def test_case_61_a_running_job_is_not_deleted(api: Api) -> None:
    """DELETE of a RUNNING job is a 400 FAILED_PRECONDITION, and the job goes on."""
    name = api.made(NAP)["name"]
    api.wait(name, RUNNING)
    answer = api.call("DELETE", name)
    assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
    assert api.get(name).json["state"] == "JOB_STATE_RUNNING"
    api.call("POST", f"{name}:cancel", {})
    api.wait(name)
