"""Cloud Logging for jobs: what gcloud and google-cloud-logging ask, over REST and gRPC, of a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from edge_server import Api, Server, running
from grpc_calls import Grpc

from trainyard.contract.pool import message_class

STRUCTURED = {"message": "hi", "loss": 0.25, "severity": "WARNING", "logging.googleapis.com/labels": {"epoch": "3"}}
SCRIPT = f"echo one; echo two; echo three; echo oops >&2; echo '{json.dumps(STRUCTURED)}'"


@pytest.fixture
def job_id(api: Api) -> str:
    """A job that has ended and whose output is known, beside another one."""
    other = api.made(running("sh", "-c", "echo another"))
    name = api.made(running("sh", "-c", SCRIPT))["name"]
    api.wait(name)
    api.wait(other["name"])
    return str(name.rpartition("/")[2])


def listed(api: Api, project: str, **fields: Any) -> dict[str, Any]:
    answer = api.call("POST", "/v2/entries:list", {"resourceNames": [f"projects/{project}"], **fields})
    assert answer.status == 200, answer.body
    return dict(answer.json)


def pages(api: Api, project: str, **fields: Any) -> Iterator[list[dict[str, Any]]]:
    token = ""
    while True:
        page = listed(api, project, pageToken=token, **fields)
        yield page.get("entries", [])
        token = page.get("nextPageToken", "")
        if not token:
            return


def test_an_entry_has_the_original_shape(api: Api, project: str, job_id: str) -> None:
    """Resource ml_job with its three labels, log name, labels, severity, payload, times with nine digits, insert id."""
    asked = f'resource.type="ml_job" AND resource.labels.job_id="{job_id}" AND severity>=WARNING'
    entries = listed(api, project, filter=asked, orderBy="timestamp asc")["entries"]
    texts = {entry.get("textPayload"): entry for entry in entries}
    assert texts["oops"]["severity"] == "ERROR"
    structured = texts[None]
    assert structured["jsonPayload"] == {"message": "hi", "loss": 0.25}
    assert structured["severity"] == "WARNING"
    assert structured["labels"]["epoch"] == "3"
    assert structured["labels"]["trainyard/stream"] == "stdout"
    assert structured["labels"]["ml.googleapis.com/job_state"] in ("PENDING", "RUNNING")
    assert structured["logName"] == f"projects/{project}/logs/workerpool0-0"
    assert structured["resource"] == {
        "type": "ml_job",
        "labels": {"project_id": project, "job_id": job_id, "task_name": "workerpool0-0"},
    }
    assert structured["insertId"].startswith(job_id)
    assert len(structured["timestamp"]) == len("2026-11-21T12:00:00.123456001Z")
    assert structured["receiveTimestamp"] == structured["timestamp"]


def test_the_requests_of_gcloud_stream_logs(api: Api, project: str, job_id: str) -> None:
    """Polled as gcloud does, each poll from the last time and insert id on, every line is told once, in order."""
    told, last = [], ("", "")
    for _ in range(3):
        lower = 'timestamp>="1970-01-01T01:00:00.000000000Z"'
        if last[0]:
            lower = f'((timestamp="{last[0]}" AND insertId>"{last[1]}") OR timestamp>"{last[0]}")'
        upper = 'timestamp<"2100-01-01T00:00:00Z"'
        asked = f'resource.type="ml_job" AND resource.labels.job_id="{job_id}" AND {lower} AND {upper}'
        for page in pages(api, project, filter=asked, orderBy="timestamp asc", pageSize=3):
            for entry in page:
                here = (entry["timestamp"], entry["insertId"])
                assert here > last, "gcloud drops what does not come in the order of its texts"
                last = here
                told.append(entry.get("textPayload") or entry["jsonPayload"]["message"])
    assert [text for text in told if text in ("one", "two", "three", "hi")] == ["one", "two", "three", "hi"]
    assert "oops" in told  # of another stream: its place among the others is not known
    assert len(told) == len(listed(api, project, filter=f'resource.labels.job_id="{job_id}"')["entries"])


@pytest.mark.parametrize("order", ["timestamp asc", "timestamp desc"])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_pages_make_up_the_whole(api: Api, project: str, job_id: str, order: str, size: int) -> None:
    """Over several jobs, in either order and any size of page: every entry once, in order of time."""
    whole = listed(api, project, orderBy=order, pageSize=1000)["entries"]
    paged = [entry for page in pages(api, project, orderBy=order, pageSize=size) for entry in page]
    assert [entry["insertId"] for entry in paged] == [entry["insertId"] for entry in whole]
    keys = [(entry["timestamp"], entry["insertId"]) for entry in whole]
    assert [key[0] for key in keys] == sorted((key[0] for key in keys), reverse=order.endswith("desc"))
    assert {entry["resource"]["labels"]["job_id"] for entry in whole} > {job_id}


def test_a_project_is_its_id_and_its_number(api: Api, project: str, job_id: str) -> None:
    """Entries of `projects/NUMBER` are those of `projects/ID`, each spelled as it was asked for."""
    number = api.list().json["customJobs"][0]["name"].split("/")[1]
    asked = f'logName="projects/{project}/logs/workerpool0-0" AND resource.labels.project_id="{number}"'
    entries = listed(api, number, filter=asked)["entries"]
    assert entries[0]["logName"] == f"projects/{number}/logs/workerpool0-0"
    assert len(entries) == 6
    assert "entries" not in listed(api, "somebody-else", filter=f'resource.labels.job_id="{job_id}"')


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"filter": "nonsense=1"}, "filter"),
        ({"orderBy": "severity"}, "order_by"),
        ({"pageSize": -1}, "page_size"),
        ({"pageToken": "AAAA"}, "page_token"),
        ({"pageToken": "eJyrVkosLU7JTy5RslJQqs4tzi8qUaqtBQBWnweS"}, "page_token"),
        ({"resourceNames": []}, "resource_names"),
        ({"resourceNames": ["organizations/1"]}, "resource_names"),
    ],
)
def test_what_is_refused(api: Api, project: str, changes: dict[str, Any], field: str) -> None:
    """400 INVALID_ARGUMENT in Google's envelope, naming the field."""
    body = {"resourceNames": [f"projects/{project}"], **changes}
    answer = api.call("POST", "/v2/entries:list", body)
    assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")
    assert [violation["field"] for violation in answer.violations] == [field]


def test_a_token_goes_with_its_question(api: Api, project: str, job_id: str) -> None:
    """The token of another filter is refused."""
    token = listed(api, project, pageSize=1)["nextPageToken"]
    body = {"resourceNames": [f"projects/{project}"], "filter": "severity=INFO", "pageToken": token}
    assert api.call("POST", "/v2/entries:list", body).status == 400


def test_tail_over_http_says_where_it_is_spoken(api: Api) -> None:
    """501 with the way out."""
    answer = api.call("POST", "/v2/entries:tail", {"resourceNames": ["projects/p"]})
    assert answer.status == 501
    assert "gRPC" in answer.error["message"]


def test_tail_tells_what_is_written_from_now_on(server: Server, api: Api, project: str, job_id: str) -> None:
    """An empty answer at once, then the lines of jobs as they come, and none of before; a bad filter ends it."""
    request = message_class("google.logging.v2.TailLogEntriesRequest")
    answer = message_class("google.logging.v2.TailLogEntriesResponse")
    asked: Any = request(resource_names=[f"projects/{project}"], filter='log_id("workerpool0-0")')
    asked.buffer_window.nanos = 100_000_000
    with Grpc(server.port) as rpc:
        stub = rpc.channel.stream_stream(
            "/google.logging.v2.LoggingServiceV2/TailLogEntries", request.SerializeToString, answer.FromString
        )
        stream = stub(iter([asked]), timeout=60)
        assert not next(stream).entries
        api.made(running("sh", "-c", "for i in 1 2 3; do echo tick $i; sleep 0.2; done"))
        told: list[str] = []
        while len(told) < 3:
            told += [entry.text_payload for entry in next(stream).entries]
        stream.cancel()
        assert told == ["tick 1", "tick 2", "tick 3"]
        with pytest.raises(grpc.RpcError) as refused:
            next(stub(iter([request(resource_names=["projects/p"], filter="nonsense=1")]), timeout=60))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.clients
def test_google_cloud_logging(server: Server, project: str, job_id: str) -> None:
    """The official client, over JSON and over gRPC, gives the entries as its own types."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import logging
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client, transports

    endpoint = {"api_endpoint": f"http://127.0.0.1:{server.port}"}
    client = logging.Client(
        project=project, credentials=AnonymousCredentials(), _use_grpc=False, client_options=endpoint
    )
    asked = f'resource.labels.job_id="{job_id}" AND log_id("workerpool0-0")'
    newest = list(client.list_entries(filter_=asked, order_by=logging.DESCENDING, page_size=2, max_results=3))
    assert len(newest) == 3
    found = {entry.payload if isinstance(entry.payload, str) else entry.payload["message"] for entry in newest}
    assert "oops" in found or "hi" in found
    channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
    typed = LoggingServiceV2Client(transport=transports.LoggingServiceV2GrpcTransport(channel=channel))
    texts = [
        entry.text_payload
        for entry in typed.list_log_entries({"resource_names": [f"projects/{project}"], "filter": asked})
    ]
    assert {"one", "two", "three", "oops"} < set(texts)
