"""gRPC on the one port: both versions, the mixins, errors with their details, credentials."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from edge_server import Api, Server, running
from grpc_calls import Grpc

from trainyard.contract.operations import operations, versioned
from trainyard.contract.pool import message_class


@pytest.fixture(params=["v1", "v1beta1"])
def rpc(server: Server, request: pytest.FixtureRequest) -> Iterator[Grpc]:
    """A channel for each version."""
    with Grpc(server.port, request.param) as channel:
        yield channel


def create(rpc: Grpc, parent: str, *command: str) -> str:
    """The name of a new job."""
    request = rpc.message("CreateCustomJobRequest", parent=parent)
    request.custom_job.display_name = "over grpc"
    spec = request.custom_job.job_spec.worker_pool_specs.add(replica_count=1)
    spec.machine_spec.machine_type = "n1-standard-4"
    spec.container_spec.image_uri = "host"
    spec.container_spec.command.extend(command)
    name: str = rpc.call("JobService/CreateCustomJob", request, "CustomJob").name
    return name


def failing(rpc: Grpc, method: str, request: object, answer: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        rpc.call(method, request, answer)
    return raised.value


def details(error: grpc.RpcError) -> object:
    """google.rpc.Status from the trailers."""
    trailers = dict(error.trailing_metadata())  # type: ignore[attr-defined]  # of the concrete class
    return message_class("google.rpc.Status").FromString(trailers["grpc-status-details-bin"])


def test_the_five_methods(rpc: Grpc, api: Api) -> None:
    """Create, get, list, cancel and delete do over gRPC what they do over REST."""
    name = create(rpc, api.parent, "sleep", "60")
    assert api.get(name).json["displayName"] == "over grpc"
    api.wait(name, {"JOB_STATE_RUNNING"})
    job = rpc.call("JobService/GetCustomJob", rpc.message("GetCustomJobRequest", name=name), "CustomJob")
    assert (job.name, job.state) == (name, 3)
    rpc.call("JobService/CancelCustomJob", rpc.message("CancelCustomJobRequest", name=name), "google.protobuf.Empty")
    api.wait(name, {"JOB_STATE_CANCELLED"})
    request = rpc.message("ListCustomJobsRequest", parent=api.parent, filter='state="JOB_STATE_CANCELLED"')
    listed = rpc.call("JobService/ListCustomJobs", request, "ListCustomJobsResponse")
    assert [each.name for each in listed.custom_jobs] == [name]
    operation = rpc.call(
        "JobService/DeleteCustomJob", rpc.message("DeleteCustomJobRequest", name=name), "google.longrunning.Operation"
    )
    assert operation.metadata.type_url.endswith(f"{rpc.package}.DeleteOperationMetadata")
    read = rpc.call(
        "/google.longrunning.Operations/GetOperation",
        rpc.message("google.longrunning.GetOperationRequest", name=operation.name),
        "google.longrunning.Operation",
    )
    assert read.done


def test_faults_come_as_typed_details(rpc: Grpc, api: Api) -> None:
    """A refused create carries google.rpc.BadRequest with every field in grpc-status-details-bin."""
    request = rpc.message("CreateCustomJobRequest", parent=api.parent)
    request.custom_job.job_spec.SetInParent()
    error = failing(rpc, "JobService/CreateCustomJob", request, "CustomJob")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]  # of the concrete class
    status = details(error)
    bad = message_class("google.rpc.BadRequest").FromString(status.details[0].value)  # type: ignore[attr-defined]  # a Status
    fields = [each.field for each in bad.field_violations]  # type: ignore[attr-defined]  # a BadRequest
    assert fields == ["display_name", "job_spec.worker_pool_specs"]


def test_what_is_not_there_is_not_found(rpc: Grpc, api: Api) -> None:
    """NOT_FOUND with the same sentence as over REST."""
    request = rpc.message("GetCustomJobRequest", name=f"{api.parent}/customJobs/7")
    error = failing(rpc, "JobService/GetCustomJob", request, "CustomJob")
    assert error.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]  # of the concrete class
    assert error.details() == "The CustomJob does not exist."  # type: ignore[attr-defined]  # of the concrete class


def test_unknown_methods_are_unimplemented(rpc: Grpc) -> None:
    """What the original has and we have not is UNIMPLEMENTED, never a hang or a crash."""
    for method in ("JobService/CreateHyperparameterTuningJob", "JobService/PauseEverything"):
        request = rpc.message("CreateNasJobRequest", parent="projects/p/locations/l")
        error = failing(rpc, method, request, "google.protobuf.Empty")
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]  # of the concrete class


def test_every_method_of_the_book_is_answered(server: Server) -> None:
    """No method of the book ends in UNKNOWN or INTERNAL on an empty request, in any version."""
    with Grpc(server.port) as rpc:
        for operation in operations():
            for version in {"v1", *operation.versions} - {"ui"}:
                request = message_class(versioned(operation.request, version))()
                path = versioned(operation.grpc_path, version)
                stub = rpc.channel.unary_unary(path)
                code = stub.future(request.SerializeToString(), timeout=60).code()
                assert code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL), path


def test_noise_in_a_message_is_refused(server: Server) -> None:
    """Bytes that are no message end in an error for this call, and the next one is served."""
    with Grpc(server.port) as rpc:
        stub = rpc.channel.unary_unary("/google.cloud.aiplatform.v1.JobService/GetCustomJob")
        with pytest.raises(grpc.RpcError):
            stub(b"\xff\xff\xff", timeout=60)
        request = rpc.message("google.cloud.location.ListLocationsRequest", name="projects/p")
        rpc.call(
            "/google.cloud.location.Locations/ListLocations", request, "google.cloud.location.ListLocationsResponse"
        )


def test_credentials_are_asked_for(tmp_path: Path) -> None:
    """With auth on, a call without token is UNAUTHENTICATED; bearer and API key get in by metadata."""
    with Server(tmp_path / "data", "--auth") as server, Grpc(server.port) as rpc:
        request = rpc.message("ListCustomJobsRequest", parent="projects/p/locations/us-central1")
        error = failing(rpc, "JobService/ListCustomJobs", request, "ListCustomJobsResponse")
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]  # of the concrete class
        token = server.stderr().split("shown only now: ")[1].split()[0]
        for metadata in (("authorization", f"Bearer {token}"), ("x-goog-api-key", token)):
            rpc.call("JobService/ListCustomJobs", request, "ListCustomJobsResponse", (metadata,))


def test_a_port_of_its_own(tmp_path: Path) -> None:
    """`--grpc-port` serves gRPC on a further port, while the first one goes on serving both."""
    with Server(tmp_path / "data", "--grpc-port", "0") as server:
        own = int(server.ready_line.split("gRPC also on ")[1].split(")")[0].rpartition(":")[2])
        assert own != server.port
        api = Api(server.port)
        for port in (own, server.port):
            with Grpc(port) as rpc:
                name = create(rpc, api.parent, "true")
                assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
        api.close()


def test_a_taken_grpc_port_is_said(tmp_path: Path) -> None:
    """A --grpc-port in use is one sentence and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = Server(tmp_path / "data", "--grpc-port", str(taken.getsockname()[1]))
        done = subprocess.run(wanted.command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "--grpc-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_many_calls_at_once(server: Server, api: Api) -> None:
    """A thousand calls on one channel and fifty fresh channels all answer."""
    name = api.made(running("true"))["name"]
    with Grpc(server.port) as rpc:
        request = rpc.message("GetCustomJobRequest", name=name)
        stub = rpc.channel.unary_unary(
            "/google.cloud.aiplatform.v1.JobService/GetCustomJob",
            request_serializer=lambda each: each.SerializeToString(),
            response_deserializer=type(rpc.message("CustomJob")).FromString,
        )
        futures = [stub.future(request, timeout=20) for _ in range(1000)]
        assert {future.result().name for future in futures} == {name}
    for _ in range(50):
        with Grpc(server.port) as fresh:
            fresh.call("JobService/GetCustomJob", request, "CustomJob")


def test_what_only_the_original_serves_is_refused_with_a_way_on(rpc: Grpc, api: Api) -> None:
    """A tuning job is UNIMPLEMENTED over gRPC and 501 over REST, in the same sentence, which says what to do."""
    request = rpc.message("google.protobuf.Empty")
    error = failing(rpc, "JobService/CreateHyperparameterTuningJob", request, "google.protobuf.Empty")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]  # of the concrete class
    answer = api.call("POST", f"{api.parent}/hyperparameterTuningJobs", {"displayName": "x"})
    assert (answer.status, answer.error["status"]) == (501, "UNIMPLEMENTED")
    assert answer.error["message"] == error.details()  # type: ignore[attr-defined]  # as above
    assert "customJob" in answer.error["message"]
