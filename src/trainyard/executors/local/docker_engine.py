"""Any engine that speaks Docker's API on a socket, through the `docker` package (the extra `docker`).

Its containers are children of a daemon, so the program that an agent watches is docker_program.py: it starts the
container, copies its output and says how it ended. What the daemon takes with it when it dies is lost, and said to be.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

from trainyard.executors.local.engine import (
    RUN_LABEL,
    RUNS_LABEL,
    Container,
    EngineFailed,
    Image,
    Network,
    Start,
    Talents,
    is_only_an_id,
)

_MODULE: Final = "trainyard.executors.local.docker_program"
_SHELL_MODULE: Final = "trainyard.executors.local.docker_shell"
_HANDED_ON: Final = re.compile(r"PATH|HOME|TMPDIR|DOCKER_.*|XDG_RUNTIME_DIR|SSL_CERT_.*")
_FIRST_ADDRESS: Final = 2
T = TypeVar("T")


class DockerEngine:
    """Keeps the promise ContainerEngine."""

    name = "docker"

    def __init__(self, host: str, directory: Path, environment: Mapping[str, str]) -> None:
        """`host` is the socket's address, empty for DOCKER_HOST or the usual one. Raises EngineFailed."""
        try:
            import docker  # noqa: PLC0415 - an extra, and slow to import
        except ImportError:
            raise EngineFailed(
                "no engine: the package docker is not installed (pip install 'trainyard[docker]')"
            ) from None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # says that containers were used here
        self._docker = docker
        self._env = {name: value for name, value in environment.items() if _HANDED_ON.fullmatch(name)}
        if host:
            self._env["DOCKER_HOST"] = host
        self._client: Any = None
        self._talents: Talents | None = None

    async def talents(self) -> Talents:
        """What it can do here, asked once. Raises EngineFailed where it does not work at all."""
        if self._talents is None:
            self._talents = await self._ask(self._look)
        return self._talents

    def _look(self, client: Any) -> Talents:
        info, version = client.info(), client.version()
        lacking = [name for name in ("MemoryLimit", "CpuCfsQuota", "PidsLimit") if not info.get(name, True)]
        return Talents(
            version=version["Version"],
            why_no_limits=f"its engine has no {', '.join(lacking)}" if lacking else "",
            has_init=bool(info.get("InitBinary", True)) or "Podman" in json.dumps(version.get("Components", "")),
        )

    def lacks(self, uri: str) -> bool:
        """It has to be asked every time: False."""
        del uri
        return False

    async def find(self, uri: str) -> Image | None:
        """The image, if it is here. Raises EngineFailed."""

        def look(client: Any) -> Image | None:
            try:
                found = client.images.get(uri)
            except self._docker.errors.ImageNotFound:
                return None
            if is_only_an_id(uri, found.id, found.tags):
                return None
            return Image.of(found.id, found.attrs.get("Config") or {})

        return await self._ask(look)

    async def images(self) -> Sequence[tuple[str, int]]:
        """Names and sizes (bytes) of all images that are here. Raises EngineFailed."""

        def look(client: Any) -> list[tuple[str, int]]:
            return sorted((name, each.attrs.get("Size", 0)) for each in client.images.list() for name in each.tags)

        return await self._ask(look)

    async def pull(self, uri: str, auth_file: str) -> None:
        """Fetch an image. Raises EngineFailed."""
        auth = await asyncio.to_thread(credentials, uri, auth_file)
        name, tag = _parted(uri)
        await self._ask(lambda client: client.images.pull(name, tag=tag, auth_config=auth))

    async def make_network(self, name: str, run_id: str, runs: str) -> Network:
        """The network of that name, made if need be. Raises EngineFailed."""
        labels = {RUN_LABEL: run_id, RUNS_LABEL: runs}

        def make(client: Any) -> Network:
            found = client.networks.list(names=[name])
            made = found[0] if found else client.networks.create(name, labels=labels, driver="bridge")
            return _network(made, own=True)

        return await self._ask(make)

    async def common_network(self) -> Network:
        """The one that "bridge" stands for. Raises EngineFailed."""

        def look(client: Any) -> Network:
            known = {each.name: each for each in client.networks.list()}
            common = known.get("bridge") or known.get("podman")
            return _network(common, own=False) if common else Network("bridge", "", 0, 0, own=False)

        return await self._ask(look)

    async def discard(self, name: str) -> None:
        """End and remove one container; there may be none of that name. Raises EngineFailed."""

        def remove(client: Any) -> None:
            try:
                client.containers.get(name).remove(force=True, v=True)
            except self._docker.errors.NotFound:
                return

        await self._ask(remove)

    async def remove(self, run_id: str) -> None:
        """Leave no container and no network of a run group. Raises EngineFailed."""
        ours = {"label": f"{RUN_LABEL}={run_id}"}

        def remove(client: Any) -> None:
            for container in client.containers.list(all=True, filters=ours):
                container.remove(force=True, v=True)
            for network in client.networks.list(filters=ours):
                network.remove()

        await self._ask(remove)

    async def left(self, runs: str) -> Collection[str]:
        """Run ids of which it holds containers or networks, of the runs directory `runs`."""
        ours = {"label": f"{RUNS_LABEL}={runs}"}

        def look(client: Any) -> set[str]:
            containers = [each.labels for each in client.containers.list(all=True, filters=ours)]
            networks = [each.attrs.get("Labels") or {} for each in client.networks.list(filters=ours)]
            return {labels[RUN_LABEL] for labels in (*containers, *networks) if RUN_LABEL in labels}

        return await self._ask(look)

    def start(self, container: Container) -> Start:
        """The commands for an agent. Pure."""
        told = json.dumps({**asdict(container), "labels": {RUN_LABEL: container.run_id, RUNS_LABEL: container.runs}})
        return Start(
            argv=(sys.executable, "-m", _MODULE, "run"),
            env={**self._env, "TRAINYARD_CONTAINER": told},
            engine={
                "remove": [sys.executable, "-m", _MODULE, "remove", container.name],
                "shell": [sys.executable, "-m", _SHELL_MODULE, container.name],
                "env": self._env,
                "init": False,
                "foreground": True,
            },
        )

    async def _ask(self, work: Callable[[Any], T]) -> T:
        """Have something done by the daemon, in a thread. Raises EngineFailed with its words."""

        def ask() -> T:
            if self._client is None:
                self._client = self._docker.from_env(environment=self._env)
            return work(self._client)

        try:
            return await asyncio.to_thread(ask)
        except (self._docker.errors.DockerException, OSError) as error:
            raise EngineFailed(str(getattr(error, "explanation", None) or error)) from None


def credentials(uri: str, auth_file: str) -> dict[str, str] | None:
    """User and password of the image's registry, from a containers-auth.json; None where it has none."""
    import base64  # noqa: PLC0415 - few images need a password

    registry = uri.partition("/")[0]
    try:
        auths = json.loads(Path(auth_file).read_text("utf-8"))["auths"] if auth_file else {}
        user, _, password = base64.b64decode(auths[registry]["auth"]).decode().partition(":")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {"username": user, "password": password}


def _network(found: Any, *, own: bool) -> Network:
    found.reload()
    pool = found.attrs["IPAM"]["Config"][0]
    subnet = ipaddress.ip_network(pool["Subnet"])
    first = int(subnet.network_address) + _FIRST_ADDRESS
    return Network(found.name, pool.get("Gateway", ""), first, subnet.num_addresses - _FIRST_ADDRESS - 1, own)


def _parted(uri: str) -> tuple[str, str | None]:
    """Name and tag; a digest stays with the name, and without either the tag is latest."""
    if "@" in uri:
        return uri, None
    head, slash, last = uri.rpartition("/")
    name, colon, tag = last.partition(":")
    return head + slash + name, tag if colon else "latest"
