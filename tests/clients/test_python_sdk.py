"""google-cloud-aiplatform, newest and last 1.x, from a user's own programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from foreign import Ended, program, run

from trainyard.local_service import LocalService

pytestmark = [pytest.mark.clients, pytest.mark.slow]
HOST = "us-central1-aiplatform.googleapis.com"


@pytest.fixture(params=["2.x", "1.x"])
def python(request: pytest.FixtureRequest) -> str:
    """The interpreter that has one of the two SDKs."""
    return sys.executable if request.param == "2.x" else str(request.getfixturevalue("python_1x"))


def is_whole_story(told: dict[str, Any]) -> None:
    """What every SDK must have seen, however it came to us."""
    assert told["good"] == "JOB_STATE_SUCCEEDED"
    assert told["several"] == ["JOB_STATE_SUCCEEDED", [1, 2]]
    assert "The replica workerpool0-0 exited with a non-zero status of 4." in told["bad"][0]
    assert told["bad"][1] == 3
    assert told["before"] in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING")
    assert told["cancelled"][0] == "JOB_STATE_CANCELLED"
    assert "CANCELED" in told["cancelled"][1]
    assert told["newest first"] == ["long", "bad", "several", "good"]
    assert told["filtered"] == ["good"]
    assert told["gone"] == "NotFound"


def test_an_unedited_program_under_exec(python: str, execute: Callable[..., Ended], project: str) -> None:
    """run, submit, list, get, cancel, delete and a raised failure over gRPC, the SDK's default, with no edit at all."""
    ended = execute(python, program("sdk_story.py"), PROJECT=project)
    is_whole_story(ended.told)
    assert ended.err.count(f"trainyard: {HOST} is http://127.0.0.1:") == 1


def test_project_and_region_come_from_the_environment(execute: Callable[..., Ended]) -> None:
    """A program that names neither project nor region gets those of `trainyard exec`, without asking a real service."""
    ended = execute(sys.executable, program("sdk_story.py"))
    is_whole_story(ended.told)
    assert "Failed to convert project number" not in ended.err


def test_the_three_lines_of_code(python: str, service: LocalService, project: str) -> None:
    """`aiplatform.init(api_endpoint=…, api_transport="rest", credentials=AnonymousCredentials())`, and no exec."""
    ended = run([python, program("sdk_story.py")], ENDPOINT=service.endpoint, PROJECT=project, NO_GCE_CHECK="true")
    is_whole_story(ended.told)


@pytest.mark.parametrize("transport", ["grpc", "rest", "grpc_asyncio"])
def test_generated_clients_under_exec(python: str, execute: Callable[..., Ended], project: str, transport: str) -> None:
    """JobServiceClient and JobServiceAsyncClient of v1 and v1beta1, unedited, over each transport."""
    told = execute(python, program("generated_clients.py"), PROJECT=project, TRANSPORT=transport).told
    assert set(told) == {"google.cloud.aiplatform_v1", "google.cloud.aiplatform_v1beta1"}
    assert all(seen == [transport, ["low"]] for seen in told.values())


def test_generated_clients_of_the_last_1x_by_endpoint(python_1x: str, service: LocalService, project: str) -> None:
    """The 1.x generated clients over REST with nothing but the endpoint changed."""
    told = run(
        [python_1x, program("generated_clients.py")], PROJECT=project, TRANSPORT="rest", ENDPOINT=service.endpoint
    ).told
    assert all(seen == ["rest", ["low"]] for seen in told.values())


@pytest.mark.parametrize("way", ["by variable", "by name"])
def test_storage_under_exec(execute: Callable[..., Ended], service: LocalService, project: str, way: str) -> None:
    """google-cloud-storage lands in the bucket's directory, by STORAGE_EMULATOR_HOST and where it is not heeded."""
    ended = execute(sys.executable, program("storage_story.py"), way, project)
    assert ended.told == {"text": "hello", "size": 10_000_000, "listed": ["a dir/x:1.txt", "big"]}
    assert service.path(f"gs://{project}/a dir/x:1.txt").read_text() == "hello"
    assert ("trainyard: storage.googleapis.com is" in ended.err) == (way == "by name")
