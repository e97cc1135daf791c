"""The rules of a CustomJob: each one broken alone, under its own path, and all of them at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.errors import FieldViolation, InvalidArgument
from trainyard.core.runs import Places, Resources
from trainyard.kinds.custom_job import rules
from trainyard.kinds.machines import Machines, Reservation
from trainyard.kinds.resource_rules import without_output

MACHINES = Machines.known()
POOL = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "img"}}
GPU_POOL = {
    "machineSpec": {"machineType": "g2-standard-4", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1},
    "containerSpec": {"imageUri": "img"},
}
PACKAGE = {"executorImageUri": "img", "packageUris": ["gs://bkt/p.tar.gz"], "pythonModule": "trainer.task"}
SPEC = "job_spec"
FIRST = "job_spec.worker_pool_specs[0]"
MACHINE = f"{FIRST}.machine_spec"
CONTEXT = "projects/p/locations/l/metadataStores/default/contexts/e"


def message(**fields: Any) -> Any:
    """A CustomJob of the stored version; one pool of one replica unless the fields say otherwise."""
    body = {"displayName": "t", "jobSpec": {"workerPoolSpecs": [POOL]}, **fields}
    cls = message_class(f"{API_PACKAGE}.{STORED_VERSION}.CustomJob")
    return json_format.ParseDict(copy.deepcopy(body), cls())


def spec(**fields: Any) -> Any:
    return message(jobSpec={"workerPoolSpecs": [POOL], **fields})


def pool(**fields: Any) -> Any:
    return spec(workerPoolSpecs=[{**POOL, **fields}])


def container(**fields: Any) -> Any:
    return pool(containerSpec={"imageUri": "img", **fields})


def package(**fields: Any) -> Any:
    body = {name: value for name, value in {**PACKAGE, **fields}.items() if value is not None}
    return spec(workerPoolSpecs=[{"machineSpec": POOL["machineSpec"], "pythonPackageSpec": body}])


def machine(**fields: Any) -> Any:
    return pool(machineSpec={"machineType": "n1-standard-4", **fields})


def faults(job: Any, machines: Machines = MACHINES) -> list[FieldViolation]:
    try:
        rules.check(job, machines)
    except InvalidArgument as error:
        return list(error.violations)
    return []


def env(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "value": "v"} for name in names]


def nfs(**fields: str) -> Any:
    return pool(nfsMounts=[{"server": "10.0.0.1", "path": "/data", "mountPoint": "m", **fields}])


def lustre(**fields: str) -> Any:
    return pool(
        lustreMounts=[{"instanceIp": "10.0.0.1", "volumeHandle": "v", "filesystem": "f", "mountPoint": "m", **fields}]
    )


def affinity(**fields: Any) -> Any:
    return machine(reservationAffinity=fields)


def peering(**fields: str) -> Any:
    return spec(
        pscInterfaceConfig={
            "dnsPeeringConfigs": [{"domain": "a.test.", "targetProject": "p", "targetNetwork": "n", **fields}]
        }
    )


RESERVATION = {
    "reservationAffinityType": "SPECIFIC_RESERVATION",
    "key": "compute.googleapis.com/reservation-name",
    "values": ["projects/p/zones/z/reservations/r"],
}
FLEX = {"strategy": "FLEX_START"}

BROKEN: dict[str, tuple[Any, str, str]] = {
    "no display name": (message(displayName=""), "display_name", "Required field is not set."),
    "long display name": (message(displayName="x" * 129), "display_name", "no more than 128 characters; it has 129"),
    "no spec": (message(jobSpec=None), SPEC, "Required field"),
    "no pools": (message(jobSpec={}), f"{SPEC}.worker_pool_specs", "Required field"),
    "five pools": (spec(workerPoolSpecs=[POOL] * 5), f"{SPEC}.worker_pool_specs", "no more than 4 worker pools"),
    "first pool empty": (spec(workerPoolSpecs=[{}, POOL]), FIRST, "must not be empty"),
    "two primaries": (pool(replicaCount=2), f"{FIRST}.replica_count", "exactly 1 replica, not 2"),
    "negative replicas": (pool(replicaCount=-1), f"{FIRST}.replica_count", "negative"),
    "replicas without end": (
        spec(workerPoolSpecs=[POOL, {**POOL, "replicaCount": 10**12}]),
        f"{SPEC}.worker_pool_specs",
        "no more than 10000 replicas",
    ),
    "no task": (
        spec(workerPoolSpecs=[{"replicaCount": 1, "machineSpec": POOL["machineSpec"]}]),
        f"{FIRST}.task",
        "Exactly one of",
    ),
    "no machine type": (pool(machineSpec={}), f"{MACHINE}.machine_type", "Required field"),
    "unknown machine type": (
        machine(machineType="q9-huge-3"),
        f"{MACHINE}.machine_type",
        "Machine type q9-huge-3 is not supported.",
    ),
    "accelerator without count": (
        machine(acceleratorType="NVIDIA_TESLA_T4"),
        f"{MACHINE}.accelerator_type",
        "Both accelerator_type and accelerator_count should be specified or none.",
    ),
    "count without accelerator": (machine(acceleratorCount=1), f"{MACHINE}.accelerator_type", "Both"),
    "negative accelerators": (
        machine(acceleratorType="NVIDIA_TESLA_T4", acceleratorCount=-1),
        f"{MACHINE}.accelerator_count",
        "negative",
    ),
    "removed accelerator": (
        machine(acceleratorType="NVIDIA_TESLA_K80", acceleratorCount=1),
        f"{MACHINE}.accelerator_type",
        'Accelerator "NVIDIA_TESLA_K80" is not supported for machine type "n1-standard-4".',
    ),
    "three GPUs": (
        machine(acceleratorType="NVIDIA_TESLA_T4", acceleratorCount=3),
        f"{MACHINE}.accelerator_count",
        "supported: 1, 2, 4.",
    ),
    "unknown accelerator": (
        machine(acceleratorType=99, acceleratorCount=1),
        f"{MACHINE}.accelerator_type",
        "99 is not a value of AcceleratorType",
    ),
    "topology without TPU": (machine(tpuTopology="2x2"), f"{MACHINE}.tpu_topology", "has no TPUs"),
    "bad topology": (machine(machineType="ct5lp-hightpu-4t", tpuTopology="2y2"), f"{MACHINE}.tpu_topology", "2x2x1"),
    "bad GPU partition": (machine(gpuPartitionSize="half"), f"{MACHINE}.gpu_partition_size", "1g.10gb"),
    "bad driver version": (machine(minGpuDriverVersion="new"), f"{MACHINE}.min_gpu_driver_version", "550.54.14"),
    "negative GPU hosts": (machine(multihostGpuNodeCount=-1), f"{MACHINE}.multihost_gpu_node_count", "negative"),
    "reservation of no type": (
        affinity(key="k"),
        f"{MACHINE}.reservation_affinity.reservation_affinity_type",
        "Required",
    ),
    "key of any reservation": (
        affinity(reservationAffinityType="ANY_RESERVATION", key="k"),
        f"{MACHINE}.reservation_affinity.key",
        "SPECIFIC_RESERVATION only",
    ),
    "specific without key": (affinity(**{**RESERVATION, "key": ""}), f"{MACHINE}.reservation_affinity.key", "Required"),
    "specific with another key": (
        affinity(**{**RESERVATION, "key": "k"}),
        f"{MACHINE}.reservation_affinity.key",
        "reservation-name",
    ),
    "specific without values": (
        affinity(**{**RESERVATION, "values": []}),
        f"{MACHINE}.reservation_affinity.values",
        "Required",
    ),
    "empty reservation": (
        affinity(**{**RESERVATION, "values": [""]}),
        f"{MACHINE}.reservation_affinity.values[0]",
        "Required",
    ),
    "bad reservation": (
        affinity(**{**RESERVATION, "values": ["r"]}),
        f"{MACHINE}.reservation_affinity.values[0]",
        "zones",
    ),
    "no image": (pool(containerSpec={"args": ["x"]}), f"{FIRST}.container_spec.image_uri", "Required"),
    "101 variables": (
        container(env=env(*(f"A{n}" for n in range(101)))),
        f"{FIRST}.container_spec.env",
        "no more than 100 entries; found 101",
    ),
    "variable that is no identifier": (container(env=env("1A")), f"{FIRST}.container_spec.env[0].name", "C identifier"),
    "variable without name": (container(env=env("")), f"{FIRST}.container_spec.env[0].name", "Required"),
    "variable twice": (
        container(env=env("A", "B", "A")),
        f"{FIRST}.container_spec.env[2].name",
        "EnvVar names must be unique",
    ),
    "NUL in an argument": (container(args=["a", "b\0"]), f"{FIRST}.container_spec.args[1]", "NUL"),
    "too much argument": (
        container(args=["x" * 60_000, "x" * 40_001]),
        f"{SPEC}.worker_pool_specs",
        "no more than 100000 characters; found 100001",
    ),
    "no executor image": (
        package(executorImageUri=None),
        f"{FIRST}.python_package_spec.executor_image_uri",
        "Required",
    ),
    "no packages": (package(packageUris=None), f"{FIRST}.python_package_spec.package_uris", "Required"),
    "101 packages": (
        package(packageUris=["gs://bkt/p"] * 101),
        f"{FIRST}.python_package_spec.package_uris",
        "no more than 100",
    ),
    "empty package URI": (package(packageUris=[""]), f"{FIRST}.python_package_spec.package_uris[0]", "Required"),
    "package from elsewhere": (
        package(packageUris=["/tmp/p"]),
        f"{FIRST}.python_package_spec.package_uris[0]",
        "gs://",
    ),
    "no module": (package(pythonModule=None), f"{FIRST}.python_package_spec.python_module", "Required"),
    "bad module": (package(pythonModule="a b"), f"{FIRST}.python_package_spec.python_module", "trainer.task"),
    "bad variable of a package": (package(env=env("-")), f"{FIRST}.python_package_spec.env[0].name", "C identifier"),
    "bad disk type": (pool(diskSpec={"bootDiskType": "floppy"}), f"{FIRST}.disk_spec.boot_disk_type", "pd-ssd"),
    "tiny disk": (pool(diskSpec={"bootDiskSizeGb": 99}), f"{FIRST}.disk_spec.boot_disk_size_gb", "100 to 64000"),
    "huge disk": (pool(diskSpec={"bootDiskSizeGb": 64001}), f"{FIRST}.disk_spec.boot_disk_size_gb", "64001"),
    "NFS without server": (nfs(server=""), f"{FIRST}.nfs_mounts[0].server", "Required"),
    "NFS without path": (nfs(path=""), f"{FIRST}.nfs_mounts[0].path", "Required"),
    "NFS with a relative path": (nfs(path="data"), f"{FIRST}.nfs_mounts[0].path", "absolute"),
    "NFS without mount point": (nfs(mountPoint=""), f"{FIRST}.nfs_mounts[0].mount_point", "Required"),
    "NFS that climbs out": (nfs(mountPoint=".."), f"{FIRST}.nfs_mounts[0].mount_point", "directory name"),
    "Lustre without address": (lustre(instanceIp=""), f"{FIRST}.lustre_mounts[0].instance_ip", "Required"),
    "Lustre without mount point": (lustre(mountPoint=""), f"{FIRST}.lustre_mounts[0].mount_point", "Required"),
    "Lustre that climbs out": (lustre(mountPoint="a/b"), f"{FIRST}.lustre_mounts[0].mount_point", "directory name"),
    "no time": (spec(scheduling={"timeout": "0s"}), f"{SPEC}.scheduling.timeout", "greater than 0"),
    "negative time": (spec(scheduling={"timeout": "-1s"}), f"{SPEC}.scheduling.timeout", "greater than 0"),
    "waiting without FLEX_START": (
        spec(scheduling={"maxWaitDuration": "5s"}),
        f"{SPEC}.scheduling.max_wait_duration",
        "FLEX_START only",
    ),
    "negative waiting": (
        spec(workerPoolSpecs=[GPU_POOL], scheduling={**FLEX, "maxWaitDuration": "-5s"}),
        f"{SPEC}.scheduling.max_wait_duration",
        "negative",
    ),
    "unknown strategy": (spec(scheduling={"strategy": 5}), f"{SPEC}.scheduling.strategy", "5 is not a value"),
    "FLEX_START on CPUs": (spec(scheduling=FLEX), f"{MACHINE}.accelerator_type", "L4, A100"),
    "FLEX_START for 8 days": (
        spec(workerPoolSpecs=[GPU_POOL], scheduling={**FLEX, "timeout": "691200s"}),
        f"{SPEC}.scheduling.timeout",
        "7 days",
    ),
    "FLEX_START on a persistent resource": (
        spec(workerPoolSpecs=[GPU_POOL], scheduling=FLEX, persistentResourceId="p"),
        f"{SPEC}.persistent_resource_id",
        "FLEX_START",
    ),
    "FLEX_START with a reservation": (
        spec(
            workerPoolSpecs=[
                {
                    **GPU_POOL,
                    "machineSpec": {
                        **GPU_POOL["machineSpec"],
                        "reservationAffinity": {"reservationAffinityType": "ANY_RESERVATION"},
                    },
                }
            ],
            scheduling=FLEX,
        ),
        f"{MACHINE}.reservation_affinity",
        "FLEX_START",
    ),
    "FLEX_START with mixed machines": (
        spec(
            workerPoolSpecs=[GPU_POOL, {}, {**GPU_POOL, "machineSpec": {"machineType": "g2-standard-8"}}],
            scheduling=FLEX,
        ),
        f"{SPEC}.worker_pool_specs[2].machine_spec",
        "same machine_spec",
    ),
    "SPOT on a TPU Pod": (
        spec(
            workerPoolSpecs=[
                {
                    **POOL,
                    "machineSpec": {"machineType": "cloud-tpu", "acceleratorType": "TPU_V3", "acceleratorCount": 32},
                }
            ],
            scheduling={"strategy": "SPOT"},
        ),
        MACHINE,
        "TPU Pods",
    ),
    "LOW_COST on a TPU Pod by topology": (
        spec(
            workerPoolSpecs=[{**POOL, "machineSpec": {"machineType": "ct5lp-hightpu-4t", "tpuTopology": "4x4"}}],
            scheduling={"strategy": "LOW_COST"},
        ),
        MACHINE,
        "LOW_COST",
    ),
    "service account": (spec(serviceAccount="me"), f"{SPEC}.service_account", "e-mail"),
    "network by id": (spec(network="projects/p/global/networks/n"), f"{SPEC}.network", "project number"),
    "port of a dashboard": (
        spec(
            workerPoolSpecs=[
                {**POOL, "containerSpec": {"imageUri": "img", "env": [{"name": "AIP_DASHBOARD_PORT", "value": "http"}]}}
            ],
            enableDashboardAccess=True,
        ),
        f"{FIRST}.container_spec.env[0].value",
        "from 1 to 65535",
    ),
    "empty range": (spec(reservedIpRanges=[""]), f"{SPEC}.reserved_ip_ranges[0]", "Required"),
    "bad range": (spec(reservedIpRanges=["ok", "Not OK"]), f"{SPEC}.reserved_ip_ranges[1]", "lowercase"),
    "persistent resource": (spec(persistentResourceId="P"), f"{SPEC}.persistent_resource_id", "lowercase"),
    "protected location": (
        spec(protectedArtifactLocationId="US!"),
        f"{SPEC}.protected_artifact_location_id",
        "us-central1",
    ),
    "output without prefix": (
        spec(baseOutputDirectory={}),
        f"{SPEC}.base_output_directory.output_uri_prefix",
        "Required",
    ),
    "output elsewhere": (
        spec(baseOutputDirectory={"outputUriPrefix": "s3://b"}),
        f"{SPEC}.base_output_directory.output_uri_prefix",
        "gs://",
    ),
    "tensorboard": (spec(tensorboard="t"), f"{SPEC}.tensorboard", "tensorboards"),
    "experiment": (spec(experiment="e"), f"{SPEC}.experiment", "contexts"),
    "experiment run": (spec(experimentRun="e"), f"{SPEC}.experiment_run", "contexts"),
    "run of another experiment": (
        spec(experiment=CONTEXT, experimentRun=f"{CONTEXT[:-1]}f-r"),
        f"{SPEC}.experiment_run",
        "after its experiment",
    ),
    "empty model": (spec(models=[""]), f"{SPEC}.models[0]", "Required"),
    "bad model": (spec(models=["m"]), f"{SPEC}.models[0]", "models"),
    "network attachment": (
        spec(pscInterfaceConfig={"networkAttachment": "N"}),
        f"{SPEC}.psc_interface_config.network_attachment",
        "networkAttachments",
    ),
    "peering without domain": (
        peering(domain=""),
        f"{SPEC}.psc_interface_config.dns_peering_configs[0].domain",
        "Required",
    ),
    "peering without dot": (
        peering(domain="a.test"),
        f"{SPEC}.psc_interface_config.dns_peering_configs[0].domain",
        "ends with a dot",
    ),
    "peering without project": (
        peering(targetProject=""),
        f"{SPEC}.psc_interface_config.dns_peering_configs[0].target_project",
        "Required",
    ),
    "peering without network": (
        peering(targetNetwork=""),
        f"{SPEC}.psc_interface_config.dns_peering_configs[0].target_network",
        "Required",
    ),
    "no key name": (message(encryptionSpec={}), "encryption_spec.kms_key_name", "Required"),
    "bad key name": (message(encryptionSpec={"kmsKeyName": "k"}), "encryption_spec.kms_key_name", "cryptoKeys"),
    "65 labels": (message(labels={f"k{n}": "v" for n in range(65)}), "labels", "no more than 64 labels"),
    "empty key": (message(labels={"": "v"}), "labels", "must not be empty"),
    "capital key": (message(labels={"Foo": "v"}), "labels", "lowercase letters"),
    "key of 64": (message(labels={"k" * 64: "v"}), "labels", "less than 64 characters"),
    "key of 128 bytes": (message(labels={"鍵" * 43: "v"}), "labels", "less than 128 bytes"),
    "key that starts with a dash": (message(labels={"-k": "v"}), "labels", "start with a letter"),
    "reserved key": (message(labels={"aiplatform.googleapis.com/x": "v"}), "labels", "is reserved"),
    "value of 64": (message(labels={"k": "v" * 64}), "labels", "less than 64"),
    "capital value": (message(labels={"k": "V"}), "labels", "value of the label 'k'"),
}


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case)
def test_a_broken_rule_is_the_only_fault_and_named_by_its_path(case: str) -> None:
    """One broken rule gives one fault, at the field's own path, with a sentence that says what is wrong."""
    job, path, words = BROKEN[case]
    found = faults(job)
    assert [fault.field for fault in found] == [path]
    assert words in found[0].description


FINE: dict[str, Any] = {
    "the smallest": message(),
    "128 characters that are not ASCII": message(displayName="é" * 128),
    "no replica count": spec(workerPoolSpecs=[{k: v for k, v in POOL.items() if k != "replicaCount"}]),
    "a skipped pool": spec(workerPoolSpecs=[POOL, {}, {**POOL, "replicaCount": 3}]),
    "four pools": spec(workerPoolSpecs=[POOL] * 4),
    "a package": package(),
    "100 variables": container(env=env(*(f"A{n}" for n in range(100)))),
    "an empty value": container(env=[{"name": "A"}]),
    "100 packages": package(packageUris=["gs://bkt/p"] * 100),
    "100,000 characters": container(args=["x" * 100_000]),
    "four T4": machine(acceleratorType="NVIDIA_TESLA_T4", acceleratorCount=4),
    "a machine with GPUs that are not asked for": machine(machineType="a2-highgpu-1g"),
    "a default disk": pool(diskSpec={"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100}),
    "mounts": pool(
        nfsMounts=[{"server": "s", "path": "/p", "mountPoint": "m"}],
        lustreMounts=[{"instanceIp": "i", "volumeHandle": "v", "filesystem": "f", "mountPoint": "m"}],
    ),
    "a reservation": affinity(**RESERVATION),
    "no reservation": affinity(reservationAffinityType="NO_RESERVATION"),
    "what the SDK sends along": spec(
        scheduling={
            "timeout": "100s",
            "maxWaitDuration": "0s",
            "strategy": "STANDARD",
            "restartJobOnWorkerRestart": False,
            "disableRetries": False,
        }
    ),
    "FLEX_START": spec(workerPoolSpecs=[GPU_POOL], scheduling={**FLEX, "maxWaitDuration": "60s"}),
    "FLEX_START for ever": spec(workerPoolSpecs=[GPU_POOL], scheduling={**FLEX, "maxWaitDuration": "0s"}),
    "FLEX_START with built-in GPUs": spec(
        workerPoolSpecs=[{**POOL, "machineSpec": {"machineType": "a3-highgpu-8g"}}], scheduling=FLEX
    ),
    "SPOT on a CPU": spec(scheduling={"strategy": 4}),
    "SPOT on one TPU host": spec(
        workerPoolSpecs=[{**POOL, "machineSpec": {"machineType": "ct5lp-hightpu-4t", "tpuTopology": "2x2"}}],
        scheduling={"strategy": "SPOT"},
    ),
    "all surroundings": spec(
        serviceAccount="sa@p.iam.gserviceaccount.com",
        network="projects/12345/global/networks/default",
        reservedIpRanges=["r-1"],
        persistentResourceId="p-1",
        protectedArtifactLocationId="us-east1",
        baseOutputDirectory={"outputUriPrefix": "gs://bkt/aiplatform-custom-job-2026-11-21-10:00:00.123"},
        tensorboard="projects/p/locations/l/tensorboards/1",
        experiment=CONTEXT,
        experimentRun=f"{CONTEXT}-r",
        models=["projects/p/locations/l/models/m@2"],
        pscInterfaceConfig={
            "networkAttachment": "projects/p/regions/r/networkAttachments/a",
            "dnsPeeringConfigs": [{"domain": "a.test.", "targetProject": "p", "targetNetwork": "n"}],
        },
    ),
    "a bucket alone": spec(baseOutputDirectory={"outputUriPrefix": "gs://bkt"}),
    "a key": message(encryptionSpec={"kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}),
    "64 labels": message(labels={f"k{n}": "v" * 63 for n in range(64)}),
    "an empty label value": message(labels={"k": ""}),
    "international labels": message(labels={"schlüssel": "värde", "鍵": "値", "हिन्दी": "मूल्य"}),
}


@pytest.mark.parametrize("case", FINE, ids=lambda case: case)
def test_what_is_right_passes(case: str) -> None:
    """A job that keeps every rule, also at the very edge of one, has no fault."""
    assert faults(FINE[case]) == []


def test_tensorboard_needs_an_account_and_a_directory() -> None:
    """TensorBoard without the two fields that it needs names both."""
    found = faults(spec(tensorboard="projects/p/locations/l/tensorboards/1"))
    assert [fault.field for fault in found] == ["job_spec.service_account", "job_spec.base_output_directory"]


@pytest.mark.parametrize(("seconds", "nanos"), [(1, -1), (315_576_000_001, 0), (0, 10**9)])
def test_a_duration_that_is_none_is_refused(seconds: int, nanos: int) -> None:
    """Over gRPC any pair of numbers arrives; what proto3 JSON could not even write is a fault."""
    job = spec(workerPoolSpecs=[GPU_POOL], scheduling=FLEX)
    for duration in (job.job_spec.scheduling.timeout, job.job_spec.scheduling.max_wait_duration):
        duration.seconds, duration.nanos = seconds, nanos
    found = [fault.field for fault in faults(job) if fault.description == "Not a valid duration."]
    assert found == [f"{SPEC}.scheduling.timeout", f"{SPEC}.scheduling.max_wait_duration"]


def test_all_faults_come_in_one_numbered_message() -> None:
    """Two faults are one error, numbered and tab-separated as the service words it."""
    with pytest.raises(InvalidArgument) as caught:
        rules.check(message(displayName="", labels={"Foo": "v"}), MACHINES, [FieldViolation("labels", "and this")])
    text = caught.value.message
    assert text.startswith("List of found errors:\t1.Field: display_name; Message: Required field is not set.\t2.")
    assert text.endswith("\t3.Field: labels; Message: and this\t ")


def test_any_machine_type_passes_where_it_may() -> None:
    """A catalogue that allows any checks nothing that it cannot know."""
    job = machine(machineType="my-own-box", acceleratorType="NVIDIA_TESLA_K80", acceleratorCount=3)
    assert faults(job, Machines.known(allow_any=True)) == []
    assert [fault.field for fault in faults(job)] == [f"{MACHINE}.machine_type"]


def test_what_only_the_service_sets_is_dropped() -> None:
    """Output-only fields that a client sends are ignored, everything else stays, and the request is left alone."""
    job = message(name="n", state="JOB_STATE_RUNNING", createTime="2020-01-01T00:00:00Z", labels={"k": "v"})
    asked = without_output(job, rules.OUTPUT_ONLY)
    assert {field.name for field, _ in asked.ListFields()} == {"display_name", "job_spec", "labels"}
    assert job.name == "n"


def test_fields_that_nobody_knows_are_dropped() -> None:
    """What a newer client sends beside the known fields is not stored, where it could neither be checked nor read."""
    job = type(message()).FromString(message().SerializeToString() + b"\xfa\x3f\x03new")
    assert without_output(job, rules.OUTPUT_ONLY).SerializeToString() == message().SerializeToString()


def test_a_value_quoted_in_an_error_is_short() -> None:
    """Whoever sends a megabyte does not get it back."""
    found = faults(machine(machineType="x" * 1_000_000))
    assert len(found[0].description) < 200


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"machineType": "n1-standard-4"},
            "is of n1-standard-8 with 1 GPU; the replicas ask for n1-standard-4 with",
        ),
        ({"machineType": "n1-standard-8"}, "the replicas ask for n1-standard-8 with no GPUs, and both must match"),
        ({"machineType": "n1-standard-8", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1}, ""),
    ],
)
def test_replicas_are_as_their_reservation(asked: dict[str, Any], words: str) -> None:
    """Machine type and GPUs alike, as the original wants them; a reservation of no machine type takes any."""
    shares = (Reservation(Places("r", 1, Resources(gpus=1)), "n1-standard-8"),)
    found = faults(machine(**asked, reservationAffinity=RESERVATION), Machines.known(reservations=shares))
    assert [fault.field for fault in found] == ([f"{MACHINE}.reservation_affinity.values"] if words else [])
    assert all(words in fault.description for fault in found)
