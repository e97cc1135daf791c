"""Requests that nobody would write, made from the API's own description: never a 5xx, a hang or a crash.

Bounded and seeded: the same requests every time. The one replica that may run is taken, so no fuzzed job ever starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import requests
import schemathesis
from edge_server import Api, Server, running
from grpc_calls import Grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainyard.contract.operations import operations, versioned
from trainyard.contract.pool import message_class
from trainyard.edges.rest.openapi import document

pytestmark = pytest.mark.slow

schema = schemathesis.openapi.from_dict(document())
bounded = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of which nothing but queueing can be asked; it must still be well at the end."""
    with Server(tmp_path_factory.mktemp("fuzz") / "data", "--replicas", "1") as server:
        api = Api(server.port)
        name = api.made(running("sleep", "3600"))["name"]
        api.wait(name, {"JOB_STATE_RUNNING"})
        try:
            yield server
            api.close()  # the server has closed it, too: nothing was said on it for minutes
            assert api.call("GET", "/trainyard/v1/health").json["status"] == "ok"
            assert api.get(name).json["state"] == "JOB_STATE_RUNNING"
        finally:
            api.close()
            api.call("POST", f"{name}:cancel", {})
            api.wait(name)
        assert "Traceback" not in server.stderr()


@schema.parametrize()
@bounded
def test_no_request_breaks_the_service(case: Any, busy: Server) -> None:
    """Every answer comes in time and is no fault of ours; 501 is what the book has and this release has not."""
    try:
        answer = case.call(base_url=f"http://127.0.0.1:{busy.port}", timeout=20)
    except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL):
        return  # refused by the client, which cannot say it
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"]


texts = st.text(max_size=40) | st.sampled_from(
    ["projects/p/locations/us-central1", "projects/p/locations/us-central1/customJobs/1", 'state="JOB_STATE_QUEUED"',
     "projects/p", "name", "n1-standard-4", "gs://b/o", "host"]
)  # fmt: skip
scalars = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "double": st.floats(),
    "float": st.floats(width=32),
    "bool": st.booleans(),
    "string": texts.filter(lambda text: text.isprintable()),
}


def values(field: Any, draw: Any, depth: int) -> Any:
    """One value for a field of a message, by its descriptor."""
    if field.message_type is not None:
        return fill(message_class(field.message_type.full_name)(), draw, depth + 1)
    if field.enum_type is not None:
        return draw(st.sampled_from([value.number for value in field.enum_type.values] + [99, -1]))
    if field.type == field.TYPE_BYTES:
        return draw(st.binary(max_size=20))
    kinds = {1: "int32", 2: "int64", 3: "uint32", 4: "uint64", 5: "double", 6: "float", 7: "bool", 9: "string"}
    return draw(scalars[kinds[field.cpp_type]])


def fill(message: Any, draw: Any, depth: int = 0) -> Any:
    """The message with some of its fields set, to whatever their types allow."""
    for field in message.DESCRIPTOR.fields:
        if depth > 5 or not draw(st.integers(0, 3 if depth else 4)):
            continue
        entry = field.message_type is not None and field.message_type.GetOptions().map_entry
        if entry:
            if field.message_type.fields_by_name["value"].message_type is None:
                getattr(message, field.name).update(
                    draw(st.dictionaries(scalars["string"], scalars["string"], max_size=3))
                )
        elif field.is_repeated:
            getattr(message, field.name).extend(values(field, draw, depth) for _ in range(draw(st.integers(1, 2))))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(values(field, draw, depth))
        else:
            setattr(message, field.name, values(field, draw, depth))
    return message


@pytest.fixture(scope="module")
def channel(busy: Server) -> Iterator[grpc.Channel]:
    """One connection for all messages."""
    with Grpc(busy.port) as rpc:
        yield rpc.channel


@pytest.mark.parametrize(
    ("operation", "version"),
    [(each, version) for each in operations() if not each.stream for version in each.versions if version != "ui"],
    ids=lambda each: getattr(each, "method", each),
)
@bounded
@given(data=st.data())
def test_no_message_breaks_the_service(
    operation: Any, version: str, channel: grpc.Channel, data: st.DataObject
) -> None:
    """Over gRPC: any message of the right type is answered, in time, with a code that is no fault of ours."""
    request = fill(message_class(versioned(operation.request, version))(), data.draw)
    stub = channel.unary_unary(versioned(operation.grpc_path, version))
    code = stub.future(request.SerializeToString(), timeout=20).code()
    assert code not in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,
    ), request
