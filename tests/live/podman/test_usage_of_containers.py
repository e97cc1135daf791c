"""What containers use is sampled from their own processes or control groups, whoever is the parent of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from contained import InContainers, options
from executor_suite import a_group, end, phase, until
from real_clock import RealClock
from test_docker_engine import CONFIG, Service

from trainyard.core.runs import Phase
from trainyard.core.usage_records import USAGE, Sample, samples

PROGRAM = """
import time
held = b"x" * (48 << 20)
while time.process_time() < 1.0:
    sum(range(1000))
print("worked", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Docker's API, served by podman."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "containers.conf").write_text(CONFIG)
    service = Service(folder)
    yield service.address
    service.close()


@pytest.mark.parametrize("runtime", ["podman", "docker"])
def test_a_container_is_sampled(tmp_path: Path, docker_host: str, runtime: str) -> None:
    """Its CPU and memory, not those of the engine's programs beside it."""

    async def story() -> None:
        chosen = options(tmp_path, runtime=runtime, docker_host=docker_host if runtime == "docker" else "")
        executor = InContainers(tmp_path.resolve(), RealClock(), replace(chosen, usage_interval=0.3))
        await executor.start()
        group = a_group("")
        group = replace(group, replicas=(replace(group.replicas[0], command=("python3", "-c", PROGRAM), args=()),))
        path = tmp_path / "logs" / str(group.job_id) / "1.workerpool0-0.0" / USAGE
        await executor.launch(group)
        await phase(executor, group, Phase.RUNNING)

        async def full() -> Sample | None:
            found = list(samples(path.read_bytes())) if path.exists() else []
            return found[-1] if found and found[-1].cpu_us >= 900_000 else None

        newest = await until(full, "a second of CPU", 60.0)
        assert 48 << 20 < newest.memory_bytes < 200 << 20
        assert 1_000_000 * 0.9 <= newest.cpu_us < 4_000_000
        assert 1 <= newest.processes <= 2  # with or without an init
        await executor.stop(group.run_id, 0.0)
        await end(executor, group)
        await executor.close()

    asyncio.run(story())
