"""The five verbs through the single door, over the store in memory."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trainyard.core.errors import (
    ApiError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unimplemented,
)
from trainyard.core.jobs import Event, Intent
from trainyard.service.access import Caller, OpenAccess

from .desk import MINIMAL, PARENT, Bench

NAME = re.compile(r"projects/\d{12}/locations/us-central1/customJobs/\d{19}")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_created_job_is_named_stamped_and_queued(bench: Bench) -> None:
    """The answer has the server's name, one time for creation and update, and neither start, end nor error."""
    made = bench.create()
    assert NAME.fullmatch(made["name"])
    assert made["state"] == "JOB_STATE_QUEUED"
    assert made["createTime"] == made["updateTime"] == "2023-11-14T22:13:20.001Z"
    assert made["jobSpec"] == MINIMAL["jobSpec"]
    assert not {"startTime", "endTime", "error"} & made.keys()


def test_a_created_job_reads_back_the_same_in_both_versions(bench: Bench) -> None:
    """Get gives what create gave, by project id and by number, in v1 and v1beta1."""
    made = bench.create(labels={"k": "v"})
    by_id = made["name"].replace(made["name"].split("/")[1], "p1")
    for name in (made["name"], by_id):
        for version in ("v1", "v1beta1"):
            assert bench.call("GetCustomJob", {"name": name}, version) == made


def test_what_v1_cannot_say_is_kept_for_v1beta1(bench: Bench) -> None:
    """A v1beta1 field is stored, read back in v1beta1 and left out in v1."""
    pool: dict[str, Any] = {**MINIMAL["jobSpec"]["workerPoolSpecs"][0]}
    pool["machineSpec"] = {"machineType": "n1-standard-4", "minGpuDriverVersion": "550.1"}
    body = {"displayName": "t", "jobSpec": {"workerPoolSpecs": [pool]}}
    made = bench.call("CreateCustomJob", {"parent": PARENT, "customJob": body}, "v1beta1")
    assert made["jobSpec"]["workerPoolSpecs"][0]["machineSpec"]["minGpuDriverVersion"] == "550.1"
    narrow = bench.call("GetCustomJob", {"name": made["name"]})
    assert narrow["jobSpec"]["workerPoolSpecs"][0]["machineSpec"] == {"machineType": "n1-standard-4"}


def test_output_only_fields_that_are_sent_are_ignored(bench: Bench) -> None:
    """The server's values win over what a client sends in fields that only the server sets."""
    made = bench.create(name="mine", state="JOB_STATE_SUCCEEDED", endTime="2020-01-01T00:00:00Z")
    assert NAME.fullmatch(made["name"])
    assert made["state"] == "JOB_STATE_QUEUED"
    assert "endTime" not in made


def test_fields_without_effect_are_told_in_the_service_log(bench: Bench) -> None:
    """Creation leaves one line per field that has not all of its effect here."""
    models = ["projects/p/locations/l/models/m"]
    job = bench.job(bench.create(jobSpec={**MINIMAL["jobSpec"], "models": models})["name"])
    told = [narrated.note.text for narrated in bench.store.narration(job.name)]
    assert any("models has no effect here" in line for line in told)


def test_a_refused_job_leaves_nothing_behind(bench: Bench) -> None:
    """Every fault comes at once, and nothing is stored."""
    with pytest.raises(InvalidArgument) as caught:
        bench.create(displayName="", jobSpec={})
    assert [fault.field for fault in caught.value.violations] == ["display_name", "job_spec.worker_pool_specs"]
    assert bench.list() == {}


def test_a_request_without_a_job_is_refused(bench: Bench) -> None:
    """An absent body names the field that is missing."""
    with pytest.raises(InvalidArgument) as caught:
        bench.call("CreateCustomJob", {"parent": PARENT})
    assert [fault.field for fault in caught.value.violations] == ["custom_job"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("projects/p1/locations/us-central1/customJobs/1", NotFound),
        ("projects/p1/locations/us-central1/customJobs/abc", InvalidArgument),
        ("projects/p1/locations/us-central1/customJobs/9223372036854775808", InvalidArgument),
        ("projects/p1/locations/us-central1/nasJobs/1", InvalidArgument),
        ("projects//locations/us-central1/customJobs/1", InvalidArgument),
        ("", InvalidArgument),
    ],
)
@pytest.mark.parametrize("method", ["GetCustomJob", "CancelCustomJob", "DeleteCustomJob"])
def test_a_name_that_is_none_or_nobody_s(bench: Bench, method: str, name: str, error: type[ApiError]) -> None:
    """Malformed names are the caller's fault; unknown ids are not found."""
    with pytest.raises(error):
        bench.call(method, {"name": name})


@pytest.mark.parametrize("method", ["GetCustomJob", "CancelCustomJob", "DeleteCustomJob"])
def test_a_job_is_found_in_its_own_project_and_location_only(bench: Bench, method: str) -> None:
    """The same id elsewhere does not exist, in the original's words."""
    job_id = bench.create()["name"].rpartition("/")[2]
    for scope in ("projects/p2/locations/us-central1", "projects/p1/locations/us-east1"):
        with pytest.raises(NotFound, match=r"^The CustomJob does not exist\.$"):
            bench.call(method, {"name": f"{scope}/customJobs/{job_id}"})


def test_a_cancel_is_written_down_with_who_asked(bench: Bench) -> None:
    """Cancel answers {} at once and leaves the intent for the controller; a second one changes nothing."""
    name = bench.create()["name"]
    assert bench.call("CancelCustomJob", {"name": name}, caller=Caller("ann")) == {}
    first = bench.job(name)
    assert (first.intent, first.intent_by) == (Intent.CANCEL, "ann")
    assert bench.call("CancelCustomJob", {"name": name}, caller=Caller("bob")) == {}
    assert bench.job(name) == first


def test_a_cancel_of_an_ended_job_changes_nothing(bench: Bench) -> None:
    """Nothing happens to a job that has ended, and that is no error."""
    name = bench.create()["name"]
    ended = bench.end(name)
    assert bench.call("CancelCustomJob", {"name": name}) == {}
    assert bench.job(name) == ended


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_deleted_job_is_gone_and_its_operation_stays(bench: Bench, version: str) -> None:
    """Delete answers a finished operation of the caller's version, which outlives the job."""
    name = bench.create()["name"]
    bench.end(name)
    operation = bench.call("DeleteCustomJob", {"name": name}, version)
    assert operation["name"].startswith(f"{name}/operations/")
    assert operation["done"] is True
    assert operation["response"]["@type"] == "type.googleapis.com/google.protobuf.Empty"
    metadata = operation["metadata"]
    assert metadata["@type"] == f"type.googleapis.com/google.cloud.aiplatform.{version}.DeleteOperationMetadata"
    assert metadata["genericMetadata"].keys() == {"createTime", "updateTime"}
    with pytest.raises(NotFound):
        bench.call("GetCustomJob", {"name": name})
    assert bench.list() == {}
    assert bench.call("GetOperation", {"name": operation["name"]}, version) == operation


def test_a_job_that_has_not_ended_cannot_be_deleted(bench: Bench) -> None:
    """Delete of a live job is refused and changes nothing."""
    name = bench.create()["name"]
    bench.move(name, Event.ADMITTED)
    before = bench.job(name)
    with pytest.raises(FailedPrecondition, match="cancel it first"):
        bench.call("DeleteCustomJob", {"name": name})
    assert bench.job(name) == before


def test_what_has_no_kind_yet_is_not_served(bench: Bench) -> None:
    """Operations of the book without a kind say so instead of failing."""
    with pytest.raises(Unimplemented, match="CreateNasJob is not served"):
        bench.call("CreateNasJob", {"parent": PARENT})


class Readers(OpenAccess):
    """Lets everybody read and nobody write."""

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        return permission.endswith((".get", ".list"))


def test_who_may_not_is_told_which_permission_is_missing() -> None:
    """A missing permission is named with the resource, in the original's words, before anything is looked at."""
    bench = Bench(Readers())
    with pytest.raises(PermissionDenied) as caught:
        bench.create(displayName="")
    assert caught.value.message == (
        "Permission 'aiplatform.customJobs.create' denied on resource '//aiplatform.googleapis.com/"
        "projects/p1/locations/us-central1' (or it may not exist)."
    )
    assert caught.value.reason == "IAM_PERMISSION_DENIED"
    assert bench.list() == {}
