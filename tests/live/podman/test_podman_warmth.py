"""The image of a persistent resource is fetched when the resource is created: one here, one elsewhere, one nowhere."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import images
import pytest
from contained import opened, options
from real_clock import RealClock
from test_podman_faults import pulled, registry, served

from trainyard.core.errors import Unavailable
from trainyard.executors.local.client import open_executor

__all__ = ["served"]  # a fixture of another file's


async def warmed(folder: Path, image: str, *packages: str) -> str:
    """What an executor with podman for everything, which never pulls, says."""
    async with opened(folder) as executor:
        return await executor.warm(image, packages)


def test_an_image_that_is_here_is_ready(tmp_path: Path) -> None:
    """Packages are not in it: each container installs them, and that is said."""
    assert asyncio.run(warmed(tmp_path, images.PYTHON)) == f"The image {images.PYTHON} is here."
    assert "installed in each container" in asyncio.run(warmed(tmp_path, images.PYTHON, "gs://b/p.tar.gz"))


def test_an_image_is_there_before_the_first_job(tmp_path: Path, served: dict[str, tuple[int, str, bytes]]) -> None:
    """Fetched when the resource is created; a job then runs although its registry is gone."""
    registries = tmp_path / "registries.conf"
    environment = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(registries)}

    async def story(image: str) -> str:
        told = replace(options(tmp_path / "data", pull="missing"), environment=environment)
        executor = await open_executor(tmp_path / "data", RealClock(), told)
        try:
            return await executor.warm(image, ())
        finally:
            await executor.close()

    with registry(served) as where:
        registries.write_text(f'[[registry]]\nlocation = "{where}"\ninsecure = true\n')
        assert asyncio.run(story(f"{where}/bb:1")) == f"The image {where}/bb:1 is here."
    seen, text = pulled(tmp_path / "data", f"{where}/bb:1", where)
    assert text == "here\n", seen
    subprocess.run(["podman", "rmi", f"{where}/bb:1"], check=True, capture_output=True)


def test_an_image_that_is_nowhere_is_one_sentence(tmp_path: Path) -> None:
    """It names the image and says what to do."""
    with pytest.raises(Unavailable, match=r"localhost/trainyard-test/nowhere:1"):
        asyncio.run(warmed(tmp_path, "localhost/trainyard-test/nowhere:1"))
