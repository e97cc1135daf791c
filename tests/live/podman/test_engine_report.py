"""What `trainyard doctor` finds out about podman by using it."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from trainyard.executors.local.engine_report import podman_findings


def test_podman_is_tried(tmp_path: Path) -> None:
    """Each talent has its line, a container was started, and nothing of the trial is left."""
    found = {each["name"]: each for each in asyncio.run(podman_findings(tmp_path))}
    assert {"podman", "container limits", "container network", "container init", "image storage"} <= set(found)
    assert found["container start"]["good"], found
    assert (tmp_path / "containers/containers.conf").exists()
    assert all(each["remedy"] for each in found.values() if not each["good"])
    left = subprocess.run(["podman", "image", "exists", "localhost/trainyard/probe"], check=False)
    assert left.returncode != 0


def test_a_machine_without_podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line: what runs instead, and what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (only,) = asyncio.run(podman_findings(tmp_path))
    assert (only["name"], only["good"]) == ("podman", False)
    assert "not in their images" in str(only["found"])
    assert str(only["remedy"]).startswith("apt-get install podman")


def test_a_podman_that_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words, and a way on."""
    (tmp_path / "podman").write_text("#!/bin/sh\necho 'Error: newuidmap: not found' >&2\nexit 125\n")
    (tmp_path / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (only,) = asyncio.run(podman_findings(tmp_path))
    assert "newuidmap: not found" in str(only["found"])
    assert only["remedy"] == "apt-get install uidmap"
