"""A replica's Python environment is made once per content and is whole or not there; the second start finds it ready.

An environment is a directory named by what is in it: requirement lines, the contents of its packages, Python and the
table's rules. It is made under another name, brought to disk and renamed, whatever is killed when. One lock file per
environment lets everybody on one data directory make each only once.

Environments are shared by all jobs that ask for the same content, so they hold no `pip`: a program that installs at
run time would change its neighbours' packages. What a program needs stands in its package's `install_requires`.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from trainyard.core.runs import ReplicaSpec
from trainyard.executors.local.installer import Installer, InstallFailed
from trainyard.executors.local.packages import PreparationFailed, fingerprint, locate
from trainyard.executors.local.prebuilt import Recipe, recipe_of

_FORMAT = "1"  # grows when environments made by an older release must not be used any more
_NOTES = "trainyard.json"  # in the environment: what people should know of it
_IMAGE = "{image}"  # in a note, for the image's URI: several share one environment
_SECONDS_BETWEEN_LOCK_TRIES = 0.1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How prebuilt images are stood in for.

    `prebuilt`: "environment" installs the image's framework; "host" leaves frameworks to the machine's own Python.
    `images`: image URI (with or without tag) to requirement lines, over the table's rules. `gpus`: whether this
    machine has any. `python`: the interpreter where the image's own Python version is not on this machine.
    `host_python`: the interpreter whose packages replicas see under "host". `limit_seconds` bounds one installation.
    """

    prebuilt: str = "environment"
    images: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gpus: bool = False
    python: str = sys.executable
    host_python: str = "python3"
    limit_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A ready environment: its programs' directory, its variables, and sentences for the job's service log."""

    bin_dir: Path
    env: Mapping[str, str]
    notes: tuple[str, ...]

    def over(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with this environment's programs first on PATH, and nothing that would lead Python elsewhere."""
        kept = {name: value for name, value in base.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
        return {**kept, **self.env, "PATH": f"{self.bin_dir}{os.pathsep}{base.get('PATH', os.defpath)}"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One environment, fully told."""

    key: str
    image_uri: str
    recipe: Recipe | None
    packages: tuple[tuple[Path, str], ...]  # file and fingerprint, in the order of the spec
    python: str


class EnvironmentCache:
    """Environments by content, under `root`; packages are read from `buckets`/<bucket>/<object>."""

    def __init__(
        self, root: Path, buckets: Path, options: Options | None = None, find: Callable[[str], Path] | None = None
    ) -> None:
        """Nothing is read or made before it is asked for. `find`: gives a package's file instead of `buckets`."""
        self._root = root
        self._locate = find or partial(locate, buckets=buckets)
        self._options = options or Options()
        self._installer = Installer(self._options.limit_seconds)
        self._fingerprints: dict[tuple[str, int, int, int], str] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._making: dict[str, asyncio.Lock] = {}

    def needs(self, replica: ReplicaSpec) -> bool:
        """Whether `replica` runs in an environment of ours; False: with the machine's own programs. Microseconds."""
        return replica.package is not None or self._recipe(replica.image_uri) is not None

    async def prepare(self, replica: ReplicaSpec, say: Say) -> Prepared:
        """The environment of `replica`, made if need be; `say` hears what takes long.

        Raises PreparationFailed with one sentence: a package that is not there, a requirement that cannot be met, no
        way to the package index, a full disk. Cancelling ends the installation and leaves nothing behind.
        """
        try:
            return await self._found_or_made(replica, say)
        except OSError as odd:
            what = f"The Python environment for {replica.image_uri} could not be made"
            raise PreparationFailed(f"{what}: {odd.filename}: {odd.strerror}.") from odd

    async def _found_or_made(self, replica: ReplicaSpec, say: Say) -> Prepared:
        wanted = await self._wanted(replica)
        if ready := self._find(wanted):
            return ready
        async with self._making.setdefault(wanted.key, asyncio.Lock()), self._alone(wanted.key):
            return self._find(wanted) or await self._make(wanted, say)

    def _recipe(self, image_uri: str) -> Recipe | None:
        if self._options.prebuilt == "host":
            return None
        return recipe_of(image_uri, self._options.images, gpus=self._options.gpus)

    async def _wanted(self, replica: ReplicaSpec) -> _Wanted:
        recipe = self._recipe(replica.image_uri)
        uris = replica.package.uris if replica.package else ()
        packages = tuple([await self._package(uri) for uri in uris])
        python = self._options.python
        if self._options.prebuilt == "host":
            python = shutil.which(self._options.host_python) or python
        if recipe and recipe.python:
            python = await self._installer.python(recipe.python) or python
        content = json.dumps(
            [
                _FORMAT,
                recipe and [recipe.exact, recipe.newest, recipe.says],
                [held for _, held in packages],
                python,
                sys.version,
                self._options.prebuilt,
                self._options.gpus,
                os.environ.get("UV_TORCH_BACKEND"),
            ]
        )
        key = hashlib.sha256(content.encode()).hexdigest()[:32]
        return _Wanted(key, replica.image_uri, recipe, packages, python)

    async def _package(self, uri: str) -> tuple[Path, str]:
        path = await asyncio.to_thread(self._locate, uri)
        stat = path.stat()
        seen = (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if seen not in self._fingerprints:
            self._fingerprints[seen] = await asyncio.to_thread(fingerprint, path)
        return path, self._fingerprints[seen]

    def _find(self, wanted: _Wanted) -> Prepared | None:
        """The environment where it is whole; its interpreter may have been taken away since it was made."""
        home = self._root / wanted.key
        if not (home / "bin" / "python").exists():
            return None
        if wanted.key not in self._notes:
            try:
                self._notes[wanted.key] = tuple(json.loads((home / _NOTES).read_text("utf-8")))
            except (FileNotFoundError, ValueError):
                return None
        notes = tuple(note.replace(_IMAGE, wanted.image_uri) for note in self._notes[wanted.key])
        return Prepared(home / "bin", {"VIRTUAL_ENV": str(home)}, notes)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Hold the lock of one environment against other servers; a killed holder's lock is free at once."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / f"{key}.lock").open("w") as lock:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                await asyncio.sleep(_SECONDS_BETWEEN_LOCK_TRIES)
            yield

    async def _make(self, wanted: _Wanted, say: Say) -> Prepared:
        for left_over in (*self._root.glob(f"{wanted.key}.*.making"), self._root / wanted.key):
            await asyncio.to_thread(shutil.rmtree, left_over, ignore_errors=True)
        making = self._root / f"{wanted.key}.{uuid.uuid4().hex[:8]}.making"
        say(f"Preparing a Python environment for {wanted.image_uri}; this is done once for the same content.")
        try:
            notes = await self._fill(making, wanted, say)
            (making / _NOTES).write_text(json.dumps(notes), "utf-8")
            await asyncio.to_thread(os.sync)
            making.rename(self._root / wanted.key)
        except InstallFailed as failed:
            sentence = f"The Python environment for {wanted.image_uri} could not be made: {failed}"
            raise PreparationFailed(sentence) from None
        finally:
            await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)
        found = self._find(wanted)
        if found is None:
            raise PreparationFailed(f"The Python environment {self._root / wanted.key} vanished after it was made.")
        return found

    async def _fill(self, making: Path, wanted: _Wanted, say: Say) -> list[str]:
        """Make the environment at `making` and answer with its notes."""
        host = self._options.prebuilt == "host"
        await self._installer.create(making, wanted.python, see_host_packages=host)
        if wanted.recipe:
            exact = await self._install_frameworks(making, wanted.recipe, say)
            note = await asyncio.to_thread(_stood_in_for, making, wanted.recipe, exact=exact)
        else:
            whose = "this machine's own Python packages" if host else "a Python environment of its own"
            note = f"The image {_IMAGE} is not run here; the program runs on this machine with {whose}."
        if wanted.packages:
            say(f"Installing {', '.join(path.name for path, _ in wanted.packages)} and what it requires.")
            await self._install_packages(making, wanted)
        return [note]

    async def _install_frameworks(self, making: Path, recipe: Recipe, say: Say) -> bool:
        """Install what the image would bring; whether it was to be had in the image's own versions."""
        if not recipe.exact:
            return True
        say(f"Installing {', '.join(recipe.exact)}.")
        cpu_torch = self._cpu_torch(recipe)
        try:
            await self._installer.install(making, recipe.exact, cpu_torch=cpu_torch, wheels_only=True)
        except InstallFailed as failed:
            if not recipe.newest or not failed.unsatisfiable:
                raise
        else:
            return True
        await self._installer.install(making, recipe.newest, cpu_torch=cpu_torch, wheels_only=True)
        return False

    async def _install_packages(self, making: Path, wanted: _Wanted) -> None:
        """Install copies, so that what was fingerprinted is what is installed even while an upload replaces it."""
        staging = making / "packages"
        copies = []
        for number, (path, expected) in enumerate(wanted.packages):
            copy = staging / str(number) / path.name
            copy.parent.mkdir(parents=True)
            await asyncio.to_thread(shutil.copyfile, path, copy)
            if await asyncio.to_thread(fingerprint, copy) != expected:
                raise PreparationFailed(f"The package at {path} was replaced while it was being read; submit again.")
            copies.append(copy.as_uri())
        torch = wanted.recipe is not None and self._cpu_torch(wanted.recipe)
        await self._installer.install(making, copies, cpu_torch=torch)
        await asyncio.to_thread(shutil.rmtree, staging)

    def _cpu_torch(self, recipe: Recipe) -> bool:
        return recipe.torch and not self._options.gpus


def _stood_in_for(home: Path, recipe: Recipe, *, exact: bool) -> str:
    """One sentence saying what an image's program gets here, and where that differs from the image."""
    (library,) = home.glob("lib/python*")
    python = library.name.removeprefix("python")
    installed = {d.name: d.version for d in distributions(path=[str(library / "site-packages")])}
    what = f"{recipe.framework} {installed[recipe.framework]}" if recipe.framework else ", ".join(recipe.exact)
    what = what or "no packages"
    differs = []
    if not exact:
        differs.append(f"the image has {recipe.version}, which does not exist for this Python or platform")
    if recipe.python and recipe.python != python:
        differs.append(f"the image has Python {recipe.python}, which is not installed on this machine")
    if recipe.says:
        differs.append(recipe.says)
    note = f"The image {_IMAGE} is not run here; the program runs on this machine with {what} and Python {python}"
    return "; ".join((note, *differs)) + "."
