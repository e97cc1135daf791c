"""Which replicas run in containers, and that nothing of them is left: the group's place is settled once, on disk first.

A replica runs in its image where the settings ask for it or, by default (auto), where the image is here or can be
fetched; else on the host as before. What is settled lies in `<runs>/<run id>/containers.json` before anything starts.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from trainyard.agent.container import directory_of
from trainyard.core.runs import ReplicaSpec, RunGroup
from trainyard.core.start_faults import start_sentence
from trainyard.executors.local.container_packages import Find, packages_of
from trainyard.executors.local.container_plan import (
    Bounds,
    contained,
    container_name,
    notes_on_container,
    notes_on_files,
    notes_on_limits,
    plan_container,
)
from trainyard.executors.local.earlier import make_way
from trainyard.executors.local.engine import ContainerEngine, EngineFailed, Image, Network, Talents
from trainyard.executors.local.groups import Group, Groups
from trainyard.executors.local.packages import PreparationFailed
from trainyard.executors.local.plan import THIS_MACHINE, Allotment, Contained, Places, ReplicaPlan
from trainyard.executors.local.podman import Podman
from trainyard.executors.local.prebuilt import recipe_of
from trainyard.executors.local.readings import Incarnation
from trainyard.executors.local.redirected import aimed
from trainyard.executors.local.relay import Relay
from trainyard.executors.local.shares import find_shares

_SETTLED: Final = "containers.json"
_UNREACHABLE_SECONDS: Final = 300.0  # how long we believe that an image can't be fetched
_LOOK_AGAIN_SECONDS: Final = 0.05
_LOOKS_AT_AGENTS: Final = 200
_log = logging.getLogger(__name__)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """How containers are used.

    `runtime`: "auto", "podman" or "docker". `pull`: "missing", "always" or "never". `auth_file`: credentials of
    registries, in the form of containers-auth.json; empty for the engine's own. `network`: "auto", "bridge" or "host".
    `docker_host`: the address of Docker's API, empty for its usual one. `service`: host:port of this service.
    `mounts` are given to every replica; `shares`: directories that stand in for file systems elsewhere, by source.
    """

    runtime: str = "auto"
    pull: str = "missing"
    auth_file: str = ""
    network: str = "auto"
    docker_host: str = ""
    service: str = ""
    mounts: tuple[tuple[str, str, bool], ...] = ()
    shares: Mapping[str, str] = field(default_factory=dict)


class Containers:
    """What the local executor knows of containers. Used in one event loop."""

    def __init__(
        self, options: ContainerOptions, data_dir: Path, places: Places, environment: Mapping[str, str], find: Find
    ) -> None:
        """Nothing is asked of any engine before a job may need one. `find` finds packages."""
        self._options, self._find = options, find
        self._places = places
        self._directory = data_dir / "containers"
        self._environment = environment
        self._engines: dict[str, ContainerEngine] = {}
        self._settling: dict[str, asyncio.Lock] = {}
        self._pulling: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, tuple[float, str]] = {}  # image: until when, why
        self._why_not = ""
        self._relay = Relay(options.service)
        self._outside: set[str] = set()  # run ids of which it was certain at their launch

    @property
    def _asked_for(self) -> str:
        return "podman" if self._options.runtime == "auto" else self._options.runtime

    def possible(self, held: Group, group: RunGroup, spec: ReplicaSpec) -> bool:
        """Whether `spec` may run in a container at all; False is certain, costs next to nothing, and is noted."""
        if self._options.runtime != "auto":
            return True
        if spec.image_uri in ("", THIS_MACHINE) or self._why_not:
            return False
        if group.run_id in self._outside or self._all_outside(group):
            self._outside.add(group.run_id)
            Groups.note(held, (_outside(spec, _absent(spec.image_uri)),))
            return False
        return self._asked_for in self._engines or self._program() is not None

    def _all_outside(self, group: RunGroup) -> bool:
        """Whether the whole group starts, for the first time, in images that nobody has here or would fetch."""
        engine = self._engines.get(self._asked_for)
        return (
            engine is not None
            and all(
                spec.incarnation == 0
                and bool(spec.command or spec.package)
                and engine.lacks(spec.image_uri)
                and is_never_fetched(spec.image_uri)
                for spec in group.replicas
            )
            and not self._is_settled(group.run_id)
        )

    def is_over(self, run_id: str) -> bool:
        """Forget the group, which is over; says whether something of it may be left to be removed."""
        self._settling.pop(run_id, None)
        self._outside.discard(run_id)
        return self._is_settled(run_id)

    def _is_settled(self, run_id: str) -> bool:
        """Whether a group's place was written down: else none of it was ever in a container."""
        return os.path.exists(f"{self._places.runs}/{run_id}/{_SETTLED}")  # noqa: PTH110 - asked for every job

    def where(self, run_id: str) -> Contained | None:
        """The place of a group that has one in containers, as it was settled."""
        settled = _read_settled(self._places.runs / run_id / _SETTLED)
        return settled if settled is not None and settled.images else None

    def _program(self) -> str | None:
        return shutil.which("podman", path=self._environment.get("PATH"))

    async def fetch(self, spec: ReplicaSpec, say: Say) -> str:
        """Have the image of `spec` here before any job starts; else the reason why such replicas run on the host.

        Raises PreparationFailed where they could run nowhere.
        """
        if self._options.runtime == "auto" and spec.image_uri == THIS_MACHINE:
            return "it names no image"
        _, why_not = await self._image(spec, say)
        return why_not

    async def settle(self, group: RunGroup, allotment: Allotment, say: Say) -> tuple[Allotment, Mapping[str, str]]:
        """The allotment with the group's place in it, and why replicas by name are not in a container.

        Raises PreparationFailed where a replica can run nowhere.
        """
        async with self._settling.setdefault(group.run_id, asyncio.Lock()):
            path = self._places.runs / group.run_id / _SETTLED
            if (settled := _read_settled(path)) is not None:
                return replace(allotment, contained=settled if settled.images else None), {}
            images: dict[str, str] = {}
            reasons: dict[str, str] = {}
            for spec in group.replicas:
                image, why = await self._image(spec, say)
                if image is not None:
                    self._check_entry_point(spec, image)
                    images[spec.name] = image.id
                else:
                    reasons[spec.name] = why
            self._places.buckets.mkdir(parents=True, exist_ok=True)  # else there would be nothing to mount at /gcs
            where = await self._meet(group, images)
            await asyncio.to_thread(_write_settled, path, where)
            return replace(allotment, contained=where if images else None), reasons

    async def place(
        self, held: Group, group: RunGroup, spec: ReplicaSpec, say: Say
    ) -> tuple[ReplicaPlan | None, tuple[str, ...]]:
        """The start of one replica in its container, or None for the host; and what people should know of it.

        Puts the group's place into what it holds. Raises PreparationFailed where the replica can run nowhere.
        """
        assert held.allotment is not None
        begun = spec.incarnation > 0 or any(one.was_started() for one in held.newest.values())
        if begun and not self._is_settled(group.run_id):  # it began outside, where nothing is written down
            return None, ()
        held.allotment, reasons = await self.settle(group, held.allotment, say)
        where = held.allotment.contained
        if where is None or spec.name not in where.images:
            why = reasons.get(spec.name, "")
            if why and not (spec.command or spec.package):
                raise PreparationFailed(f"{why}; and the job gives no containerSpec.command that could run without it.")
            return None, (_outside(spec, why),) if why else ()
        engine = self._engine(where.engine)
        try:
            await make_way(group.run_id, spec, self._places.runs, engine)
            talents, image = await engine.talents(), await engine.find(spec.image_uri)
        except EngineFailed as failure:
            raise self._failure(failure, spec.image_uri) from None
        group, aim = await aimed(group, image.env if image else {}, self._options.service)
        shares, packages = find_shares(spec.shares, self._options.shares), await packages_of(spec, self._find)
        mounts = (*self._options.mounts, *self._files_named(group), *aim, *packages, *shares)
        to_install = tuple(inside for _, inside, _ in packages)
        relayed = await self._relay.at(where.gateway, where.first, where.size)
        cpus, memory = os.cpu_count() or 1, _memory_of_this_machine()
        bounds = Bounds(self._places, talents, cpus, memory, mounts, relayed, to_install)
        planned = plan_container(group, spec, held.allotment, engine, bounds)
        gpus = len(held.allotment.gpus.get(spec.name, ()))
        told = (*notes_on_container(spec, talents, where, gpus), *notes_on_limits(spec, bounds))
        return planned, (*told, *notes_on_files(group, spec, engine.name, image, self._places), *planned.notes)

    def _files_named(self, group: RunGroup) -> tuple[tuple[str, str, bool], ...]:
        """The files that the service's variables name (certificates to trust, a key), there under the same names."""
        home, key = f"{self._directory.parent}/", group.extra_env.get("GOOGLE_APPLICATION_CREDENTIALS")
        named = sorted({value for value in group.extra_env.values() if value.startswith(home) or value == key})
        return tuple((path, path, True) for path in named if os.path.isfile(path))  # noqa: PTH113 - they are texts

    async def come_up(self, held: Collection[str]) -> None:
        """Be there again for the containers that an earlier server left running, and remove what nobody holds."""
        for run_id in held:
            where = await asyncio.to_thread(_read_settled, self._places.runs / run_id / _SETTLED)
            if where is not None and where.gateway:
                await self._relay.at(where.gateway, where.first, where.size)
        await self._sweep(held)

    def close(self) -> None:
        """Let go; what runs goes on running."""
        self._relay.close()

    async def discard(self, incarnation: Incarnation) -> None:
        """End what a container of agents that were killed has left."""
        directory = Path(directory_of(incarnation.control))
        run_id, replica, number = incarnation.name.split("/")
        settled = _read_settled(self._places.runs / run_id / _SETTLED)
        if settled is None or replica not in settled.images:
            return
        if await self._done(self._engine(settled.engine).discard(container_name(run_id, replica, int(number)))):
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def release(self, run_id: str) -> None:
        """Leave nothing of a group that is over; its agents tidy up after themselves and are given the time for it."""
        directory = self._places.runs / run_id
        settled = await asyncio.to_thread(_read_settled, directory / _SETTLED)
        if settled is None or not settled.images:
            return
        for _ in range(_LOOKS_AT_AGENTS):
            if not (left := list(directory.glob("*.engine"))):
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        own = settled.network not in ("host", "bridge")
        if own:
            self._relay.leave(settled.gateway)
        if (left or own) and await self._done(self._engine(settled.engine).remove(run_id)):
            for each in left:
                await asyncio.to_thread(shutil.rmtree, each, ignore_errors=True)

    async def _sweep(self, held: Collection[str]) -> None:
        """Remove the containers and networks of groups that are not in `held`: a killed server could not."""
        if not self._directory.exists():  # containers were never used here
            return
        try:
            engine = self._engine(self._asked_for)
            left = await engine.left(str(self._places.runs))
        except EngineFailed as failure:
            _log.info("containers of earlier runs could not be looked for: %s", failure)
            return
        for run_id in set(left) - set(held):
            await self._done(engine.remove(run_id))

    async def _image(self, spec: ReplicaSpec, say: Say) -> tuple[Image | None, str]:
        """The image to run `spec` in; None with a reason where it runs on the host. Raises PreparationFailed."""
        uri, auto = spec.image_uri, self._options.runtime == "auto"
        if uri == THIS_MACHINE and not auto:
            raise self._failure(EngineFailed("no image is named"), uri)
        prebuilt = recipe_of(uri, {}, gpus=False) is not None
        try:
            engine = self._engine(self._asked_for)
            found = await engine.find(uri)
            if found is not None and self._options.pull != "always":
                return found, ""
            if found is None and auto and is_never_fetched(uri):
                return None, _absent(uri)
            return await self._fetched(engine, uri, say), ""
        except EngineFailed as failure:
            sentence, _ = start_sentence(str(failure), uri, "", self._asked_for)
            if auto or prebuilt:
                return None, sentence.rstrip(".")
            raise self._failure(failure, uri) from None

    async def _fetched(self, engine: ContainerEngine, uri: str, say: Say) -> Image | None:
        """The image from its registry. Raises EngineFailed."""
        if self._options.pull == "never":
            raise EngineFailed("never pulled")
        async with self._pulling.setdefault(uri, asyncio.Lock()):
            until, why = self._failed.get(uri, (0.0, ""))
            if time.monotonic() < until and self._options.runtime == "auto":
                raise EngineFailed(why)
            if self._options.pull == "missing" and (found := await engine.find(uri)):
                return found  # somebody else has fetched it meanwhile
            say(f"Pulling the image {uri}.")
            try:
                await engine.pull(uri, self._options.auth_file)
            except EngineFailed as failure:
                self._failed[uri] = (time.monotonic() + _UNREACHABLE_SECONDS, str(failure))
                raise
            return await engine.find(uri)

    def _check_entry_point(self, spec: ReplicaSpec, image: Image) -> None:
        if not (spec.command or spec.package or spec.args or image.entrypoint or image.command):
            raise self._failure(EngineFailed("no entry point"), spec.image_uri)

    async def _meet(self, group: RunGroup, images: Mapping[str, str]) -> Contained:
        """The network of a group: their own where they are several, so that each has its name and port 2222."""
        if not images:
            return Contained("", "host", {}, {})
        engine = self._engine(self._asked_for)
        network: Network | None = None
        try:
            if len(images) == len(group.replicas) and self._bridges(await engine.talents()):
                network = await engine.common_network()
                if len(images) > 1:
                    name = f"trainyard-{group.run_id}"
                    network = await engine.make_network(name, group.run_id, str(self._places.runs))
        except EngineFailed as failure:
            raise self._failure(failure, group.replicas[0].image_uri) from None
        if network is not None and network.size < len(images):
            network = None
        return contained(group, images, engine.name, network)

    def _bridges(self, talents: Talents) -> bool:
        return self._options.network != "host" and not talents.why_no_network

    def _engine(self, name: str) -> ContainerEngine:
        """The engine of that name. Raises EngineFailed where it is not installed."""
        if name not in self._engines:
            if name == "docker":
                from trainyard.executors.local.docker_engine import DockerEngine  # noqa: PLC0415 - an extra

                self._engines[name] = DockerEngine(self._options.docker_host, self._directory, self._environment)
            elif program := self._program():
                self._engines[name] = Podman(program, self._directory, self._environment)
            else:
                raise EngineFailed("no engine: there is no podman on the PATH")
        return self._engines[name]

    def _failure(self, failure: EngineFailed, uri: str) -> PreparationFailed:
        sentence, internal = start_sentence(str(failure), uri, "", self._asked_for)
        return PreparationFailed(sentence, internal=internal)

    @staticmethod
    async def _done(work: Awaitable[object]) -> bool:
        """Whether it could be done; what fails now is done by the next sweep."""
        try:
            await work
        except EngineFailed as failure:
            _log.warning("something of a container may be left until the next start: %s", failure)
            return False
        return True


def _outside(spec: ReplicaSpec, why: str) -> str:
    return f"{spec.name} is not run in a container: {why}."


def _absent(uri: str) -> str:
    return f"the image {uri} is not on this machine"


@lru_cache(maxsize=256)
def is_never_fetched(uri: str) -> bool:
    """Whether such an image is used, by default, only where it is already."""
    return recipe_of(uri, {}, gpus=False) is not None or not _names_registry(uri)


def _names_registry(uri: str) -> bool:
    """Whether a reference begins with a registry's host, so that fetching it guesses at nothing."""
    first, slash, _ = uri.partition("/")
    return bool(slash) and ("." in first or ":" in first) and first != "localhost"


def _read_settled(path: Path) -> Contained | None:
    try:
        said = json.loads(path.read_text("utf-8"))
        hosts = {name: (host, address) for name, (host, address) in said["hosts"].items()}
        return Contained(**{**said, "hosts": hosts})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_settled(path: Path, where: Contained) -> None:
    """Whole or not at all. Raises OSError."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(where)), "utf-8")
    draft.rename(path)


def _memory_of_this_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
