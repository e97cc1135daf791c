"""What a worker pool may say: every rule that can be checked without a cloud, each reported under its own path.

Sources: the proto comments of WorkerPoolSpec and its parts; Vertex AI "Configure compute resources",
"Create a custom job", "Use Spot VMs", "Use reservations".
"""

from __future__ import annotations

from typing import Any

from trainyard.kinds import forms
from trainyard.kinds.faults import Faults, shortened
from trainyard.kinds.machines import Machine, Machines

MOST_ENV = 100
MOST_PACKAGES = 100
BOOT_DISK_TYPES = ("pd-ssd", "pd-standard", "hyperdisk-balanced")
SMALLEST_BOOT_DISK_GB, LARGEST_BOOT_DISK_GB = 100, 64_000
RESERVATION_KEY = "compute.googleapis.com/reservation-name"
_TOGETHER = "Both accelerator_type and accelerator_count should be specified or none."


def is_skipped(pool: Any) -> bool:
    """Whether the pool is `{}`: its position is left out."""
    return not pool.ByteSize()


def check_pool(pool: Any, faults: Faults, machines: Machines) -> None:
    """Every rule of one WorkerPoolSpec that is not skipped."""
    check_machine(pool.machine_spec, faults.under("machine_spec"), machines)
    task = pool.WhichOneof("task")
    if task is None:
        faults.add("task", "Exactly one of container_spec and python_package_spec must be set.")
    elif task == "container_spec":
        _check_container(pool.container_spec, faults.under("container_spec"))
    else:
        _check_package(pool.python_package_spec, faults.under("python_package_spec"))
    if pool.HasField("disk_spec"):
        check_disk(pool.disk_spec, faults.under("disk_spec"))
    if pool.nfs_mounts or pool.lustre_mounts:
        _check_mounts(pool, faults)


def check_machine(machine_spec: Any, faults: Faults, machines: Machines) -> None:
    """Every rule of a MachineSpec."""
    name = machine_spec.machine_type
    machine = machines.find(name)
    if faults.required("machine_type", name) and machine is None and not machines.allow_any:
        faults.add("machine_type", f"Machine type {shortened(name)} is not supported.")
    if any(field.name != "machine_type" for field, _ in machine_spec.ListFields()):
        _check_extras(machine_spec, machine, faults, machines)


def _check_extras(machine_spec: Any, machine: Machine | None, faults: Faults, machines: Machines) -> None:
    """What a MachineSpec says beside its machine type; most say nothing."""
    _check_accelerator(machine_spec, machine, faults)
    if machine_spec.tpu_topology and machine is not None and not machine.is_tpu:
        faults.add("tpu_topology", f"Machine type {machine.name} has no TPUs.")
    faults.matches("tpu_topology", machine_spec.tpu_topology, *forms.TPU_TOPOLOGY)
    faults.matches("gpu_partition_size", machine_spec.gpu_partition_size, *forms.GPU_PARTITION)
    faults.matches("min_gpu_driver_version", machine_spec.min_gpu_driver_version, *forms.DRIVER_VERSION)
    if machine_spec.multihost_gpu_node_count < 0:
        faults.add("multihost_gpu_node_count", "The number of nodes must not be negative.")
    if machine_spec.HasField("reservation_affinity"):
        _check_reservation(machine_spec, faults.under("reservation_affinity"), machines)


def check_enum(message: Any, name: str, faults: Faults) -> None:
    """A fault where an enum field holds a number that means nothing; the wire lets any number through."""
    number = getattr(message, name)
    if not number:
        return
    enum = message.DESCRIPTOR.fields_by_name[name].enum_type
    if number not in enum.values_by_number:
        faults.add(name, f"{number} is not a value of {enum.name}.")


def accelerator_name(machine_spec: Any) -> str:
    """The enum name of the accelerator, empty where none (or none that we know) is asked for."""
    if not machine_spec.accelerator_type:
        return ""
    field = machine_spec.DESCRIPTOR.fields_by_name["accelerator_type"]
    value = field.enum_type.values_by_number.get(machine_spec.accelerator_type)
    return "" if value is None else value.name


def _check_accelerator(machine_spec: Any, machine: Machine | None, faults: Faults) -> None:
    count = machine_spec.accelerator_count
    check_enum(machine_spec, "accelerator_type", faults)
    if count < 0:
        faults.add("accelerator_count", "The number of accelerators must not be negative.")
    if bool(machine_spec.accelerator_type) != bool(count):
        faults.add("accelerator_type", _TOGETHER)
        return
    accelerator = accelerator_name(machine_spec)
    if not accelerator or machine is None or count < 0:
        return
    counts = machine.fits.get(accelerator)
    if counts is None:
        faults.add(
            "accelerator_type",
            f'Accelerator "{accelerator}" is not supported for machine type "{machine.name}".',
        )
    elif count not in counts:
        listed = ", ".join(map(str, counts))
        faults.add(
            "accelerator_count",
            f'{count} of accelerator "{accelerator}" are not supported for machine type "{machine.name}"; '
            f"supported: {listed}.",
        )


def gpus_of(machine_spec: Any, machines: Machines) -> int:
    """How many GPUs a replica on such a machine has: those asked for, else those built in."""
    machine = machines.find(machine_spec.machine_type)
    accelerator, count = accelerator_name(machine_spec), machine_spec.accelerator_count
    if not accelerator and machine is not None:
        accelerator, count = machine.accelerator, machine.count
    return count if accelerator.startswith("NVIDIA_") else 0


def reservation_name(machine_spec: Any, machines: Machines) -> str:
    """The reservation that replicas on such a machine are to be of: the first of those named that is here.

    Empty where none is named, or the server has none at all.
    """
    named = [value.rpartition("/")[2] for value in machine_spec.reservation_affinity.values]
    here = [machines.reservations[name] for name in named if name in machines.reservations]
    gpus = gpus_of(machine_spec, machines)
    suiting = (each for each in here if each.suits(machine_spec.machine_type, gpus))
    return next((each.name for each in (*suiting, *here)), "")


def any_of(machine_spec: Any, machines: Machines) -> tuple[str, ...]:
    """ANY_RESERVATION: all that suit, first those of its machine type or GPUs, which fewer others may take."""
    affinity = machine_spec.reservation_affinity
    if affinity.reservation_affinity_type != _affinity(affinity, "ANY_RESERVATION"):
        return ()
    gpus = gpus_of(machine_spec, machines)
    suiting = [each for each in machines.reservations.values() if each.suits(machine_spec.machine_type, gpus)]
    suiting.sort(key=lambda each: (not each.machine, not each.places.each.gpus, each.name))
    return tuple(each.name for each in suiting)


def _affinity(affinity: Any, name: str) -> int:
    enum = affinity.DESCRIPTOR.fields_by_name["reservation_affinity_type"].enum_type
    return int(enum.values_by_name[name].number)


def _check_reservation(machine_spec: Any, faults: Faults, machines: Machines) -> None:
    affinity = machine_spec.reservation_affinity
    check_enum(affinity, "reservation_affinity_type", faults)
    kind, key, values = affinity.reservation_affinity_type, affinity.key, affinity.values
    if not faults.required("reservation_affinity_type", kind):
        return
    if kind != _affinity(affinity, "SPECIFIC_RESERVATION"):
        if key or values:
            faults.add("key", "A key and values may be given with SPECIFIC_RESERVATION only.")
        return
    if faults.required("key", key) and key != RESERVATION_KEY:
        faults.add("key", f"The key of a specific reservation is {RESERVATION_KEY}.")
    faults.required("values", values)
    for index, value in enumerate(values):
        if faults.required(f"values[{index}]", value):
            faults.matches(f"values[{index}]", value, *forms.RESERVATION)
    here = machines.reservations
    if values and here and not any(value.rpartition("/")[2] in here for value in values):
        faults.add("values", f"The reservation does not exist; this server has {', '.join(here)}.")
    chosen = here.get(reservation_name(machine_spec, machines))
    asked, gpus = machine_spec.machine_type, gpus_of(machine_spec, machines)
    if chosen is not None and not chosen.suits(asked, gpus):
        faults.add(
            "values",
            f"The reservation {chosen.name} is of {chosen}; the replicas ask for {asked} with {gpus or 'no'} "
            f"GPU{'' if gpus == 1 else 's'}, and both must match.",
        )


def _check_container(container: Any, faults: Faults) -> None:
    faults.required("image_uri", container.image_uri.strip())
    _check_env(container.env, faults)


def _check_package(package: Any, faults: Faults) -> None:
    faults.required("executor_image_uri", package.executor_image_uri.strip())
    if faults.required("python_module", package.python_module):
        faults.matches("python_module", package.python_module, *forms.MODULE)
    faults.required("package_uris", package.package_uris)
    faults.at_most("package_uris", package.package_uris, MOST_PACKAGES)
    for index, uri in enumerate(package.package_uris):
        if faults.required(f"package_uris[{index}]", uri):
            faults.matches(f"package_uris[{index}]", uri, *forms.GCS_OBJECT)
    _check_env(package.env, faults)


def _check_env(env: Any, faults: Faults) -> None:
    faults.at_most("env", env, MOST_ENV)
    seen: set[str] = set()
    for index, variable in enumerate(env):
        name = variable.name
        if not forms.C_IDENTIFIER.pattern.fullmatch(name) and faults.required(f"env[{index}].name", name):
            faults.matches(f"env[{index}].name", name, *forms.C_IDENTIFIER)
        if name in seen:
            faults.add(f"env[{index}].name", f"EnvVar names must be unique; {shortened(name)} stands there twice.")
        seen.add(name)


def check_disk(disk: Any, faults: Faults) -> None:
    """Every rule of a DiskSpec."""
    if disk.boot_disk_type and disk.boot_disk_type not in BOOT_DISK_TYPES:
        listed = ", ".join(BOOT_DISK_TYPES)
        given = shortened(disk.boot_disk_type)
        faults.add("boot_disk_type", f"{given!r} is not a boot disk type; supported: {listed}.")
    size = disk.boot_disk_size_gb
    if size and not SMALLEST_BOOT_DISK_GB <= size <= LARGEST_BOOT_DISK_GB:
        faults.add(
            "boot_disk_size_gb",
            f"{size} is out of range; a boot disk has {SMALLEST_BOOT_DISK_GB} to {LARGEST_BOOT_DISK_GB} GB.",
        )


def _check_mounts(pool: Any, faults: Faults) -> None:
    for index, mount in enumerate(pool.nfs_mounts):
        place = faults.under(f"nfs_mounts[{index}]")
        place.required("server", mount.server)
        if place.required("path", mount.path):
            place.matches("path", mount.path, *forms.ABSOLUTE_PATH)
        if place.required("mount_point", mount.mount_point):
            place.matches("mount_point", mount.mount_point, *forms.MOUNT_POINT)
    for index, mount in enumerate(pool.lustre_mounts):
        place = faults.under(f"lustre_mounts[{index}]")
        for part in ("instance_ip", "volume_handle", "filesystem"):
            place.required(part, getattr(mount, part))
        if place.required("mount_point", mount.mount_point):
            place.matches("mount_point", mount.mount_point, *forms.MOUNT_POINT)
