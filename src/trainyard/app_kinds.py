"""How the settings become kinds of jobs and the persistent resources that these may name: the root's part for both."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from trainyard import kinds, searchers
from trainyard.audit import AuditLog
from trainyard.core.dashboards import USUAL_PLACE
from trainyard.core.errors import InvalidArgument, Unavailable
from trainyard.core.runs import Places, Resources
from trainyard.executor import Executor, Warms
from trainyard.kind import Kind
from trainyard.kinds.machines import Machines, Reservation
from trainyard.kinds.persistent import PersistentResource
from trainyard.kinds.persistent_json import read
from trainyard.kinds.running.simulated import Preemptions
from trainyard.searcher import Open
from trainyard.service.access import Access
from trainyard.service.persistent import Grounds, PersistentResources
from trainyard.service.persistent_file import ResourceFile
from trainyard.setting_checks import Reserved, reserved
from trainyard.settings import Settings


def known_machines(settings: Settings) -> Machines:
    """The machine types that jobs may name, and the reservations. Raises Unavailable."""
    plain = Machines.known(allow_any=settings.machine_types == "any")
    reservations = [_reservation(each, plain) for each in reserved(settings.reservations)]
    return Machines.known(allow_any=plain.allow_any, reservations=reservations)


def _reservation(share: Reserved, machines: Machines) -> Reservation:
    machine = machines.find(share.machine)
    if share.machine and machine is None and not machines.allow_any:
        raise Unavailable(
            f"The setting reservations names the machine type {share.machine} for {share.name}, which is not known. "
            "Name one of the original's, or set machine_types to any."
        )
    built_in = machine.count if machine is not None and machine.accelerator.startswith("NVIDIA_") else 0
    each = Resources(
        float(machine.cpus) if machine else 0.0,
        machine.memory_bytes if machine else 0,
        built_in if share.gpus is None else share.gpus,
    )
    return Reservation(Places(share.name, share.replicas, each), share.machine)


def known_kinds(
    settings: Settings, machines: Machines, shells_at: str, dashboards_at: str = USUAL_PLACE
) -> Mapping[str, Kind]:
    """Every kind, by its collection; below the two addresses jobs have their shells, and their dashboards."""
    modules = {collection: import_module(module) for collection, module in kinds.BUILT_IN.items()}
    preemptions, contained = Preemptions.parse(settings.simulate_preemption), settings.runtime != "host"
    return {
        "customJobs": modules["customJobs"].CustomJobKind(
            machines,
            settings.grace,
            contained=contained,
            preemptions=preemptions,
            shells_at=shells_at,
            dashboards_at=dashboards_at,
        ),
        "nasJobs": modules["nasJobs"].NasJobKind(_open_searcher, machines, settings.nas_searcher, contained=contained),
        "nasTrials": modules["nasTrials"].NasTrialKind(
            machines, settings.grace, preemptions=preemptions, dashboards_at=dashboards_at
        ),
    }


def _open_searcher(name: str) -> Open:
    opened: Open = import_module(searchers.BUILT_IN[name]).open_searcher
    return opened


def opened(grounds: Grounds, settings: Settings, access: Access, audit: AuditLog | None) -> PersistentResources:
    """The persistent resources, kept from now on. Raises Unavailable on a file of theirs, ResourceExhausted."""
    resources = PersistentResources(grounds, ResourceFile(settings.data_dir), access)
    resources.audit = audit
    resources.open(declared(settings.persistent_resources, grounds.machines))
    return resources


def warming(executor: Executor) -> Callable[[str, Sequence[str]], Awaitable[str]] | None:
    """What makes images ready, where the executor does."""
    return executor.warm if isinstance(executor, Warms) else None


def declared(path: str, machines: Machines) -> tuple[PersistentResource, ...]:
    """Those of the JSON file that the setting names, a list of what the route takes. Raises Unavailable."""
    if not path:
        return ()
    where = f"The setting persistent_resources names {path}"
    try:
        bodies = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Unavailable(f"{where}, which cannot be read as JSON: {error}.") from None
    if not isinstance(bodies, list):
        raise Unavailable(f"{where}, which is no list: write [{{…}}, …], each as docs/running.md shows it.")
    try:
        found = tuple(read(body, machines) for body in bodies)
    except InvalidArgument as error:
        raise Unavailable(f"{where}: {error.message}") from None
    if len({each.name for each in found}) < len(found):
        raise Unavailable(f"{where}, in which a name stands twice.")
    return found
