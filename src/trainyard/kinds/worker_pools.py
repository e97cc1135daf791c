"""A CustomJobSpec as a run group: shared by every kind that runs one; same spec, same group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from trainyard.contract import codec
from trainyard.core.jobs import Job
from trainyard.core.runs import PythonPackage, ReplicaSpec, Resources, RunGroup, Share
from trainyard.kinds.field_effects import Runtime
from trainyard.kinds.machines import Machines
from trainyard.kinds.persistent import share_of
from trainyard.kinds.pool_rules import any_of, gpus_of, is_skipped, reservation_name
from trainyard.kinds.spec_effects import remarks_on


def used_pools(spec: Any) -> Iterator[Any]:
    """The pools that are not skipped, in order."""
    return (pool for pool in spec.worker_pool_specs if not is_skipped(pool))


def accounts_named(*specs: Any) -> tuple[str, ...]:
    """The service accounts that programs of these specs are to be, each once."""
    return tuple(dict.fromkeys(spec.service_account for spec in specs if spec.service_account))


def replica_count(pool: Any) -> int:
    """How many replicas a pool has; one where its count is not given (the field is optional and 0 is absence)."""
    return max(int(pool.replica_count), 1)


def replica_names(spec: Any) -> tuple[str, ...]:
    """`workerpool{pool}-{index}` of every replica, the primary first; skipped pools keep their number."""
    return tuple(
        f"workerpool{number}-{index}"
        for number, pool in enumerate(spec.worker_pool_specs)
        if not is_skipped(pool)
        for index in range(replica_count(pool))
    )


def directory(uri_prefix: str) -> str:
    """GcsDestination.output_uri_prefix: a missing trailing slash is added."""
    return uri_prefix if not uri_prefix or uri_prefix.endswith("/") else f"{uri_prefix}/"


def resources_of(machine_spec: Any, machines: Machines) -> Resources:
    """What one replica on such a machine asks for: the machine type's vCPUs and memory, and its GPUs."""
    machine = machines.find(machine_spec.machine_type)
    return Resources(
        cpus=float(machine.cpus) if machine else 0.0,
        memory_bytes=machine.memory_bytes if machine else 0,
        gpus=gpus_of(machine_spec, machines),
        reservation=reservation_name(machine_spec, machines),
        any_of=any_of(machine_spec, machines),
    )


def _resources(spec: Any, pool: Any, machines: Machines) -> Resources:
    found = resources_of(pool.machine_spec, machines)
    name = spec.persistent_resource_id
    return replace(found, reservation=share_of(name, pool, machines)) if name else found


def demand_of(spec: Any, machines: Machines) -> tuple[Resources, ...]:
    """What every replica asks for, in the order of replica_names."""
    return tuple(
        resources
        for pool in used_pools(spec)
        for resources in (_resources(spec, pool, machines),) * replica_count(pool)
    )


def run_group(spec: Any, job: Job, machines: Machines) -> RunGroup:
    """The job's present attempt as an executor is to hold it. The job must have a run id."""
    run_id = job.status.run_id
    assert run_id is not None, "a run group is asked for only once its attempt has been admitted"
    return RunGroup(
        run_id=run_id,
        job_name=str(job.name),
        job_id=job.id,
        project=job.name.scope.project,
        location=job.name.scope.location,
        replicas=tuple(_replicas(spec, machines)),
        job_spec_json=codec.render_bytes(spec).decode(),
        base_output_uri=directory(spec.base_output_directory.output_uri_prefix),
        experiment=spec.experiment,
        experiment_run=spec.experiment_run,
        tensorboard=spec.tensorboard,
        service_account=spec.service_account,
        remarks=_remarks(spec, machines),
        opens_shells=spec.enable_web_access,
    )


def _remarks(spec: Any, machines: Machines) -> Mapping[str, tuple[str, ...]]:
    """What fields have no whole effect where the replicas run, and that a reservation is not to be had here."""
    found = remarks_on(spec)
    if machines.reservations or not any(p.machine_spec.reservation_affinity.values for p in spec.worker_pool_specs):
        return found
    return {runtime: (*found.get(runtime, ()), _UNRESERVED) for runtime in Runtime}


_UNRESERVED: Final = (
    "jobSpec.workerPoolSpecs.machineSpec.reservationAffinity has no effect here: nothing is set aside on this machine "
    "(the setting reservations), so the replicas take what is free."
)


def _replicas(spec: Any, machines: Machines) -> Iterator[ReplicaSpec]:
    for number, pool in enumerate(spec.worker_pool_specs):
        if is_skipped(pool):
            continue
        resources = _resources(spec, pool, machines)
        for index in range(replica_count(pool)):
            yield _replica(pool, number, index, resources)


def _replica(pool: Any, number: int, index: int, resources: Resources) -> ReplicaSpec:
    name = f"workerpool{number}-{index}"
    if pool.WhichOneof("task") == "python_package_spec":
        task, command = pool.python_package_spec, ()
        package = PythonPackage(tuple(task.package_uris), task.python_module)
        image_uri = task.executor_image_uri
    else:
        task, package = pool.container_spec, None
        command, image_uri = tuple(task.command), task.image_uri
    return ReplicaSpec(
        name=name,
        pool=number,
        index=index,
        image_uri=image_uri,
        command=command,
        args=tuple(task.args),
        package=package,
        env=tuple((variable.name, variable.value) for variable in task.env),
        resources=resources,
        shares=tuple(_shares(pool)),
    )


def _shares(pool: Any) -> Iterator[Share]:
    """Where the original mounts them: NfsMount in machine_resources.proto, and LustreMount beside it."""
    for mount in pool.nfs_mounts:
        yield Share(f"{mount.server}:{mount.path}", f"/mnt/nfs/{mount.mount_point}")
    for mount in pool.lustre_mounts:
        yield Share(f"{mount.instance_ip}@tcp:/{mount.filesystem}", f"/mnt/lustre/{mount.mount_point}")
