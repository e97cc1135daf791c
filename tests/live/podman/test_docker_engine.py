"""The executor keeps its promise by Docker's API, too: here the one that podman serves on a socket."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from contained import start
from executor_suite import ExecutorSuite, a_group, end, phase

from trainyard.core.runs import Cause, Phase
from trainyard.executor import Executor

pytest.importorskip("docker", reason="the extra docker is not installed")


CONFIG = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_backend = "netavark"
"""


class Service:
    """podman's socket, up."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix://{folder}/podman.sock"
        self.process = subprocess.Popen(
            ["podman", "--events-backend", "none", "system", "service", "--time", "0", self.address],
            env={**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")},
        )
        deadline = time.monotonic() + 60
        while not (folder / "podman.sock").exists():
            assert time.monotonic() < deadline, "podman's service did not come up"
            time.sleep(0.02)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "containers.conf").write_text(CONFIG)
    running = Service(folder)
    yield running
    running.close()


class TestDockerExecutor(ExecutorSuite):
    """The whole suite, by the docker package."""

    address = ""
    sees_signals = False

    @pytest.fixture(autouse=True)
    def _address(self, service: Service) -> None:
        self.address = service.address

    async def open(self, folder: Path) -> Executor:
        return await start(folder, runtime="docker", docker_host=self.address)


def test_an_engine_that_dies_in_the_middle(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The replica is lost, and the sentence says that its engine went away."""

    async def story() -> None:
        folder = tmp_path_factory.mktemp("dying")
        (folder / "containers.conf").write_text(CONFIG)
        dying = Service(folder)
        executor = await start(tmp_path, runtime="docker", docker_host=dying.address, network="host")
        await executor.launch(group := a_group("echo up; sleep 30"))
        await phase(executor, group, Phase.RUNNING)
        while b"up" not in b"".join(path.read_bytes() for path in tmp_path.glob("logs/**/stdout")):
            await asyncio.sleep(0.02)
        dying.process.send_signal(signal.SIGKILL)
        seen = await end(executor, group)
        await executor.close()
        assert seen.cause is Cause.LOST
        assert "went away while it ran" in seen.message
        label = f"label=trainyard.runs={tmp_path.resolve()}/runs"  # nobody came up after it who could
        held = subprocess.run(["podman", "ps", "-aq", "--filter", label], capture_output=True, text=True, check=True)
        subprocess.run(["podman", "rm", "-f", "-t", "0", *held.stdout.split()], capture_output=True, check=True)

    asyncio.run(story())


def test_an_engine_that_cannot_be_reached(tmp_path: Path) -> None:
    """Nobody listens on the socket: a sentence that names the setting."""

    async def story() -> None:
        executor = await start(tmp_path, runtime="docker", docker_host=f"unix://{tmp_path}/nobody.sock")
        await executor.launch(group := a_group("true"))
        seen = await end(executor, group)
        await executor.close()
        assert (seen.cause, seen.internal) == (Cause.START_FAILED, True)
        assert "docker_host" in seen.message

    asyncio.run(story())
