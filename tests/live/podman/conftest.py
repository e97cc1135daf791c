"""Containers for real, where podman is installed; elsewhere each of these tests says why it did not run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

for _folder in ("seams", "live/local", "live/podman"):
    sys.path.insert(0, str(Path(__file__).parents[2] / _folder))

import images  # noqa: E402 - beside us, found by the line above


def _why_not() -> str:
    for program, package in (("podman", "podman"), ("busybox", "busybox-static")):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install {package})"
    try:
        done = subprocess.run(["podman", "info"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"podman does not work here: {error}"
    return "" if done.returncode == 0 else f"podman does not work here: {done.stderr.strip()[-200:]}"


@pytest.fixture(scope="session", autouse=True)
def _images() -> None:
    """The images of these tests, or the reason why there are none."""
    if why := _why_not():
        pytest.skip(why)
    images.build()
