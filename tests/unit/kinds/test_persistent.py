"""Which jobs a persistent resource takes, and as what its replicas are counted."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.errors import InvalidArgument, NotFound
from trainyard.kinds.custom_job.kind import CustomJobKind
from trainyard.kinds.faults import Faults
from trainyard.kinds.machines import Machines
from trainyard.kinds.nas_job.kind import NasJobKind
from trainyard.kinds.persistent import check_exists, check_key, names_in, share_of
from trainyard.kinds.persistent_json import read, shown
from trainyard.kinds.worker_pools import demand_of

NETWORK = "projects/12345/global/networks/n"
BODY: dict[str, Any] = {
    "name": "warm",
    "displayName": "Warm",
    "network": NETWORK,
    "imageUri": "img",
    "packageUris": ["gs://bkt/p.tar.gz"],
    "resourcePools": [
        {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": "2"},
        {"machineSpec": {"machineType": "a2-highgpu-1g"}, "diskSpec": {"bootDiskSizeGb": 200}},
    ],
}
N1: dict[str, Any] = {"machineSpec": {"machineType": "n1-standard-4"}, "containerSpec": {"imageUri": "img"}}
A2: dict[str, Any] = {
    "machineSpec": {"machineType": "a2-highgpu-1g", "acceleratorType": "NVIDIA_TESLA_A100", "acceleratorCount": 1},
    "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 200},
    "containerSpec": {"imageUri": "img"},
}
FIRST = "job_spec.worker_pool_specs[0]"


def machines() -> Machines:
    """This release's, with one persistent resource."""
    known = Machines.known()
    known.persistent = {"warm": read(copy.deepcopy(BODY), known)}
    return known


def job(*pools: dict[str, Any], **fields: Any) -> Any:
    spec = {"workerPoolSpecs": list(pools or [N1]), "persistentResourceId": "warm", "network": NETWORK}
    cls = message_class(f"{API_PACKAGE}.{STORED_VERSION}.CustomJob")
    top = fields.pop("top", {})
    return json_format.ParseDict({"displayName": "t", "jobSpec": {**spec, **fields}, **top}, cls())


def changed(pool: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**pool, **fields}


def test_a_job_that_fits_is_taken_on_the_machines_that_it_names() -> None:
    """However it words the machine: what is built in may be named, the usual disk may be left out."""
    kind = CustomJobKind(machines())
    asked = job(N1, changed(N1, diskSpec={"bootDiskSizeGb": 100}), {}, A2)
    kind.draft(asked)
    shares = [each.reservation for each in demand_of(asked.job_spec, machines())]
    n1, a2 = (pool.places.share for pool in machines().persistent["warm"].pools)
    assert shares == [n1, n1, a2]
    assert n1 == "warm/n1-standard-4"
    assert a2 == "warm/a2-highgpu-1g with 1 NVIDIA_TESLA_A100, pd-ssd of 200 GB"
    asked.job_spec.ClearField("persistent_resource_id")
    assert {each.reservation for each in demand_of(asked.job_spec, machines())} == {""}


def test_a_share_does_not_hang_on_the_resource() -> None:
    """A job whose resource is gone still asks for its places, and takes nobody else's."""
    spec = job().job_spec
    assert share_of("warm", spec.worker_pool_specs[0], Machines.known()) == "warm/n1-standard-4"
    assert demand_of(spec, Machines.known()) == demand_of(spec, machines())


FAULTS: dict[str, tuple[Any, str, str]] = {
    "machine": (
        job(changed(N1, machineSpec={"machineType": "n1-standard-8"})),
        f"{FIRST}.machine_spec",
        "has no n1-standard-8; it has n1-standard-4, a2-highgpu-1g with 1 NVIDIA_TESLA_A100.",
    ),
    "disk": (
        job(changed(N1, diskSpec={"bootDiskType": "pd-standard"})),
        f"{FIRST}.disk_spec",
        "has n1-standard-4 with pd-ssd of 100 GB, not with pd-standard of 100 GB.",
    ),
    "replicas": (
        job(N1, changed(N1, replicaCount=2)),
        "job_spec.worker_pool_specs[1].replica_count",
        "has 2 replicas on n1-standard-4; 3 are asked for.",
    ),
    "reservation": (
        job(changed(N1, machineSpec={**N1["machineSpec"], "reservationAffinity": {"reservationAffinityType": 1}})),
        f"{FIRST}.machine_spec.reservation_affinity",
        "a reservation cannot be used beside it",
    ),
    "network": (job(network=""), "job_spec.network", f"The persistent resource warm is in {NETWORK}."),
    "SPOT": (job(scheduling={"strategy": "SPOT"}), "job_spec.scheduling.strategy", "with the strategy SPOT"),
    "key": (
        job(top={"encryptionSpec": {"kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}}),
        "encryption_spec.kms_key_name",
        "The persistent resource warm has no key",
    ),
}


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case)
def test_what_does_not_fit_is_refused_under_its_field(case: str) -> None:
    """Machine, disk, count, network, key and strategy, each with what the resource has."""
    asked, field, words = FAULTS[case]
    with pytest.raises(InvalidArgument) as caught:
        CustomJobKind(machines()).draft(asked)
    told = [(fault.field, fault.description) for fault in caught.value.violations]
    assert len(told) == 1
    assert told[0][0] == field
    assert words in told[0][1]


def test_a_key_alone_is_none_of_its_business() -> None:
    """A job on no resource may have one, as far as these rules go."""
    found = Faults()
    message = job(persistentResourceId="", top={"encryptionSpec": {"kmsKeyName": "k"}})
    check_key(message, found, machines())
    found.raise_if_any()


def test_no_network_is_a_network_too() -> None:
    """A resource without one takes no job that names one."""
    known = Machines.known()
    known.persistent = {"warm": read({**BODY, "network": ""}, known)}
    with pytest.raises(InvalidArgument, match="warm has no network; leave the field out"):
        CustomJobKind(known).draft(job())


def test_a_resource_that_there_is_not_is_not_found() -> None:
    """With those that there are, and the way to make it; after every other fault was told."""
    with pytest.raises(NotFound, match=r"does not exist\. `trainyard pools create warm` makes it") as caught:
        CustomJobKind(Machines.known()).draft(job())
    assert "This server has" not in caught.value.message
    with pytest.raises(NotFound, match="This server has warm; `trainyard pools create cold`"):
        CustomJobKind(machines()).draft(job(persistentResourceId="cold"))
    with pytest.raises(InvalidArgument):
        CustomJobKind(machines()).draft(job(persistentResourceId="cold", network="?"))


def nas(search: dict[str, Any], train: dict[str, Any]) -> Any:
    trial, metric = {"searchTrialJobSpec": search, "maxTrialCount": 1, "maxParallelTrialCount": 1}, {"metricId": "m"}
    training = {"trainTrialJobSpec": train, "maxParallelTrialCount": 1, "frequency": 1}
    algorithm = {"metric": {**metric, "goal": "MAXIMIZE"}, "searchTrialSpec": trial, "trainTrialSpec": training}
    spec = {"searchSpaceSpec": "pg.oneof([1, 2])", "multiTrialAlgorithmSpec": algorithm}
    cls = message_class(f"{API_PACKAGE}.{STORED_VERSION}.NasJob")
    return json_format.ParseDict({"displayName": "t", "nasJobSpec": spec}, cls())


def test_trials_of_a_search_may_name_one_as_jobs_do() -> None:
    """The same checks, under the same fields, of the searching and of the training."""
    asked = nas(
        {"workerPoolSpecs": [N1], "persistentResourceId": "warm", "network": NETWORK}, {"workerPoolSpecs": [N1]}
    )
    assert list(names_in(asked)) == ["warm"]
    check_exists(asked, machines())
    with pytest.raises(NotFound):
        check_exists(asked, Machines.known())
    bad = {"workerPoolSpecs": [changed(N1, replicaCount=3)], "persistentResourceId": "warm", "network": NETWORK}
    with pytest.raises(InvalidArgument) as caught:
        NasJobKind(lambda _: pytest.fail("no search begins here"), machines()).draft(
            nas({"workerPoolSpecs": [N1]}, bad)
        )
    fields = [fault.field for fault in caught.value.violations]
    place = "nas_job_spec.multi_trial_algorithm_spec.train_trial_spec.train_trial_job_spec.worker_pool_specs[0]"
    assert f"{place}.replica_count" in fields


def test_what_is_shown_reads_as_the_same() -> None:
    """What is stored is what was asked for, defaults filled in."""
    resource = read(copy.deepcopy(BODY), Machines.known())
    assert read(shown(resource), Machines.known()) == resource
    assert shown(resource)["resourcePools"][1]["replicaCount"] == "1"
    bare = {"name": "a", "resourcePools": [{"machineSpec": {"machineType": "n1-standard-4"}}]}
    assert set(shown(read(bare, Machines.known()))) == {"name", "resourcePools"}


POOL = {"machineSpec": {"machineType": "n1-standard-4"}}
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"name": ""}, "name", "Required"),
    "name": ({"name": "A b"}, "name", "lowercase"),
    "name of another kind": ({"name": 3}, "name", "not text"),
    "display name": ({"displayName": 3}, "displayName", "not text"),
    "text with a NUL": ({"displayName": "a\0"}, "displayName", "not text"),
    "network": ({"network": "n"}, "network", "project number"),
    "unknown field": ({"raySpec": {}}, "raySpec", "There is no field 'raySpec' here; there are displayName"),
    "no pools": ({"resourcePools": []}, "resourcePools", "at least one"),
    "pools of another kind": ({"resourcePools": {}}, "resourcePools", "at least one"),
    "a pool that is none": ({"resourcePools": [3]}, "resourcePools[0]", "an object"),
    "too many pools": ({"resourcePools": [POOL] * 17}, "resourcePools", "no more than 16"),
    "machine": (
        {"resourcePools": [{"machineSpec": {"machineType": "x"}}]},
        "resourcePools[0].machineSpec.machine_type",
        "x",
    ),
    "field of a machine": (
        {"resourcePools": [{"machineSpec": {**POOL["machineSpec"], "cpus": 3}}]},
        "resourcePools[0].machineSpec",
        "Cannot find field",
    ),
    "reservation": (
        {"resourcePools": [{"machineSpec": {**POOL["machineSpec"], "reservationAffinity": {}}}]},
        "resourcePools[0].machineSpec.reservationAffinity",
        "leave it out",
    ),
    "disk": (
        {"resourcePools": [{**POOL, "diskSpec": {"bootDiskSizeGb": 1}}]},
        "resourcePools[0].diskSpec.boot_disk_size_gb",
        "100",
    ),
    "scaling": ({"resourcePools": [{**POOL, "autoscalingSpec": {}}]}, "resourcePools[0].autoscalingSpec", "no field"),
    "no replicas": ({"resourcePools": [{**POOL, "replicaCount": 0}]}, "resourcePools[0].replicaCount", "0 is not"),
    "replicas by word": (
        {"resourcePools": [{**POOL, "replicaCount": "two"}]},
        "resourcePools[0].replicaCount",
        "two is not",
    ),
    "replicas by truth": (
        {"resourcePools": [{**POOL, "replicaCount": True}]},
        "resourcePools[0].replicaCount",
        "True is not",
    ),
    "too many replicas": (
        {"resourcePools": [{**POOL, "replicaCount": 10001}]},
        "resourcePools[0].replicaCount",
        "10001 is not",
    ),
    "twice the same": ({"resourcePools": [POOL, POOL]}, "resourcePools[1].machineSpec", "stands there twice"),
    "packages": ({"packageUris": "gs://b/o"}, "packageUris", "a list"),
    "package": ({"packageUris": ["/tmp/x"]}, "packageUris[0]", "gs://"),
    "empty package": ({"packageUris": [""]}, "packageUris[0]", "Required"),
    "packages over nothing": ({"imageUri": ""}, "imageUri", "name the image as well"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case)
def test_what_cannot_be_meant_is_refused(case: str) -> None:
    """Each fault under its own place in the object."""
    fields, place, words = BAD[case]
    with pytest.raises(InvalidArgument) as caught:
        read({**copy.deepcopy(BODY), **fields}, Machines.known())
    assert any(fault.field == place and words in fault.description for fault in caught.value.violations)


def test_what_is_no_object_is_refused() -> None:
    """The whole body, and one that no answer could show again."""
    with pytest.raises(InvalidArgument, match="one JSON object"):
        read([], Machines.known())
    with pytest.raises(InvalidArgument, match="half of a surrogate pair"):
        read({**BODY, "displayName": "\ud800"}, Machines.known())
