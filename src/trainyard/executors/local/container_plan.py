"""From a run group to each replica's container: same input, same answer. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from trainyard.agent.container import directory_of
from trainyard.agent.records import MARKER_VARIABLE, RUNS_VARIABLE, control_path, marker
from trainyard.core.dashboards import PORT_VARIABLE
from trainyard.core.environment import host_name, resolve
from trainyard.core.log_files import replica_directory
from trainyard.core.runs import ReplicaSpec, RunGroup
from trainyard.executors.local.engine import Container, ContainerEngine, Image, Network, Talents
from trainyard.executors.local.plan import (
    METRIC_FILE,
    METRIC_FILE_VARIABLE,
    Allotment,
    Contained,
    Places,
    ReplicaPlan,
    attempt_of,
    dashboard_ports,
    notes_on_buckets,
    notes_on_dashboard,
    output_directory,
)

_MOST_PIDS: Final = 32768
_REPORTS: Final = "/tmp/hypertune"  # noqa: S108 - inside of a container, and cloudml-hypertune's own default
_INSTALL_AND_RUN: Final = """\
count=$1
shift
while [ "$count" -gt 0 ]; do
  python3 -m pip install --user --upgrade --force-reinstall --no-deps "$1" >&2 || exit
  python3 -m pip install --user "$1" >&2 || exit
  shift
  count=$((count - 1))
done
exec python3 -m "$@"
"""  # as the original does it: "Create a Python training application", and what its logs show


@dataclass(frozen=True, slots=True)
class Bounds:
    """What this machine has and can do; what is asked for beyond it is no limit. Every replica gets the `mounts`."""

    places: Places
    talents: Talents
    cpus: int
    memory_bytes: int
    mounts: tuple[tuple[str, str, bool], ...] = ()
    relay: Mapping[str, str] = field(default_factory=dict)  # in variables: address of the service, as a bridge has it
    packages: tuple[str, ...] = ()  # files inside, to be installed in this order


def contained(group: RunGroup, images: Mapping[str, str], engine: str, network: Network | None) -> Contained:
    """How the group's replicas meet: in `network`, or in this machine's."""
    if network is None:
        return Contained(engine, "host", {}, dict(images))
    hosts = {}
    for number, spec in enumerate(group.replicas):
        address = str(ipaddress.ip_address(network.first + number)) if network.own else ""
        hosts[spec.name] = (host_name(group.job_id, spec), address)
    name = network.name if network.own else "bridge"
    return Contained(engine, name, hosts, dict(images), network.gateway, network.first, network.size)


def plan_container(
    group: RunGroup,
    spec: ReplicaSpec,
    allotment: Allotment,
    engine: ContainerEngine,
    bounds: Bounds,
) -> ReplicaPlan:
    """The start of one replica in its container."""
    places, talents = bounds.places, bounds.talents
    assert allotment.contained is not None
    control = control_path(str(places.runs), group.run_id, spec.name, spec.incarnation)
    attempt = attempt_of(group.run_id)[1]
    entrypoint, args, env, notes = _program(group, spec, allotment, bounds)
    container = replace(
        _container(group, spec, allotment, bounds),
        directory=directory_of(control),
        entrypoint=entrypoint,
        args=args,
        env=env,
        init=talents.has_init,
    )
    if not talents.why_no_limits:
        container = _limited(container, spec, bounds)
    start = engine.start(container)
    notes = (*notes_on_dashboard(group, dashboard_ports(group.dashboard, spec.name, allotment)), *notes)
    tells = {"image": spec.image_uri, "program": (entrypoint or args or ("",))[0], "engine": engine.name}
    if spec.package:
        tells["program"] = "python3"
    return ReplicaPlan(
        run_id=group.run_id,
        replica=spec.name,
        incarnation=spec.incarnation,
        argv=start.argv,
        env=start.env,
        work=places.runs / control.removeprefix(f"{places.runs}/"),
        logs=replica_directory(places.logs, group.job_id, attempt, spec.name, spec.incarnation),
        notes=(*group.remarks.get(engine.name, ()), *notes),
        engine={**start.engine, "tells": tells},
        report=f"{control}/{METRIC_FILE}" if group.takes_report else "",
        output=output_directory(group, places),
        shells=group.opens_shells,
        is_sealed=group.is_sealed,
    )


def container_name(run_id: str, replica: str, incarnation: int) -> str:
    """One name for one incarnation: an engine refuses a second container of it (law 5)."""
    return f"trainyard-{run_id}-{replica}-{incarnation}"


def notes_on_container(spec: ReplicaSpec, talents: Talents, where: Contained, gpus: int) -> tuple[str, ...]:
    """What people should know of one replica's place."""
    notes = [f"{spec.name} runs in its image {spec.image_uri} by {where.engine} {talents.version}."]
    if talents.why_no_limits:
        notes.append(f"{spec.name} has no limits of CPU, memory and processes: {talents.why_no_limits}.")
    if not talents.has_init:
        notes.append(
            f"{spec.name} has no init process, as catatonit is not installed: a program without a handler for SIGTERM "
            "is ended by SIGKILL after the grace."
        )
    if where.network == "host":
        why = talents.why_no_network or "not every replica runs in a container, or the settings say so"
        notes.append(f"The replicas share this machine's network, each with a port of its own instead of 2222: {why}.")
    missing = spec.resources.gpus - gpus
    if missing > 0:
        notes.append(f"{spec.name} asks for {spec.resources.gpus} GPU(s); this machine has none, so it runs without.")
    return tuple(notes)


def notes_on_files(
    group: RunGroup, spec: ReplicaSpec, engine: str, image: Image | None, places: Places
) -> tuple[str, ...]:
    """Where there is no /gcs, and that an image's own user may not write everywhere at it, if the engine can't help."""
    user = (image.user if image else "").partition(":")[0]
    if places.elsewhere or engine == "podman" or user in ("", "0", "root"):
        return notes_on_buckets(group, spec, places, "")
    return (f"{spec.name} runs as its image's user {user}, who can write at /gcs only where the files there let it.",)


def notes_on_limits(spec: ReplicaSpec, bounds: Bounds) -> tuple[str, ...]:
    """That a machine type with more than this machine has is no limit."""
    asked, gib = spec.resources, 1 << 30
    more = []
    if asked.cpus > bounds.cpus:
        more.append((f"{bounds.cpus} CPUs", f"{asked.cpus:g}"))
    if asked.memory_bytes > bounds.memory_bytes:
        more.append((f"{bounds.memory_bytes / gib:.0f} GiB of memory", f"{asked.memory_bytes / gib:.0f} GiB"))
    if not more or bounds.talents.why_no_limits:
        return ()
    has, asks = (" and ".join(words) for words in zip(*more, strict=True))
    return (f"{spec.name} may use all of this machine's {has}: its machine type has {asks}.",)


def _container(group: RunGroup, spec: ReplicaSpec, allotment: Allotment, bounds: Bounds) -> Container:
    where = allotment.contained
    assert where is not None
    ports = dashboard_ports(group.dashboard, spec.name, allotment) if where.network != "host" else None
    hostname, address = where.hosts.get(spec.name, (host_name(group.job_id, spec), ""))
    return Container(
        name=container_name(group.run_id, spec.name, spec.incarnation),
        run_id=group.run_id,
        runs=str(bounds.places.runs),
        directory="",
        image=where.images[spec.name],
        entrypoint=None,
        args=(),
        env={},
        hostname=hostname,
        network=where.network,
        address=address,
        hosts={name: ip for other, (name, ip) in where.hosts.items() if ip and other != spec.name},
        mounts=(*_buckets(bounds.places), *_report(group, spec, bounds.places), *bounds.mounts),
        ports={ports.outside: ports.inside} if ports else {},
        devices=tuple(f"nvidia.com/gpu={gpu}" for gpu in allotment.gpus.get(spec.name, ())),
        shm_bytes=min(spec.resources.memory_bytes or bounds.memory_bytes, bounds.memory_bytes) // 2,
    )


def _report(group: RunGroup, spec: ReplicaSpec, places: Places) -> tuple[tuple[str, str, bool], ...]:
    """Where cloudml-hypertune writes by itself; the agent makes the directory and reads the file in it."""
    control = control_path(str(places.runs), group.run_id, spec.name, spec.incarnation)
    return ((control, _REPORTS, False),) if group.takes_report else ()


def _buckets(places: Places) -> tuple[tuple[str, str, bool], ...]:
    return () if places.elsewhere else ((str(places.buckets), "/gcs", False),)


def _program(
    group: RunGroup, spec: ReplicaSpec, allotment: Allotment, bounds: Bounds
) -> tuple[tuple[str, ...] | None, tuple[str, ...], Mapping[str, str], tuple[str, ...]]:
    """Entry point (None: the image's), arguments, environment and notes."""
    devices = ",".join(str(number) for number in range(len(allotment.gpus.get(spec.name, ()))))
    ours = {
        "CUDA_VISIBLE_DEVICES": devices,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **({} if bounds.places.elsewhere else {"TRAINYARD_GCS_ROOT": "/gcs"}),
        **({METRIC_FILE_VARIABLE: f"{_REPORTS}/{METRIC_FILE}"} if group.takes_report else {}),
        **(
            {PORT_VARIABLE: str(ports.inside)}
            if (ports := dashboard_ports(group.dashboard, spec.name, allotment))
            else {}
        ),
        RUNS_VARIABLE: str(bounds.places.runs),
        MARKER_VARIABLE: marker(group.run_id, spec.name, spec.incarnation),
    }
    extra = {name: _relayed(value, bounds.relay) for name, value in group.extra_env.items()}
    program = resolve(replace(group, extra_env={**extra, **ours}), spec, allotment.addresses(), {})
    env = {"PYTHONUNBUFFERED": "1", **program.env}
    if spec.package is None:
        return program.command or None, program.args, env, program.notes
    words = (str(len(bounds.packages)), *bounds.packages, spec.package.module, *program.args)
    env = {"PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **env}
    return ("sh", "-c", _INSTALL_AND_RUN, "trainyard"), words, env, program.notes


def _relayed(value: str, relay: Mapping[str, str]) -> str:
    for here, there in relay.items():
        value = value.replace(here, there)
    return value


def _limited(container: Container, spec: ReplicaSpec, bounds: Bounds) -> Container:
    asked = spec.resources
    return replace(
        container,
        memory_bytes=asked.memory_bytes if asked.memory_bytes < bounds.memory_bytes else 0,
        cpus=asked.cpus if asked.cpus < bounds.cpus else 0.0,
        pids=_MOST_PIDS,
    )
