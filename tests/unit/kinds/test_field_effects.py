"""A CustomJob that uses a field without effect is told so, and refused what would break a promise."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.errors import ApiError, FailedPrecondition
from trainyard.kinds.custom_job import effects
from trainyard.kinds.field_effects import Effect, camel
from trainyard.kinds.spec_effects import remarks_on

CLASS: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.CustomJob")
POOL = {"machineSpec": {"machineType": "n1-standard-4"}, "containerSpec": {"imageUri": "img"}}


def job(spec: dict[str, Any] | None = None, pool: dict[str, Any] | None = None, **fields: Any) -> Any:
    body = {"displayName": "t", "jobSpec": {"workerPoolSpecs": [{**POOL, **(pool or {})}], **(spec or {})}, **fields}
    return json_format.ParseDict(body, CLASS())


def test_a_plain_job_is_told_nothing() -> None:
    """Neither of what has its full effect, nor of the disk that the official SDK always sends."""
    plain = job(pool={"diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100}})
    assert effects.kept_in_part(plain) == ()
    assert remarks_on(plain.job_spec) == {}


USED: dict[str, Any] = {
    "tensorboard": job({"tensorboard": "t"}),
    "protectedArtifactLocationId": job({"protectedArtifactLocationId": "us"}),
    "models": job({"models": ["m"]}),
    "workerPoolSpecs.diskSpec": job(pool={"diskSpec": {"bootDiskType": "pd-standard"}}),
    "workerPoolSpecs.machineSpec.tpuTopology": job(pool={"machineSpec": {"tpuTopology": "2x2"}}),
    "workerPoolSpecs.machineSpec.gpuPartitionSize": job(pool={"machineSpec": {"gpuPartitionSize": "1g.10gb"}}),
    "workerPoolSpecs.machineSpec.multihostGpuNodeCount": job(pool={"machineSpec": {"multihostGpuNodeCount": 2}}),
    "workerPoolSpecs.machineSpec.minGpuDriverVersion": job(pool={"machineSpec": {"minGpuDriverVersion": "5"}}),
}


BY_RUNTIME: dict[str, Any] = {
    "network": job({"network": "n"}),
    "reservedIpRanges": job({"reservedIpRanges": ["r"]}),
    "pscInterfaceConfig": job({"pscInterfaceConfig": {}}),
}


@pytest.mark.parametrize("field", USED, ids=lambda field: field)
def test_a_field_without_effect_is_told_of(field: str) -> None:
    """A job that uses such a field gets one sentence that names it as JSON spells it and says why."""
    told = effects.kept_in_part(USED[field])
    assert len(told) == 1
    assert told[0].startswith(f"jobSpec.{field} has ")
    assert ": " in told[0]


@pytest.mark.parametrize("field", BY_RUNTIME, ids=lambda field: field)
def test_what_differs_between_runtimes_is_told_when_it_is_known(field: str) -> None:
    """At its creation nothing is said of it; what is said later is true of the runtime, and differs between them."""
    message = BY_RUNTIME[field]
    assert effects.kept_in_part(message) == ()
    told = remarks_on(message.job_spec)
    assert set(told) == {"host", "podman", "docker"}
    assert all(len(lines) == 1 and lines[0].startswith(f"jobSpec.{field} has no ") for lines in told.values())
    assert told["host"] != told["podman"] == told["docker"]


def test_every_field_without_effect_is_tried_above() -> None:
    """The lists of this test follow the table; what the executor tells of each replica is not told twice."""
    lines = [line for line in effects.EFFECTS.lines if line.effect in (Effect.PART, Effect.NONE) and not line.always]
    tried = {f"jobSpec.{field}" for field in (*USED, *BY_RUNTIME)} | {"encryptionSpec"}
    assert {camel(line.path) for line in lines} == tried


def test_what_a_key_does_not_seal_is_told() -> None:
    """Whoever names a key reads in the job's service log what lies in the clear all the same."""
    (told,) = effects.kept_in_part(job(encryptionSpec={"kmsKeyName": "k"}))
    assert told.startswith("encryptionSpec has its effect in part: ")
    assert "gs://" in told


def test_a_pool_far_down_is_seen_and_told_of_once() -> None:
    """Fields are looked for in every entry of a repeated field, and two uses make one sentence."""
    pools = [POOL, {}, {**POOL, "diskSpec": {"bootDiskSizeGb": 500}}, {**POOL, "diskSpec": {"bootDiskSizeGb": 600}}]
    told = effects.kept_in_part(job({"workerPoolSpecs": pools}))
    assert sum("diskSpec" in line for line in told) == 1


REFUSED: dict[str, tuple[Any, type[ApiError], str]] = {
    "NFS": (job(pool={"nfsMounts": [{"server": "s"}]}), FailedPrecondition, "NFS"),
    "Lustre": (job(pool={"lustreMounts": [{"filesystem": "f"}]}), FailedPrecondition, "Lustre"),
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case)
def test_what_would_break_a_promise_is_refused(case: str) -> None:
    """A job that could only run without its data or elsewhere than asked is refused with the reason."""
    message, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        effects.kept_in_part(message)


def test_refusals_come_together() -> None:
    """Two refused fields are one error that names both."""
    both = job(pool={"nfsMounts": [{"server": "s"}], "lustreMounts": [{"filesystem": "f"}]})
    with pytest.raises(FailedPrecondition) as caught:
        effects.kept_in_part(both)
    assert "nfsMounts" in caught.value.message
    assert "lustreMounts" in caught.value.message


def test_a_plain_job_is_not_refused() -> None:
    """Nothing in use, nothing refused, and nothing to tell; an empty message is no use."""
    assert effects.kept_in_part(job(labels={"k": "v"})) == ()
    assert effects.kept_in_part(CLASS()) == ()


def test_shares_are_refused_only_where_no_container_can_see_them() -> None:
    """nfsMounts and lustreMounts hold where replicas may run in containers, and nowhere else."""
    asked = job(pool={"nfsMounts": [{"server": "s", "path": "/p", "mountPoint": "m"}]})
    with pytest.raises(FailedPrecondition, match="nfsMounts"):
        effects.kept_in_part(asked)
    assert not any("nfsMounts" in note for note in effects.kept_in_part(asked, contained=True))
