"""GPUs reach a container by CDI, by descriptions of devices that are none: what podman does with them is real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import images
import pytest
from contained import InContainers, options
from executor_suite import a_group, end
from real_clock import RealClock
from test_podman_runtime import output, spec

from trainyard.core.runs import Cause, Exit, ReplicaSpec, Resources

DESCRIPTIONS = Path("/var/run/cdi")
_LOOK = "echo $GIVEN $CUDA_VISIBLE_DEVICES; ls /dev | grep nvidia; sleep 1"


@pytest.fixture
def described() -> Iterator[None]:
    """Devices 0 and 5, each a node that is /dev/null, for as long as a test runs."""
    if any(folder.is_dir() and any(folder.iterdir()) for folder in (DESCRIPTIONS, Path("/etc/cdi"))):
        pytest.skip("this machine describes devices of its own by CDI")
    if os.geteuid() != 0:
        pytest.skip("only root may describe devices")
    devices = [
        {
            "name": name,
            "containerEdits": {
                "env": [f"GIVEN=gpu{name}"],
                "deviceNodes": [{"path": f"/dev/nvidia{name}", "type": "c", "major": 1, "minor": 3}],
            },
        }
        for name in ("0", "5")
    ]
    DESCRIPTIONS.mkdir(exist_ok=True)
    path = DESCRIPTIONS / "trainyard-test.json"
    path.write_text(json.dumps({"cdiVersion": "0.3.0", "kind": "nvidia.com/gpu", "devices": devices}))
    try:
        yield
    finally:
        path.unlink()
        with contextlib.suppress(OSError):
            DESCRIPTIONS.rmdir()


def ends(folder: Path, *specs: ReplicaSpec) -> tuple[dict[str, Exit], dict[str, str]]:
    """How replicas ended, and what they wrote, on a machine whose GPUs are 0 and 5."""

    async def story() -> tuple[dict[str, Exit], dict[str, str]]:
        executor = InContainers(folder.resolve(), RealClock(), replace(options(folder), gpus=("0", "5")))
        await executor.start()
        try:
            await executor.launch(group := a_group(*specs))
            ended = {each.name: await end(executor, group, each.name) for each in specs}
            await executor.release(group.run_id)
            return ended, {each.name: output(folder, group, each.name) for each in specs}
        finally:
            await executor.close()

    return asyncio.run(story())


def wants_one(name: str) -> ReplicaSpec:
    """A replica with one GPU, that says what it sees."""
    pool = int(name.removeprefix("workerpool").partition("-")[0])
    asking = spec(images.BUSYBOX, "/bin/sh", "-c", _LOOK, resources=Resources(gpus=1))
    return replace(asking, name=name, pool=pool)


@pytest.mark.usefixtures("described")
def test_each_container_has_its_own_gpu_and_no_other(tmp_path: Path) -> None:
    """Device node and variables of its own device; the program counts from 0."""
    ended, said = ends(tmp_path, wants_one("workerpool0-0"), wants_one("workerpool1-0"))
    assert {each.code for each in ended.values()} == {0}, ended
    assert sorted(said.values()) == ["gpu0 0\nnvidia0\n", "gpu5 0\nnvidia5\n"]


def test_gpus_that_nobody_described(tmp_path: Path) -> None:
    """The sentence says which command, run once as root, describes them."""
    if DESCRIPTIONS.is_dir() or Path("/etc/cdi").is_dir():
        pytest.skip("this machine describes devices of its own by CDI")
    ended, _ = ends(tmp_path, wants_one("workerpool0-0"))
    seen = ended["workerpool0-0"]
    assert seen.cause is Cause.START_FAILED
    assert "nvidia-ctk cdi generate" in seen.message
