"""The local executor with every replica in a container: what the tests of this folder speak with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import images
from real_clock import RealClock

from trainyard.core.runs import RunGroup
from trainyard.executors.local.client import LocalExecutor, LocalOptions
from trainyard.executors.local.containers import ContainerOptions


class InContainers(LocalExecutor):
    """A replica that names no image runs in the one with Python."""

    async def launch(self, group: RunGroup) -> None:
        """As the executor, with the image filled in."""
        named = tuple(replace(spec, image_uri=spec.image_uri or images.PYTHON) for spec in group.replicas)
        await super().launch(replace(group, replicas=named))


def options(folder: Path, **changed: Any) -> LocalOptions:
    """Podman for every replica, and `folder` visible inside under its own name."""
    containers = ContainerOptions(runtime="podman", pull="never", mounts=((str(folder), str(folder), False),))
    folder.mkdir(parents=True, exist_ok=True)
    return LocalOptions(gpus=(), containers=replace(containers, **changed))


async def start(folder: Path, **changed: Any) -> LocalExecutor:
    """An executor that is up."""
    executor = InContainers(folder.resolve(), RealClock(), options(folder, **changed))
    await executor.start()
    return executor


@asynccontextmanager
async def opened(folder: Path, **changed: Any) -> AsyncIterator[LocalExecutor]:
    """An executor that is closed afterwards."""
    executor = await start(folder, **changed)
    try:
        yield executor
    finally:
        await executor.close()


def containers_of(folder: Path) -> list[str]:
    """Names of the containers and networks that podman holds of this data directory."""
    label = f"label=trainyard.runs={folder.resolve()}/runs"
    found = []
    for words in (("ps", "--all", "--format", "{{.Names}}"), ("network", "ls", "--format", "{{.Name}}")):
        found += podman(folder, *words, "--filter", label).split()
    return found


def podman(folder: Path, *words: str) -> str:
    """What podman prints, configured as the executor over `folder` has it."""
    env = {**os.environ, "CONTAINERS_CONF": f"{folder.resolve()}/containers/containers.conf"}
    return subprocess.run(["podman", *words], env=env, capture_output=True, text=True, check=True).stdout
