"""A stream does not outlive the credential that opened it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import grpc
from edge_server import BUSY_SECONDS, Api, Server, running
from grpc_calls import Grpc
from test_follow import Stream

from trainyard.credentials import Credential, CredentialFile, Form, new_secret

SECONDS_TO_END = 5.0 + BUSY_SECONDS


def holder(data: Path, name: str) -> dict[str, str]:
    """The header of a new user."""
    secret, credential = new_secret(Credential(name, Form.TOKEN, "admin", (), time.time_ns() // 1000))
    CredentialFile(data).add(credential)
    return {"authorization": f"Bearer {secret}"}


def seconds_of(what: Callable[[], object]) -> float:
    started = time.monotonic()
    what()
    return time.monotonic() - started


def test_revoking_ends_what_is_being_followed(tmp_path: Path) -> None:
    """Server-sent events end without an `end`, a tail over gRPC with UNAUTHENTICATED, within seconds; others go on."""
    with Server(tmp_path / "data", "--auth") as server:
        ann, bob = holder(server.data_dir, "ann"), holder(server.data_dir, "bob")
        api = Api(server.port)
        body = running("sh", "-c", "echo up; while true; do sleep 0.2; echo more; done")
        name = api.call("POST", f"{api.parent}/customJobs", body, bob).json["name"]
        theirs, others = Stream(server.port, name, headers=ann), Stream(server.port, name, headers=bob)
        events = iter(theirs)
        while next(events).kind != "log":
            pass
        with Grpc(server.port) as rpc:
            request = rpc.message("google.logging.v2.TailLogEntriesRequest", resource_names=["projects/p1"])
            request.buffer_window.seconds = 60
            tail = rpc.channel.stream_stream(
                "/google.logging.v2.LoggingServiceV2/TailLogEntries",
                request_serializer=lambda each: each.SerializeToString(),
            )(iter([request]), metadata=tuple(ann.items()))
            next(tail)
            CredentialFile(server.data_dir).revoke("ann")
            assert seconds_of(lambda: [each for each in events if each.kind == "end"]) < SECONDS_TO_END
            assert seconds_of(lambda: _drain(tail)) < SECONDS_TO_END
            assert tail.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "revoked" in tail.details()
        assert api.call("GET", name, headers=ann).status == 401
        rest = iter(others)
        assert [next(rest).kind for _ in range(3)]
        assert api.call("POST", f"{name}:cancel", headers=bob).status == 200
        assert [each.kind for each in rest][-1] == "end"


def _drain(tail: grpc.Call) -> None:
    try:
        for _ in tail:
            pass
    except grpc.RpcError:
        return
