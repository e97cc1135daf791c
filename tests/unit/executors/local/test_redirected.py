"""What a container is told in place of this machine's paths, so that TensorFlow in it finds gs://."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trainyard.core.runs import ReplicaSpec, RunGroup
from trainyard.executors.local.redirected import aimed

FOLDER = "/srv/trainyard/redirect/on_path"


def told(**variables: str) -> RunGroup:
    """A group whose replicas the service tells these."""
    replicas = (ReplicaSpec("workerpool0-0", 0, 0, "img:1"),)
    return RunGroup("7-1", "projects/1/locations/l/customJobs/7", 7, "1", "l", replicas, "{}", extra_env=variables)


def test_a_group_that_is_told_nothing_stays_as_it_is() -> None:
    """With a PYTHONPATH of the job's own nothing is mounted and no variable changes."""
    group = told(STORAGE_EMULATOR_HOST="http://127.0.0.1:1")
    assert asyncio.run(aimed(group, {"PYTHONPATH": "/app"}, "")) == (group, ())


def test_the_images_own_path_comes_after_ours(tmp_path: Path) -> None:
    """Folder and certificates have names inside that no image uses; what else is told stays."""
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    group = told(PYTHONPATH=FOLDER, TRAINYARD_REDIRECT_BUNDLE=str(bundle), OTHER="1")
    seen, mounts = asyncio.run(aimed(group, {"PYTHONPATH": "/app:/lib"}, ""))
    assert seen.extra_env == {
        "PYTHONPATH": "/run/trainyard/redirect/on_path:/app:/lib",
        "TRAINYARD_REDIRECT_BUNDLE": "/run/trainyard/bundle.pem",
        "OTHER": "1",
    }
    assert mounts == (
        ("/srv/trainyard/redirect", "/run/trainyard/redirect", True),
        (str(bundle), "/run/trainyard/bundle.pem", True),
    )


def test_without_a_tunnel_the_folder_is_mounted_alone() -> None:
    """Over TLS: no certificates are asked for."""
    seen, mounts = asyncio.run(aimed(told(PYTHONPATH=FOLDER), {}, "127.0.0.1:1"))
    assert seen.extra_env == {"PYTHONPATH": "/run/trainyard/redirect/on_path"}
    assert mounts == (("/srv/trainyard/redirect", "/run/trainyard/redirect", True),)


def test_certificates_that_nobody_makes_are_not_mounted(tmp_path: Path) -> None:
    """A service that does not answer costs TensorFlow its gs://, and no program its start."""
    group = told(PYTHONPATH=FOLDER, TRAINYARD_REDIRECT_BUNDLE=str(tmp_path / "bundle.pem"))
    seen, mounts = asyncio.run(aimed(group, {}, "127.0.0.1:1"))
    assert seen.extra_env["PYTHONPATH"] == "/run/trainyard/redirect/on_path"
    assert [target for _, target, _ in mounts] == ["/run/trainyard/redirect"]
