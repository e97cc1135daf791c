"""The fields of a CustomJobSpec and what each does on one machine: the whole list, so that none is silently ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.kinds.field_effects import Effect, EffectTable, FieldEffect, remarks

_POOL = "worker_pool_specs"
_MACHINE = f"{_POOL}.machine_spec"
_CONTAINER = f"{_POOL}.container_spec"
_PACKAGE = f"{_POOL}.python_package_spec"


_SHARES = (
    Effect.FULL,
    "Seen where this machine has it mounted, or where the setting mount_sources says; a job whose replica comes to run "
    "outside of a container, or whose share is not here, fails with a sentence.",
)


def _asks_for_a_disk(disk: Any) -> bool:
    """The official SDK always sends the default; whoever leaves it so asks for nothing."""
    return disk.boot_disk_type not in ("", "pd-ssd") or disk.boot_disk_size_gb not in (0, 100)


def _full(path: str, sentence: str) -> FieldEffect:
    return FieldEffect(path, Effect.FULL, sentence)


def _part(path: str, sentence: str) -> FieldEffect:
    return FieldEffect(path, Effect.PART, sentence)


def _none(path: str, sentence: str) -> FieldEffect:
    return FieldEffect(path, Effect.NONE, sentence)


def _of_replica(path: str, host: tuple[Effect, str], containers: tuple[Effect, str]) -> FieldEffect:
    """What differs by where a replica runs, and what the executor itself tells of each one."""
    return FieldEffect(path, *host, always=True, in_containers=containers)


_PROGRAM = (
    _of_replica(
        f"{_CONTAINER}.image_uri",
        (
            Effect.PART,
            "one of Google's prebuilt images stands for an environment with its framework, any other for what is "
            "installed on this machine; the service log says which.",
        ),
        (Effect.FULL, "The replica runs in this image, pulled as the setting image_pull says."),
    ),
    _of_replica(
        f"{_CONTAINER}.command",
        (Effect.FULL, "What is run; without it the job fails, as only an image could say what to run instead."),
        (Effect.FULL, "Replaces the image's entry point; its own arguments are left out then."),
    ),
    _full(f"{_CONTAINER}.args", "Handed to the command; without one, they replace the image's own arguments."),
    _full(f"{_CONTAINER}.env", "Set in the program's environment, $(NAME) expanded."),
    _of_replica(
        f"{_PACKAGE}.executor_image_uri",
        (Effect.PART, "it names the environment that the packages are installed into; the service log says which."),
        (Effect.FULL, "The packages are installed and run in this image."),
    ),
    _of_replica(
        f"{_PACKAGE}.package_uris",
        (Effect.FULL, "Installed in this order into an environment that is kept for the next job with the same."),
        (Effect.FULL, "Installed in this order in each container, before the module runs."),
    ),
    _full(f"{_PACKAGE}.python_module", "Run with python3 -m."),
    _full(f"{_PACKAGE}.args", "The module's arguments."),
    _full(f"{_PACKAGE}.env", "Set in the program's environment, $(NAME) expanded."),
    _full(f"{_POOL}.replica_count", "So many replicas are started; 1 where it is not given."),
)

_PLACE = (
    _of_replica(
        f"{_MACHINE}.machine_type",
        (
            Effect.PART,
            "with the setting machines=enforced its vCPUs and memory must be free before the job starts; a program may "
            "still use the whole of this machine, and the service log says so. With labels, the default, it is a name "
            "that is checked.",
        ),
        (
            Effect.PART,
            "the container may use no more vCPUs and memory than the machine type has; where this machine has less, or "
            "the engine cannot limit it, the service log says so. They are set aside with the setting "
            "machines=enforced only.",
        ),
    ),
    _of_replica(
        f"{_MACHINE}.accelerator_type",
        (
            Effect.PART,
            "any NVIDIA type means the GPUs of this machine, handed out whole; where it has none, the setting "
            "accelerators says whether the job runs without or fails. TPUs are not handed out.",
        ),
        (Effect.PART, "as on the host; the devices are put into the container by CDI (nvidia.com/gpu)."),
    ),
    _of_replica(
        f"{_MACHINE}.accelerator_count",
        (Effect.FULL, "So many GPUs are the replica's own, by CUDA_VISIBLE_DEVICES."),
        (Effect.FULL, "So many GPUs are put into the container; it sees no others."),
    ),
    _none(f"{_MACHINE}.gpu_partition_size", "GPUs are handed out whole."),
    _none(f"{_MACHINE}.tpu_topology", "there are no TPUs on this machine; the program runs without them."),
    _none(f"{_MACHINE}.multihost_gpu_node_count", "replicas are not spread over GPU hosts."),
    _none(f"{_MACHINE}.min_gpu_driver_version", "the driver is the one that this machine has."),
    _full(
        f"{_MACHINE}.reservation_affinity",
        "SPECIFIC_RESERVATION takes places of the share of that name (the setting reservations) and no others; "
        "ANY_RESERVATION takes free ones of any share that suits by machine type and GPUs, then what is not reserved; "
        "NO_RESERVATION takes what is not reserved. Where nothing is, every job does, and the service log says so.",
    ),
    FieldEffect(
        f"{_POOL}.disk_spec",
        Effect.NONE,
        "replicas use this machine's own disks, whatever type and size is asked for.",
        when=_asks_for_a_disk,
    ),
    FieldEffect(
        f"{_POOL}.nfs_mounts",
        Effect.REFUSED,
        "this server cannot mount NFS shares, and a program must not "
        "start without its data; put it in a gs:// bucket or a local directory instead.",
        in_containers=_SHARES,
    ),
    FieldEffect(
        f"{_POOL}.lustre_mounts",
        Effect.REFUSED,
        "this server cannot mount Lustre file systems, and a program "
        "must not start without its data; put it in a gs:// bucket or a local directory instead.",
        in_containers=_SHARES,
    ),
    _full(
        "persistent_resource_id",
        "The replicas take places that are kept for it (trainyard pools create, the setting persistent_resources), and "
        "no others do; NOT_FOUND where there is none of that name.",
    ),
)

_SCHEDULING = (
    _full("scheduling.timeout", "The job is ended when it has run for so long; 7 days where it is not given."),
    _full("scheduling.restart_job_on_worker_restart", "A restart of one worker restarts the whole job."),
    _full(
        "scheduling.strategy",
        "A SPOT job starts after those of other strategies and loses its place to one that needs it: SIGTERM, the "
        "grace, and it waits again, up to 6 times. STANDARD and ON_DEMAND wait as long as it takes; FLEX_START has "
        "maxWaitDuration.",
    ),
    _full("scheduling.disable_retries", "The job fails at the first failure."),
    _full("scheduling.max_wait_duration", "The job fails when it has waited for room so long."),
)


def _of_network(path: str, why: str) -> FieldEffect:
    return FieldEffect(
        path,
        Effect.NONE,
        f"{why}; replicas use this machine's own network.",
        in_containers=(Effect.NONE, f"{why}; containers are in a network of this machine."),
    )


_IDENTITY = (
    "The programs' default credentials are this account's: its e-mail from their metadata server, its rights here by "
    "its tokens, or real credentials of Google's where the account has some (security.md). With --auth the caller must "
    "be allowed to act as it, else PERMISSION_DENIED."
)
_SURROUNDINGS = (
    _of_replica(
        "service_account",
        (Effect.FULL, f"{_IDENTITY} Their processes belong to the user that runs this server."),
        (Effect.FULL, f"{_IDENTITY} Their processes belong to the image's user."),
    ),
    _of_network("network", "no VPC network is peered"),
    _of_network("reserved_ip_ranges", "no addresses of a VPC network are taken"),
    _of_network("psc_interface_config", "there is no Private Service Connect"),
    _full("base_output_directory", "Sets AIP_MODEL_DIR, AIP_CHECKPOINT_DIR and AIP_TENSORBOARD_LOG_DIR."),
    _none(
        "protected_artifact_location_id",
        "what a job makes is kept where this server keeps everything: its data directory, or objects_url.",
    ),
    _part(
        "tensorboard",
        "AIP_TENSORBOARD_RESOURCE_NAME is set, but no TensorBoard instance stands behind it; point "
        "tensorboard at AIP_TENSORBOARD_LOG_DIR instead.",
    ),
    FieldEffect(
        "enable_web_access",
        Effect.FULL,
        "While the job runs, people who may create, get and cancel it open shells beside its programs, at the "
        "addresses in webAccessUris or by trainyard custom-jobs shell; the machine needs bash. They end with the job.",
        in_containers=(
            Effect.FULL,
            "As on the host, in the replica's container, whose image needs bash.",
        ),
    ),
    FieldEffect(
        "enable_dashboard_access",
        Effect.FULL,
        "The chief gets AIP_DASHBOARD_PORT, a free port unless its own env sets one, and serves its page there; while "
        "it runs, people who may create, get and cancel the job see that page at the address of workerpool0-0:8888 in "
        "webAccessUris. WebSockets and streams pass as well.",
        in_containers=(
            Effect.FULL,
            "As on the host; in a network of the job's own the port is 8888, and the program has to listen on 0.0.0.0.",
        ),
    ),
    _full(
        "experiment",
        "Sets AIP_EXPERIMENT_NAME. With mlflow_tracking_uri set, the job has a run in that experiment of MLflow, which "
        "its programs find by MLFLOW_RUN_ID; without, it is recorded with the job, its metrics read from event files.",
    ),
    _full("experiment_run", "Sets AIP_EXPERIMENT_RUN_NAME, and names that run; job-ID where it is not given."),
    _none("models", "there is no model registry here; the program loads its checkpoints from its own paths."),
)

SPEC_EFFECTS: tuple[FieldEffect, ...] = (*_PROGRAM, *_PLACE, *_SCHEDULING, *_SURROUNDINGS)
"""One entry for each field of CustomJobSpec that can be set; a test compares it with the descriptors."""

_BY_RUNTIME = EffectTable(line.under("job_spec") for line in SPEC_EFFECTS if line.in_containers and not line.always)


def remarks_on(spec: Any) -> Mapping[str, tuple[str, ...]]:
    """By runtime (host, podman, docker): what fields of this CustomJobSpec have no whole effect only there."""
    return remarks(_BY_RUNTIME.used(spec, "job_spec"))
