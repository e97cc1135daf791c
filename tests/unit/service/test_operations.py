"""Operations, locations and IAM through the single door."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from trainyard.core.errors import ApiError, InvalidArgument, NotFound, Unimplemented
from trainyard.core.names import OperationName
from trainyard.service import lro
from trainyard.service.access import Caller, OpenAccess
from trainyard.service.rendering import message
from trainyard.store import StoredOperation

from .desk import PARENT, T0, Bench, operation


@pytest.fixture
def bench() -> Bench:
    return Bench()


def deleted(bench: Bench, version: str = "v1") -> dict[str, Any]:
    name = bench.create()["name"]
    bench.end(name)
    operation: dict[str, Any] = bench.call("DeleteCustomJob", {"name": name}, version)
    return operation


@pytest.mark.parametrize("made_in", ["v1", "v1beta1"])
@pytest.mark.parametrize("asked_in", ["v1", "v1beta1", "ui"])
def test_an_operation_reads_the_same_under_every_prefix(bench: Bench, made_in: str, asked_in: str) -> None:
    """Get and wait give the finished operation, of the version that it was made in, under every prefix."""
    operation = deleted(bench, made_in)
    assert bench.call("GetOperation", {"name": operation["name"]}, asked_in) == operation
    assert bench.call("WaitOperation", {"name": operation["name"], "timeout": "5s"}, asked_in) == operation


def test_cancelling_a_finished_operation_changes_nothing(bench: Bench) -> None:
    """Cancel of an operation answers {} and leaves it as it is."""
    operation = deleted(bench)
    assert bench.call("CancelOperation", {"name": operation["name"]}) == {}
    assert bench.call("GetOperation", {"name": operation["name"]}) == operation


def test_an_operation_under_way_has_no_response_yet() -> None:
    """`done` and `response` are left out until it is done."""
    name = OperationName.parse("projects/1/locations/us-central1/customJobs/2/operations/3")
    pending = StoredOperation(name, "v1", "DeleteOperationMetadata", T0, T0, done=False)
    assert {field.name for field, _ in lro.render(pending).ListFields()} == {"name", "metadata"}


def test_a_forgotten_operation_is_gone(bench: Bench) -> None:
    """Delete of an operation answers {} and forgets it."""
    name = deleted(bench)["name"]
    assert bench.call("DeleteOperation", {"name": name}) == {}
    with pytest.raises(NotFound):
        bench.call("GetOperation", {"name": name})


@pytest.mark.parametrize("method", ["GetOperation", "WaitOperation", "CancelOperation", "DeleteOperation"])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        (f"{PARENT}/operations/1", NotFound),
        (f"{PARENT}/customJobs/1/operations/1", NotFound),
        (f"{PARENT}/operations/x", InvalidArgument),
        ("operations/1", InvalidArgument),
    ],
)
def test_an_operation_that_is_none(bench: Bench, method: str, name: str, error: type[ApiError]) -> None:
    """Unknown operations are not found; malformed names are the caller's fault."""
    with pytest.raises(error):
        bench.call(method, {"name": name})


def test_operations_are_listed_by_job_and_by_location(bench: Bench) -> None:
    """A job lists its own, also after it is gone; a location lists all, newest first, in pages."""
    made = [deleted(bench) for _ in range(3)]
    job = made[1]["name"].partition("/operations/")[0]
    assert bench.call("ListOperations", {"name": job}) == {"operations": [made[1]]}
    scope = job.partition("/customJobs/")[0]
    first = bench.call("ListOperations", {"name": scope, "pageSize": 2})
    assert first["operations"] == [made[2], made[1]]
    rest = bench.call("ListOperations", {"name": scope, "pageSize": 2, "pageToken": first["nextPageToken"]})
    assert rest == {"operations": [made[0]]}


@pytest.mark.parametrize("fields", [{"filter": "done=true"}, {"pageToken": "x"}, {"pageSize": -1}, {"name": "nope"}])
def test_an_operations_list_that_cannot_be_is_refused(bench: Bench, fields: dict[str, Any]) -> None:
    """Filters (there are none), bad tokens, sizes and names are refused."""
    with pytest.raises(InvalidArgument):
        bench.call("ListOperations", {"name": PARENT, **fields})


def test_a_well_formed_location_is_there(bench: Bench) -> None:
    """A location that is asked for by name exists, listed or not; its name carries the project's number."""
    answer = bench.call("GetLocation", {"name": "projects/p1/locations/moon-1"})
    assert answer["locationId"] == "moon-1"
    assert answer["name"].startswith("projects/")
    assert answer["name"].endswith("/locations/moon-1")
    with pytest.raises(InvalidArgument):
        bench.call("GetLocation", {"name": "projects/p1/locations/MOON"})


def test_locations_are_listed_in_pages(bench: Bench) -> None:
    """Every region of the original comes once, in order."""
    seen: list[str] = []
    token = ""
    while True:
        page = bench.call("ListLocations", {"name": "projects/p1", "pageSize": 15, "pageToken": token})
        seen += [location["locationId"] for location in page["locations"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert "us-central1" in seen
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    "fields", [{"filter": "x"}, {"name": "projects/p1/x"}, {"name": "projects/"}, {"pageToken": "x"}]
)
def test_a_locations_list_that_cannot_be_is_refused(bench: Bench, fields: dict[str, Any]) -> None:
    """Filters, malformed names and foreign tokens are refused."""
    with pytest.raises(InvalidArgument):
        bench.call("ListLocations", {"name": "projects/p1", **fields})


class Readers(OpenAccess):
    """Lets everybody get and nothing else."""

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        return permission.endswith(".get") or not permission


def test_permissions_are_answered_from_what_the_caller_may() -> None:
    """Of the asked permissions those come back that the caller has."""
    asked = ["aiplatform.customJobs.get", "aiplatform.customJobs.create"]
    request = {"resource": f"{PARENT}/customJobs/1", "permissions": asked}
    assert Bench().call("TestIamPermissions", request) == {"permissions": asked}
    assert Bench(Readers()).call("TestIamPermissions", request) == {"permissions": asked[:1]}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"resource": ""}, "resource"),
        ({"permissions": ["aiplatform.*"]}, "permissions[0]"),
        ({"permissions": ["aiplatform.customJobs.get", ""]}, "permissions[1]"),
        ({"permissions": ["a.b"] * 101}, "permissions"),
    ],
)
def test_a_permission_test_that_cannot_be_is_refused(bench: Bench, fields: dict[str, Any], path: str) -> None:
    """A missing resource, wildcards and too many permissions are named."""
    with pytest.raises(InvalidArgument) as caught:
        bench.call("TestIamPermissions", {"resource": PARENT, "permissions": ["a.b"], **fields})
    assert [fault.field for fault in caught.value.violations] == [path]


def test_a_verb_that_nobody_serves_says_so(bench: Bench) -> None:
    """An entry of the book without a handler is Unimplemented, never a failure of ours."""
    unknown = replace(operation("GetLocation"), verb="move_location", method="MoveLocation")
    with pytest.raises(Unimplemented, match="MoveLocation is not served"):
        asyncio.run(bench.service.call(unknown, "v1", message("google.cloud.location.GetLocationRequest"), Caller()))


@pytest.mark.parametrize("method", ["GetIamPolicy", "SetIamPolicy"])
def test_policies_are_not_kept(bench: Bench, method: str) -> None:
    """Policies are not served, and the error says what decides instead."""
    with pytest.raises(Unimplemented, match="trainyard tokens"):
        bench.call(method, {"resource": PARENT})
