"""Everything that can be set, as one frozen object: flags win over TRAINYARD_* variables, those over settings.toml.

The table in docs/settings.md is made from the fields below. A value that cannot be meant is refused by name and
place; nothing unknown is skipped.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from socket import gethostname
from typing import Any, Final
from urllib.parse import urlsplit

from trainyard import setting_checks as checks
from trainyard.core.dashboards import USUAL_PLACE
from trainyard.setting_checks import is_loopback, names_in

FILE_NAME: Final = "settings.toml"
NOWHERE: Final = Path()  # until somebody says where
PREFIX: Final = "TRAINYARD_"
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
CREDENTIALS_NAME: Final = "credentials.json"
TLS_NAME: Final = "tls"
TUNNEL_NAME: Final = "tunnel"
SQL_PORT: Final = 5466
"""StackQL's own, for SQL by PostgreSQL's protocol."""


class BadSetting(Exception):
    """A setting that cannot be used; the message names it, where it stands, and what would do instead."""


def _setting(default: Any, doc: str, check: Callable[[Any], str] | None = None) -> Any:
    """A field with its sentence. `check` answers what is wrong with a value (empty: nothing)."""
    return field(default=default, metadata={"doc": doc, "check": check, "file": True})


@dataclass(frozen=True, slots=True)
class Settings:
    """What `trainyard serve` was told. Durations are in seconds, sizes in bytes."""

    data_dir: Path = field(
        default=NOWHERE,
        metadata={
            "doc": "Directory of all state: store, logs, runs, buckets, environments. Without it "
            "$XDG_DATA_HOME/trainyard, or ~/.local/share/trainyard.",
            "check": None,
            "file": False,
        },
    )
    host: str = _setting(
        "127.0.0.1", "Address to listen on; other than loopback only with --auth and --tls.", checks.address
    )
    port: int = _setting(8470, "Port of REST and gRPC; 0 takes a free one.", checks.port)
    grpc_port: int | None = _setting(None, "One more port for gRPC alone; 0 takes a free one.", checks.port)
    sql_port: str = _setting(
        "auto",
        f"Port of SQL by PostgreSQL's protocol: a number (0 takes a free one), off, or auto: {SQL_PORT} where it is "
        "free (any free one where --port is 0), else none. SQL over HTTP needs no port of its own.",
        checks.sql_port,
    )
    log_level: str = _setting(
        "info", f"What is written to stderr: {', '.join(LOG_LEVELS)}.", checks.one_of(*LOG_LEVELS)
    )
    auth: bool = _setting(
        False,
        f"Serve only who presents a credential of <data-dir>/{CREDENTIALS_NAME} (docs/security.md); where there is "
        "none yet, a token is made and shown.",
    )
    tls: bool = _setting(
        False,
        "Speak TLS, with a certificate of an authority made at first start; clients trust "
        f"<data-dir>/{TLS_NAME}/ca.pem.",
    )
    tls_names: str = _setting(
        "",
        "More host names and addresses under which clients reach the service, separated by commas (*.example.com is "
        "one): in the certificate of our own, and accepted in Host, Origin and audiences.",
        checks.host_names,
    )
    dashboards_at: str = _setting(
        "",
        "Where browsers reach the dashboards of jobs, each by a name of its own below this one, which DNS and the "
        "certificate have as *.NAME: https://dashboards.example.com; without it http://dashboards.localhost and the "
        "port, on this machine or through a tunnel to the same port.",
        checks.dashboards_at,
    )
    tls_cert: str = _setting("", "Speak TLS with this certificate chain (PEM) instead; read again when it changes.")
    tls_key: str = _setting("", "Key of --tls-cert (PEM, without a password).")
    replicas: int = _setting(
        0, "How many replicas run at the same time; 0 means four per core, at least eight.", checks.at_least(0)
    )
    replica_ports: str = _setting(
        "20000-29999", "Range of ports from which every replica gets one of its own.", checks.port_range
    )
    accelerators: str = _setting(
        "optional",
        "Whether a job that asks for GPUs runs without them where there are none (optional) or fails (required).",
        checks.one_of("optional", "required"),
    )
    prebuilt: str = _setting(
        "environment",
        "What stands in for Google's prebuilt images: an environment with their framework (environment), or what is "
        "installed on this machine (host).",
        checks.one_of("environment", "host"),
    )
    prebuilt_images: str = _setting(
        "",
        "JSON file that maps image URIs, with or without tag, to lists of requirement lines (of none: Python alone): "
        "what stands in for them, over the table of Google's prebuilt images.",
    )
    machine_types: str = _setting(
        "known",
        "Whether a machine type that the original does not have is refused (known) or taken as it is (any).",
        checks.one_of("known", "any"),
    )
    machines: str = _setting(
        "labels",
        "Whether machine types are names only, and as many replicas run as --replicas says (labels); or take their "
        "vCPUs and memory from what this machine has, so that a job waits, or fails, for lack of them (enforced).",
        checks.one_of("labels", "enforced"),
    )
    reservations: str = _setting(
        "",
        "Shares that are set aside for jobs whose reservationAffinity names them or takes any: "
        "NAME=REPLICAS[:MACHINE_TYPE][+GPUSgpu], separated by commas; with GPUs for each replica, and for replicas of "
        "that machine type only (team-a=2,team-b=1:n1-standard-8+1gpu).",
        checks.reservations,
    )
    persistent_resources: str = _setting(
        "", "JSON file: a list of persistent resources that are kept beside those of `trainyard pools create`."
    )
    simulate_preemption: str = _setting(
        "0",
        "How often an hour, on average, a running SPOT job is preempted although nobody needs its place, to try its "
        "checkpoints; with a seed (12,7) always at the same moments of jobs of the same name.",
        checks.preemptions,
    )
    stderr_severity: str = _setting(
        "ERROR",
        "Severity of text on stderr: as the original has it (ERROR), or by what it looks like (auto).",
        checks.one_of("ERROR", "auto"),
    )
    grace: float = _setting(
        30.0, "Seconds that programs are given between SIGTERM and SIGKILL when a job is stopped.", checks.at_least(0)
    )
    nas_searcher: str = _setting(
        "reinforce",
        "What a NasJob of REINFORCEMENT_LEARNING searches with, unless its label trainyard-searcher says otherwise: "
        "reinforce, random, evolution or model-based.",
        checks.one_of("reinforce", "random", "evolution", "model-based"),
    )
    missing_buckets: str = _setting(
        "auto",
        "Whether a gs:// bucket that a client asks for and that does not exist is made: on loopback only (auto), "
        "always, never.",
        checks.one_of("auto", "always", "never"),
    )
    objects_url: str = _setting(
        "",
        "Where the gs:// endpoint keeps objects instead of <data-dir>/buckets: s3://, gs://, az:// or file:// (needs "
        "the extra `objects`); jobs then reach them through the endpoint only.",
    )
    gcs_mount: str = _setting(
        "auto",
        "Whether programs see the buckets at /gcs: where the machine lets us (auto), or not (never); without it they "
        "find them in $TRAINYARD_GCS_ROOT, and a job that names buckets is told so in its service log.",
        checks.one_of("auto", "never"),
    )
    runtime: str = _setting(
        "auto",
        "Where replicas run: in their image by podman or docker; on this machine itself (host); or by podman where it "
        "works and the image is here or can be pulled, else on this machine (auto).",
        checks.one_of("auto", "host", "podman", "docker"),
    )
    image_pull: str = _setting(
        "missing",
        "Which images are fetched from their registry: those that are not here (missing), all before each start "
        "(always), none (never).",
        checks.one_of("missing", "always", "never"),
    )
    registry_auth: str = _setting(
        "", "File of registries' credentials, as `podman login --authfile` writes it; without it the engine's own."
    )
    container_network: str = _setting(
        "auto",
        "Whether containers have a network of their job's own, with the documented host names and port 2222 (bridge), "
        "share this machine's, with a port each (host), or the first where the machine can (auto).",
        checks.one_of("auto", "bridge", "host"),
    )
    mount_sources: str = _setting(
        "",
        "Directories that stand in for file systems of nfsMounts and lustreMounts: SOURCE=DIRECTORY, separated by "
        "commas, SOURCE as mount writes it (10.0.0.1:/data); without one, where this machine has it mounted.",
        checks.sources,
    )
    docker_host: str = _setting(
        "", "Address of Docker's API, such as unix:///run/user/1000/podman/podman.sock; without it DOCKER_HOST's."
    )
    usage_interval: float = _setting(
        10.0,
        "Seconds between two samples of what a replica uses (CPU, memory, disk, GPU), longer for old or large ones; 0 "
        "takes none.",
        checks.at_least(0),
    )
    mlflow_tracking_uri: str = _setting(
        "",
        "Where MLflow keeps the `experiment` and `experimentRun` of jobs, such as http://host:5000 or sqlite:///FILE "
        "(needs the extra `mlflow`); without it they are recorded with the job only.",
    )
    key_ring: str = _setting(
        "local",
        "What keeps the keys of `trainyard keys`: files of ours (local), or a token that speaks PKCS#11, say an HSM, "
        "by its URI (RFC 7512): pkcs11:token=LABEL?module-path=/LIBRARY.so&pin-source=file:/FILE (needs the extra "
        "`pkcs11`).",
        checks.key_ring,
    )
    master_key_file: str = _setting(
        "",
        "File of the master key that wraps the keys of `trainyard keys`, best on another medium than the data "
        "directory; without it <data-dir>/keys/master.key.",
    )
    drain: float = _setting(
        10.0, "Seconds that requests under way are given when the service stops.", checks.at_least(0)
    )

    @classmethod
    def load(cls, flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """Read all three sources; `flags` holds what was given on the command line, by field name.

        Raises BadSetting with one sentence.
        """
        known = {each.name: each for each in fields(cls)}
        given = {name: value for name, value in flags.items() if value is not None}
        from_environment = _from_environment(environment, known)
        data_dir = Path(given.get("data_dir") or from_environment.get("data_dir") or default_data_dir(environment))
        data_dir = Path(os.path.abspath(data_dir.expanduser()))  # noqa: PTH100 - a path that does not exist yet, links kept
        merged = {**_from_file(data_dir / FILE_NAME, known), **from_environment, **given, "data_dir": data_dir}
        for name, value in given.items():
            _check(known[name], value, f"--{name.replace('_', '-')}")
        settings = cls(**merged)
        settings.check_together()
        return settings

    @property
    def speaks_tls(self) -> bool:
        """Whether the port is encrypted, with a certificate of ours or a given one."""
        return self.tls or bool(self.tls_cert)

    def names(self) -> frozenset[str]:
        """The host names and addresses under which clients may reach the service."""
        unspecified = self.host != "localhost" and ip_address(self.host).is_unspecified
        own = {"localhost", "127.0.0.1", "::1", *names_in(self.tls_names.lower())}
        reached = own | ({gethostname().lower()} if unspecified else {self.host})
        return frozenset(reached - {self.names_of_dashboards()})  # what answers there is not the service

    def names_of_dashboards(self) -> str:
        """`*.dashboards.localhost`, or below the name that dashboards are given."""
        return f"*.{urlsplit(self.dashboards_at or USUAL_PLACE).hostname}"

    def check_together(self) -> None:
        """Raises BadSetting where values that are fine by themselves are not so together."""
        if bool(self.tls_cert) != bool(self.tls_key):
            raise BadSetting(
                "tls_cert and tls_key go together: give both, or neither and --tls for a certificate of ours."
            )
        if "pin-value=" in self.key_ring:
            raise BadSetting(
                "key_ring holds a PIN, and settings are no place for one: put it into a file of mode 0600, and "
                "pin-source=file:/FILE in the place of pin-value."
            )
        if not is_loopback(self.host) and not (self.auth and self.speaks_tls):
            raise BadSetting(
                f"--host {self.host} is an address that others can reach, and Trainyard runs whatever it is sent: give "
                "--auth and --tls (or --tls-cert and --tls-key) as well, or listen on 127.0.0.1."
            )


def default_data_dir(environment: Mapping[str, str]) -> Path:
    """Where state lies when nobody says (XDG Base Directory Specification): ~/.local/share/trainyard."""
    base = environment.get("XDG_DATA_HOME") or ""
    if not base.startswith("/"):
        base = os.path.join(environment.get("HOME") or "~", ".local", "share")  # noqa: PTH118 - expanded by the caller
    return Path(base) / "trainyard"


def _from_environment(environment: Mapping[str, str], known: Mapping[str, Field[Any]]) -> dict[str, Any]:
    found = {}
    for name, each in known.items():
        variable = PREFIX + name.upper()
        text = environment.get(variable)
        if text:
            found[name] = _check(each, _from_text(each, text, variable), variable)
    return found


def _from_text(each: Field[Any], text: str, place: str) -> Any:
    """A value written as text: a variable holds nothing else."""
    kind = _kind(each)
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise BadSetting(f"{place} is {text!r}, which is not {_KIND_NAMES[kind]}.") from None


def _from_file(path: Path, known: Mapping[str, Field[Any]]) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{path} is not TOML: {error}.") from None
    allowed = {name: each for name, each in known.items() if each.metadata["file"]}
    found: dict[str, Any] = {}
    for name, value in table.items():
        place = f"{path}, line {_line_of(text, name)}: {name}"
        if name not in allowed:
            raise BadSetting(f"{place} is no setting{_nearest(name, allowed, known)}.")
        found[name] = _check(allowed[name], _typed(value, _kind(allowed[name]), place), place)
    return found


def _typed(value: Any, kind: type, place: str) -> Any:
    """A value of TOML's own types; a whole number will do for any number, but true is none."""
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise BadSetting(f"{place} is {value!r}, which is not {_KIND_NAMES[kind]}.")


def _check(each: Field[Any], value: Any, place: str) -> Any:
    check = each.metadata["check"]
    wrong = check(value) if check else ""
    if wrong:
        raise BadSetting(f"{place} is {value!r}: {wrong}.")
    return value


def _nearest(name: str, allowed: Mapping[str, object], known: Mapping[str, object]) -> str:
    if name in known:
        return f" of this file; give it as --{name.replace('_', '-')} or {PREFIX}{name.upper()}"
    close = difflib.get_close_matches(name.replace("-", "_").lower(), allowed, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(allowed))}"


def _line_of(text: str, key: str) -> int:
    """The line (from 1) on which a top-level key or table stands."""
    pattern = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


_KIND_NAMES: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}
_KINDS: Final[Mapping[str, type]] = {
    "bool": bool,
    "int": int,
    "int | None": int,
    "float": float,
    "str": str,
    "Path": Path,
}


def _kind(each: Field[Any]) -> type:
    return _KINDS[str(each.type)]


def settings_table() -> str:
    """docs/settings.md: one row per setting, from the fields above."""
    rows = ["| flag | variable | settings.toml | default | what it does |", "|---|---|---|---|---|"]
    for each in fields(Settings):
        default = "" if each.default in (None, NOWHERE) else f"`{each.default}`"
        in_file = f"`{each.name}`" if each.metadata["file"] else ""
        flag = f"`--{each.name.replace('_', '-')}`"
        rows.append(f"| {flag} | `{PREFIX}{each.name.upper()}` | {in_file} | {default} | {each.metadata['doc']} |")
    return "\n".join(rows) + "\n"
