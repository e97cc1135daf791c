"""Persistent resources: machines that are kept for the jobs that name them, and which of them a job's replicas take.

Sources: the proto comment of CustomJobSpec.persistent_resource_id; Vertex AI "Run training jobs on a persistent
resource": the same machine and disk as in one of its pools, no more replicas than it has, the same network and key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainyard.core.errors import NotFound
from trainyard.core.runs import Places
from trainyard.kinds.pool_rules import accelerator_name, is_skipped

if TYPE_CHECKING:
    from trainyard.kinds.faults import Faults
    from trainyard.kinds.machines import Machines

_DISK_TYPE, _DISK_GB = "pd-ssd", 100  # DiskSpec, proto comments: what stands for a value that is not given


@dataclass(frozen=True, slots=True)
class ResourcePool:
    """Equal machines of a persistent resource. `machine` and `disk` are as `machine_of` and `disk_of` say them."""

    machine: str
    disk: str
    places: Places
    machine_spec: Any
    disk_spec: Any


@dataclass(frozen=True, slots=True)
class PersistentResource:
    """What is kept: the machines, and the image or the environment that is made ready beforehand."""

    name: str
    pools: tuple[ResourcePool, ...]
    display_name: str = ""
    network: str = ""
    image_uri: str = ""
    package_uris: tuple[str, ...] = ()


def machine_of(machine_spec: Any, machines: Machines) -> str:
    """`n1-standard-4`, `n1-standard-8 with 1 NVIDIA_TESLA_T4`: equal for equal machines, however they are asked for."""
    machine = machines.find(machine_spec.machine_type)
    accelerator, count = accelerator_name(machine_spec), machine_spec.accelerator_count
    if not accelerator and machine is not None:
        accelerator, count = machine.accelerator, machine.count
    with_it = f" with {count} {accelerator}" if accelerator else ""
    topology = f" of {machine_spec.tpu_topology}" if machine_spec.tpu_topology else ""
    return f"{machine_spec.machine_type}{with_it}{topology}"


def disk_of(disk_spec: Any) -> str:
    """`pd-ssd of 100 GB`."""
    return f"{disk_spec.boot_disk_type or _DISK_TYPE} of {disk_spec.boot_disk_size_gb or _DISK_GB} GB"


def share_of(name: str, pool: Any, machines: Machines) -> str:
    """The share of which the replicas of a worker pool (or of a ResourcePool) are, told by what is asked for alone.

    So it is the same whether or not there is such a resource: a job whose resource is gone takes nobody else's place.
    """
    disk = disk_of(pool.disk_spec)
    usual = disk == f"{_DISK_TYPE} of {_DISK_GB} GB"
    return f"{name}/{machine_of(pool.machine_spec, machines)}{'' if usual else f', {disk}'}"


def check(spec: Any, strategy: str, faults: Faults, machines: Machines) -> None:
    """The rules of a CustomJobSpec that names a persistent resource; one that does not exist is no fault of these."""
    name = spec.persistent_resource_id
    if name and strategy in ("SPOT", "LOW_COST"):
        faults.add("scheduling.strategy", f"A persistent resource cannot be used with the strategy {strategy}.")
    resource = machines.persistent.get(name)
    if resource is None:
        return
    if spec.network != resource.network:
        its = f"is in {resource.network}" if resource.network else "has no network; leave the field out"
        faults.add("network", f"The persistent resource {name} {its}.")
    wanted: Counter[str] = Counter()
    for index, pool in enumerate(spec.worker_pool_specs):
        if is_skipped(pool):
            continue
        place = faults.under(f"worker_pool_specs[{index}]")
        found = _pool_for(resource, pool, place, machines)
        if found is not None:
            wanted[found.places.share] += max(pool.replica_count, 1)
            if wanted[found.places.share] > found.places.replicas:
                place.add(
                    "replica_count",
                    f"The persistent resource {name} has {found.places.replicas} replicas on {found.machine}; "
                    f"{wanted[found.places.share]} are asked for.",
                )


def _pool_for(resource: PersistentResource, pool: Any, place: Faults, machines: Machines) -> ResourcePool | None:
    if pool.machine_spec.HasField("reservation_affinity"):
        place.add(
            "machine_spec.reservation_affinity",
            f"The replicas run on the persistent resource {resource.name}; a reservation cannot be used beside it.",
        )
        return None
    machine, disk = machine_of(pool.machine_spec, machines), disk_of(pool.disk_spec)
    alike = [each for each in resource.pools if each.machine == machine]
    found = next((each for each in alike if each.disk == disk), None)
    if not alike:
        has = ", ".join(dict.fromkeys(each.machine for each in resource.pools))
        place.add("machine_spec", f"The persistent resource {resource.name} has no {machine}; it has {has}.")
    elif found is None:
        has = ", ".join(each.disk for each in alike)
        place.add("disk_spec", f"The persistent resource {resource.name} has {machine} with {has}, not with {disk}.")
    return found


def check_key(message: Any, faults: Faults, machines: Machines) -> None:
    """The same key as the persistent resource's: none, as none here has one."""
    if not message.encryption_spec.kms_key_name:
        return
    names = [name for name in names_in(message) if name in machines.persistent]
    if names:
        faults.add(
            "encryption_spec.kms_key_name",
            f"The persistent resource {names[0]} has no key, and a job must have the same; leave encryption_spec out.",
        )


def check_exists(message: Any, machines: Machines) -> None:
    """Raises NotFound where a job names a persistent resource that there is not."""
    for name in names_in(message):
        if name not in machines.persistent:
            here = f"This server has {', '.join(machines.persistent)}; " if machines.persistent else ""
            raise NotFound(
                f"The PersistentResource does not exist. {here}`trainyard pools create {name}` makes it; or leave "
                "persistentResourceId out, and the job runs on what is not kept."
            )


def names_in(message: Any) -> Iterator[str]:
    """The persistent resources that a CustomJob, a NasJob or a CustomJobSpec names."""
    fields = message.DESCRIPTOR.fields_by_name
    if "persistent_resource_id" in fields:
        yield from filter(None, (message.persistent_resource_id,))
    elif "job_spec" in fields:
        yield from names_in(message.job_spec)
    else:
        algorithm = message.nas_job_spec.multi_trial_algorithm_spec
        yield from names_in(algorithm.search_trial_spec.search_trial_job_spec)
        yield from names_in(algorithm.train_trial_spec.train_trial_job_spec)
