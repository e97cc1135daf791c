"""From a run group to the exact command, environment and directories of each replica: same input, same answer. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainyard.agent.records import MARKER_VARIABLE, RUNS_VARIABLE, control_path, marker
from trainyard.core.dashboards import PORT_VARIABLE, Dashboard, Ports
from trainyard.core.environment import resolve
from trainyard.core.errors import InvalidArgument
from trainyard.core.log_files import STREAMS, replica_directory
from trainyard.core.object_paths import check_bucket, object_path
from trainyard.core.runs import ReplicaSpec, RunGroup

HOST = "127.0.0.1"
METRIC_FILE_VARIABLE = "CLOUD_ML_HP_METRIC_FILE"  # what cloudml-hypertune reads
METRIC_FILE = "output.metrics"  # in the working directory; the name is cloudml-hypertune's own
CONTAINER_PORT = 2222  # of every replica on the original
NO_COMMAND = (
    "No command is known: the entry point of an image can't be read without a container engine. "
    "Set containerSpec.command to what shall run."
)
THIS_MACHINE = "host"  # in place of an image: no engine is asked for one of that name
# What a program needs of this machine. Everything else of the server's environment, its secrets first, stays its own.
_HANDED_ON = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
    }
)
_HANDED_ON_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "NCCL_", "OMP_", "MKL_", "PYENV_")


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie on this machine. All absolute. `elsewhere`: buckets are in an object store, and not here."""

    runs: Path
    logs: Path
    buckets: Path
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Contained:
    """Where the replicas of a group that run in containers are, by replica name; the others run on the host.

    `network` is "host", "bridge" or the name of their own; where it is not "host", every replica listens on port 2222
    under the host name in `hosts`, whose second part is its address (empty: the engine gives one). `images` are the
    engine's ids. The last three are the network's, as in engine.Network.
    """

    engine: str
    network: str
    hosts: Mapping[str, tuple[str, str]]
    images: Mapping[str, str]
    gateway: str = ""
    first: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a run group holds of this machine while it lasts, by replica name."""

    ports: Mapping[str, int]
    gpus: Mapping[str, tuple[str, ...]]
    contained: Contained | None = None

    def addresses(self) -> dict[str, str]:
        """`host:port` of every replica, which the others reach."""
        if self.contained and self.contained.hosts:
            return {name: f"{host}:{CONTAINER_PORT}" for name, (host, _) in self.contained.hosts.items()}
        return {name: f"{HOST}:{port}" for name, port in self.ports.items()}


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """What is started for one incarnation. `refused` set: why it can't be, and nothing else counts.

    `engine` set: `argv` starts a container, and this is what agent/container.py needs to know of it.
    """

    run_id: str
    replica: str
    incarnation: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    work: Path
    logs: Path
    notes: tuple[str, ...] = ()
    refused: str = ""
    report: str = ""  # the metric file; what is in it at the end becomes part of the exit record
    output: str = ""  # a directory that is to be there before it starts
    engine: Mapping[str, Any] | None = None
    shells: bool = False  # whether its agents open shells for people
    is_sealed: bool = False  # whether its agents leave out of their records what it prints

    def __str__(self) -> str:
        """As a shell would be told to do it."""
        lines = [f"# {marker(self.run_id, self.replica, self.incarnation)}"]
        lines += [f"# {note}" for note in self.notes]
        if self.refused:
            return "\n".join([*lines, f"# not started: {self.refused}"]) + "\n"
        lines += [f"cd {shlex.quote(str(self.work))}", "env -i \\"]
        lines += [f"  {name}={shlex.quote(value)} \\" for name, value in sorted(self.env.items())]
        out, err = (shlex.quote(str(self.logs / stream)) for stream in STREAMS)
        lines.append(f"  {shlex.join(self.argv)} >{out} 2>{err}")
        return "\n".join(lines) + "\n"


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of the server's environment that programs get, under all else that is set."""
    kept = {
        name: value for name, value in environment.items() if name in _HANDED_ON or name.startswith(_HANDED_ON_PREFIXES)
    }
    return {"PYTHONUNBUFFERED": "1", **kept}


def attempt_of(run_id: str) -> tuple[int, int]:
    """Job id and attempt of a run id `{job id}-{attempt}`; raises ValueError on anything else."""
    job, _, attempt = run_id.rpartition("-")
    return int(job), int(attempt)


def plan(
    group: RunGroup,
    spec: ReplicaSpec,
    allotment: Allotment,
    base: Mapping[str, str],
    places: Places,
) -> ReplicaPlan:
    """The start of one replica; `base` is its machine's (or its prepared environment's) part of the environment."""
    name = marker(group.run_id, spec.name, spec.incarnation)
    devices = ",".join(allotment.gpus.get(spec.name, ()))
    ours = {
        "CUDA_VISIBLE_DEVICES": devices,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **({} if places.elsewhere else {"TRAINYARD_GCS_ROOT": str(places.buckets)}),
        RUNS_VARIABLE: str(places.runs),
        MARKER_VARIABLE: name,
    }
    control = control_path(str(places.runs), group.run_id, spec.name, spec.incarnation)
    report = f"{control}/{METRIC_FILE}" if group.takes_report else ""
    ours.update({METRIC_FILE_VARIABLE: report} if report else {})
    ports = dashboard_ports(group.dashboard, spec.name, allotment)
    ours.update({PORT_VARIABLE: str(ports.inside)} if ports else {})
    program = resolve(replace(group, extra_env={**group.extra_env, **ours}), spec, allotment.addresses(), base)
    attempt = attempt_of(group.run_id)[1]
    return ReplicaPlan(
        run_id=group.run_id,
        replica=spec.name,
        incarnation=spec.incarnation,
        argv=program.argv,
        env=program.env,
        work=Path(control),
        logs=replica_directory(places.logs, group.job_id, attempt, spec.name, spec.incarnation),
        notes=(*group.remarks.get("host", ()), *notes_on_dashboard(group, ports), *program.notes),
        refused="" if program.command else NO_COMMAND,
        report=report,
        output=output_directory(group, places),
        shells=group.opens_shells,
        is_sealed=group.is_sealed,
    )


def dashboard_ports(asked: Dashboard | None, replica: str, allotment: Allotment) -> Ports | None:
    """Those of the replica that has it; None for any other, and for runs that began before there were dashboards."""
    if asked is None or asked.replica != replica or asked.key not in allotment.ports:
        return None
    where, own = allotment.contained, allotment.ports[asked.key]
    if where is not None and where.network != "host" and replica in where.images:
        return Ports(asked.port, own)
    return Ports(asked.port, asked.port) if asked.chosen else Ports(own, own)


def notes_on_dashboard(group: RunGroup, ports: Ports | None) -> tuple[str, ...]:
    """Where people find it."""
    if ports is None or group.dashboard is None:
        return ()
    return (
        f"The dashboard that {group.dashboard.replica} serves on port {ports.inside} ({PORT_VARIABLE}) is at "
        f"{group.dashboard.uri}",
    )


def output_directory(group: RunGroup, places: Places) -> str:
    """Where the directory of base_output_uri lies on this machine, if the group asks for it; else empty."""
    bucket, _, name = group.base_output_uri.removeprefix("gs://").strip("/").partition("/")
    if not group.makes_output or places.elsewhere or not bucket or not name:
        return ""
    try:
        return str(places.buckets.joinpath(check_bucket(bucket), *object_path(name)))
    except InvalidArgument:  # no object can lie there, so there is nothing to make
        return ""


def names_buckets(group: RunGroup, spec: ReplicaSpec) -> bool:
    """Whether the replica has to do with buckets, as far as its spec tells."""
    said = (group.base_output_uri, *spec.command, *spec.args, *(value for _, value in spec.env))
    return any("gs://" in text or "/gcs/" in text for text in said)


def notes_on_buckets(group: RunGroup, spec: ReplicaSpec, places: Places, no_view: str) -> tuple[str, ...]:
    """What a replica that has to do with buckets must know of them; `no_view`: why there is no /gcs, or empty."""
    if not names_buckets(group, spec):
        return ()
    if places.elsewhere:
        return (
            "There is no /gcs here, because the service keeps objects in an object store (objects_url); programs reach "
            "gs:// through the service, where STORAGE_EMULATOR_HOST or API_ENDPOINT_OVERRIDE says.",
        )
    if not no_view:
        return ()
    return (f"Programs do not see /gcs on this machine ({no_view}); the buckets lie in $TRAINYARD_GCS_ROOT.",)


def notes_on(spec: ReplicaSpec, allotment: Allotment, *, prepared: bool) -> tuple[str, ...]:
    """What people should know of one replica's place. `prepared`: its environment has told of the image already."""
    notes = []
    if not prepared and spec.image_uri not in ("", THIS_MACHINE):
        notes.append(f"{spec.name} runs on this host, not in its image {spec.image_uri}.")
    if spec.resources.cpus or spec.resources.memory_bytes:
        notes.append(_UNLIMITED)
    missing = spec.resources.gpus - len(allotment.gpus.get(spec.name, ()))
    if missing > 0:
        notes.append(f"{spec.name} asks for {spec.resources.gpus} GPU(s); this machine has none, so it runs without.")
    return tuple(notes)


_UNLIMITED = (
    "Programs on this host may use all of its CPUs and memory: what a machine type has is a limit in containers only."
)
