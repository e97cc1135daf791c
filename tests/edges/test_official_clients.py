"""Google's own clients, unmodified, against a server of ours: the test that the whole product is about."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from edge_server import Server, running

pytestmark = [pytest.mark.clients, pytest.mark.usefixtures("offline")]
PARENT = "locations/us-central1"


@pytest.fixture
def sdk(server: Server, project: str) -> Any:
    """The high-level SDK pointed here, as the README says."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    aiplatform.init(
        project=project,
        location="us-central1",
        staging_bucket="gs://stg",
        api_endpoint=f"http://127.0.0.1:{server.port}",
        api_transport="rest",
        credentials=AnonymousCredentials(),
    )
    return aiplatform


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK looks at a job every five seconds; here it need not wait that long."""
    from google.cloud.aiplatform import jobs

    monkeypatch.setattr(jobs, "_JOB_WAIT_TIME", 0.1, raising=False)


def a_job(sdk: Any, name: str, *command: str) -> Any:
    spec = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": "host", "command": list(command)},
    }
    return sdk.CustomJob(display_name=name, worker_pool_specs=[spec])


def test_run_ends_well(sdk: Any) -> None:
    """`CustomJob.run()` submits, waits and returns when the job has succeeded."""
    job = a_job(sdk, "good", "sh", "-c", "echo trained")
    job.run(sync=True)
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert job.resource_name.startswith("projects/")
    assert sdk.CustomJob.get(job.resource_name).display_name == "good"


def test_case_64_run_raises_what_the_job_says(sdk: Any) -> None:
    """Exit 1 is FAILED with error.code 3 and the replica's name; `run()` raises RuntimeError with it."""
    job = a_job(sdk, "bad", "sh", "-c", "echo boom >&2; exit 1")
    with pytest.raises(RuntimeError, match=r"The replica workerpool0-0 exited with a non-zero status of 1\."):
        job.run(sync=True)
    assert job.error.code == 3


def test_cancel_stops_the_job(sdk: Any) -> None:
    """`submit()`, `cancel()`, `wait_for_completion()`: the job ends CANCELLED with error.code 1."""
    job = a_job(sdk, "long", "sleep", "60")
    job.submit()
    job.cancel()
    with pytest.raises(RuntimeError, match="CANCELED"):
        job.wait_for_completion()
    assert job.state.name == "JOB_STATE_CANCELLED"
    assert job.error.code == 1


def test_case_33_what_is_not_there_is_not_found(sdk: Any) -> None:
    """The SDK raises NotFound for a job that there is not."""
    from google.api_core import exceptions

    with pytest.raises(exceptions.NotFound, match="The CustomJob does not exist"):
        sdk.CustomJob.get("123")


def test_case_51_list_by_filter_in_order(sdk: Any) -> None:
    """SDK `CustomJob.list(filter=…, order_by="create_time desc")` returns newest first."""
    for name in ("one", "two"):
        a_job(sdk, name, "true").run(sync=True)
    with pytest.raises(RuntimeError):
        a_job(sdk, "three", "false").run(sync=True)
    listed = sdk.CustomJob.list(filter='state="JOB_STATE_SUCCEEDED"', order_by="create_time desc")
    assert [job.display_name for job in listed] == ["two", "one"]


def test_case_62_delete_waits_for_its_operation(sdk: Any) -> None:
    """SDK `job.delete()` returns without error, and the job is gone."""
    from google.api_core import exceptions

    job = a_job(sdk, "gone", "true")
    job.run(sync=True)
    job.delete()
    with pytest.raises(exceptions.NotFound):
        sdk.CustomJob.get(job.resource_name)


def test_many_jobs_are_submitted_at_once(sdk: Any) -> None:
    """Ten threads submit at the same time; the list has them all."""
    with ThreadPoolExecutor(10) as pool:
        jobs = [a_job(sdk, f"j{n}", "true") for n in range(10)]
        list(pool.map(lambda job: job.submit(), jobs))
    assert {job.display_name for job in sdk.CustomJob.list()} == {f"j{n}" for n in range(10)}


def low_level(server: Server, version: str, transport: str) -> Any:
    """JobServiceClient of one version over one transport."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1, aiplatform_v1beta1

    module: Any = {"v1": aiplatform_v1, "v1beta1": aiplatform_v1beta1}[version]
    if transport == "rest":
        endpoint = {"api_endpoint": f"http://127.0.0.1:{server.port}"}
        return module.JobServiceClient(transport="rest", credentials=AnonymousCredentials(), client_options=endpoint)
    channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
    return module.JobServiceClient(
        transport=module.services.job_service.transports.JobServiceGrpcTransport(channel=channel)
    )


@pytest.mark.parametrize("transport", ["rest", "grpc"])
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_case_62_the_low_level_clients(server: Server, project: str, version: str, transport: str) -> None:
    """Create, get, list, cancel, delete and its operation's result, in both versions over both transports."""
    from google.api_core import exceptions

    client = low_level(server, version, transport)
    parent = f"projects/{project}/{PARENT}"
    body = {
        "display_name": "low",
        "job_spec": {
            "worker_pool_specs": [
                {
                    "machine_spec": {"machine_type": "n1-standard-4"},
                    "replica_count": 1,
                    "container_spec": {"image_uri": "host", "command": ["sleep", "60"]},
                }
            ]
        },
    }
    job = client.create_custom_job(parent=parent, custom_job=body)
    assert client.get_custom_job(name=job.name).display_name == "low"
    assert [each.name for each in client.list_custom_jobs(parent=parent)] == [job.name]
    with pytest.raises(exceptions.FailedPrecondition if transport == "grpc" else exceptions.BadRequest):
        client.delete_custom_job(name=job.name)
    client.cancel_custom_job(name=job.name)
    deadline = time.monotonic() + 60
    while client.get_custom_job(name=job.name).state.name != "JOB_STATE_CANCELLED":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    operation = client.delete_custom_job(name=job.name)
    operation.result(timeout=30)
    assert operation.metadata.generic_metadata.create_time is not None
    with pytest.raises(exceptions.NotFound):
        client.get_custom_job(name=job.name)
    assert client.get_location({"name": parent}).location_id == "us-central1"
    with pytest.raises(exceptions.InvalidArgument if transport == "grpc" else exceptions.BadRequest) as raised:
        client.create_custom_job(parent=parent, custom_job={"display_name": ""})
    assert "display_name" in [field for detail in raised.value.details for field in bad_fields(detail)]


def bad_fields(detail: Any) -> list[str]:
    """The fields of a BadRequest: the REST client hands details out as JSON, the gRPC one as messages."""
    if isinstance(detail, dict):
        return [each["field"] for each in detail.get("fieldViolations", [])]
    return [each.field for each in detail.field_violations]


def test_the_async_client(server: Server, project: str) -> None:
    """JobServiceAsyncClient over grpc.aio works as well."""
    import asyncio

    from google.cloud import aiplatform_v1

    async def story() -> None:
        transports = aiplatform_v1.services.job_service.transports
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        client = aiplatform_v1.JobServiceAsyncClient(
            transport=transports.JobServiceGrpcAsyncIOTransport(channel=channel)
        )
        parent = f"projects/{project}/{PARENT}"
        body = running("true")
        spec = body["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
        job = await client.create_custom_job(
            parent=parent,
            custom_job={
                "display_name": "async",
                "job_spec": {
                    "worker_pool_specs": [
                        {
                            "machine_spec": {"machine_type": "n1-standard-4"},
                            "replica_count": 1,
                            "container_spec": {"image_uri": spec["imageUri"], "command": spec["command"]},
                        }
                    ]
                },
            },
        )
        listed = await client.list_custom_jobs(parent=parent)
        assert [each.name async for each in listed] == [job.name]
        await channel.close()

    asyncio.run(story())


def test_an_api_key_gets_in(tmp_path: Path) -> None:
    """With auth on, the low-level client's `api_key` over REST is enough; a wrong one is told as the original does."""
    from google.api_core import exceptions
    from google.cloud import aiplatform_v1

    with Server(tmp_path / "data", "--auth") as server:
        token = server.stderr().split("shown only now: ")[1].split()[0]
        endpoint = f"http://127.0.0.1:{server.port}"
        parent = f"projects/p/{PARENT}"
        client = aiplatform_v1.JobServiceClient(
            transport="rest", client_options={"api_endpoint": endpoint, "api_key": token}
        )
        assert list(client.list_custom_jobs(parent=parent)) == []
        stranger = aiplatform_v1.JobServiceClient(
            transport="rest", client_options={"api_endpoint": endpoint, "api_key": "wrong"}
        )
        with pytest.raises(exceptions.BadRequest, match="API key not valid"):
            stranger.list_custom_jobs(parent=parent)
