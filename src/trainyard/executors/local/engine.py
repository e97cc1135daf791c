"""The promise of a container engine: the second, smaller seam, inside the executor of this machine.

Its keepers are podman.py and docker_engine.py. An engine finds and fetches images and says by which command a
container is begun; that it is begun once, watched, ended and recorded is the agents' work, as for any program.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

RUN_LABEL = "trainyard.run"  # the run id
RUNS_LABEL = "trainyard.runs"  # the directory of all runs: whose containers they are


class EngineFailed(Exception):
    """The engine refused or could not be reached; the text is its own words (core/start_faults.py reads them)."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here: its id, what it runs where the job does not say, the variables that it sets, its user."""

    id: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""

    @classmethod
    def of(cls, image_id: str, config: Mapping[str, Any]) -> Image:
        """From its configuration as every engine tells it."""
        lists = {name: tuple(config.get(name) or ()) for name in ("Entrypoint", "Cmd", "Env")}
        env = {name: value for name, _, value in (line.partition("=") for line in lists["Env"])}
        return cls(image_id, lists["Entrypoint"], lists["Cmd"], env, config.get("User") or "")


def is_only_an_id(uri: str, image_id: str, names: Iterable[str]) -> bool:
    """Whether an engine found an image by the first digits of its id: a job names images, and `e` is none's name."""
    digits = image_id.removeprefix("sha256:")
    named = any(name == uri or name.rpartition("/")[2].partition(":")[0] == uri for name in names)
    return bool(uri) and digits.startswith(uri.removeprefix("sha256:")) and not named


@dataclass(frozen=True, slots=True)
class Network:
    """A network of one run group, or (not `own`) the engine's common one.

    Its members have `size` addresses from `first` on (IPv4, as a number).
    """

    name: str
    gateway: str
    first: int
    size: int
    own: bool = True


@dataclass(frozen=True, slots=True)
class Talents:
    """What an engine can do on this machine. `why_no_limits` and `why_no_network` are clauses, empty where it can."""

    version: str
    why_no_limits: str = ""
    why_no_network: str = ""
    has_init: bool = True


@dataclass(frozen=True, slots=True)
class Container:
    """One incarnation's container, fully told; each engine says the same in its own words.

    `entrypoint` None keeps the image's own, and `args` empty its own arguments. `network` is "host", "bridge" (the
    engine's common one) or a network's name; `hosts` are names to be known inside. `mounts` are (source, target,
    read-only), `ports` lead from this machine's loopback to the container's own. `directory` is the agent's, for what
    the engine writes. Sizes in bytes; 0 is no limit.
    """

    name: str
    run_id: str
    runs: str
    directory: str
    image: str
    entrypoint: tuple[str, ...] | None
    args: tuple[str, ...]
    env: Mapping[str, str]
    hostname: str
    network: str
    address: str = ""
    hosts: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[tuple[str, str, bool], ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    shm_bytes: int = 0
    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0
    init: bool = True


@dataclass(frozen=True, slots=True)
class Start:
    """How an agent begins a container and removes it: `engine` is what agent/container.py reads."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    engine: Mapping[str, Any]


class ContainerEngine(Protocol):
    """Containers of this machine by one engine."""

    name: str

    async def talents(self) -> Talents:
        """What it can do here, asked once. Raises EngineFailed where it does not work at all."""

    async def find(self, uri: str) -> Image | None:
        """The image, if it is here. Cheap where it was asked before. Raises EngineFailed."""

    def lacks(self, uri: str) -> bool:
        """Whether it is known without asking that the image is not here; False where that is not sure."""

    async def images(self) -> Sequence[tuple[str, int]]:
        """Names and sizes (bytes) of all images that are here. Raises EngineFailed."""

    async def pull(self, uri: str, auth_file: str) -> None:
        """Fetch an image. Cancelling gives it up. Raises EngineFailed."""

    async def make_network(self, name: str, run_id: str, runs: str) -> Network:
        """The network of that name, made if need be. Raises EngineFailed."""

    async def common_network(self) -> Network:
        """The one that "bridge" stands for. Raises EngineFailed."""

    async def discard(self, name: str) -> None:
        """End and remove one container; there may be none of that name. Raises EngineFailed."""

    async def remove(self, run_id: str) -> None:
        """Leave no container and no network of a run group. Raises EngineFailed."""

    async def left(self, runs: str) -> Collection[str]:
        """Run ids of which this engine holds containers or networks, of the runs directory `runs`."""

    def start(self, container: Container) -> Start:
        """The commands for an agent. Pure."""
