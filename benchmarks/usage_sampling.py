"""What it costs to sample what replicas use.

Fifty replicas of three processes each run for a while twice side by side, sampled at the default interval and not at
all. The figure is the CPU time that the agents of the first took more than those of the second, as a share of a core.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.harness import Row

from trainyard.agent import processes, records
from trainyard.app import SystemClock
from trainyard.core.runs import Phase, ReplicaSpec, RunGroup
from trainyard.executors.local.client import LocalExecutor, LocalOptions, open_executor

REPLICAS = 50
PROGRAM = ("/bin/sh", "-c", "sleep 900 & sleep 900 & wait")
SETTLE_SECONDS = 3.0
INTERVAL_SECONDS = 10.0


def a_group() -> RunGroup:
    replicas = tuple(ReplicaSpec(f"workerpool0-{index}", 0, index, "", PROGRAM) for index in range(REPLICAS))
    return RunGroup("1-1", "projects/1/locations/bench/customJobs/1", 1, "1", "bench", replicas, "{}")


@contextlib.asynccontextmanager
async def running(folder: Path, interval: float) -> AsyncIterator[list[int]]:
    """The agents of fifty replicas that run."""
    executor = await open_executor(folder, SystemClock(), LocalOptions(gpus=(), usage_interval=interval))
    group = a_group()
    await executor.launch(group)
    await phase(executor, group, Phase.RUNNING)
    try:
        yield [agent for spec in group.replicas for agent in agents(folder, group.run_id, spec.name)]
    finally:
        await executor.stop(group.run_id, 0.0)
        await phase(executor, group, Phase.ENDED)
        await executor.close()


async def phase(executor: LocalExecutor, group: RunGroup, wanted: Phase) -> None:
    while True:
        reading = (await executor.observe([group.run_id]))[group.run_id]
        if all(reading.of(spec.name).phase is wanted for spec in group.replicas):
            return
        await asyncio.sleep(0.05)


def agents(folder: Path, run_id: str, replica: str) -> list[int]:
    """Supervisor and guard."""
    state = records.read_state(records.control_path(str(folder / "runs"), run_id, replica, 0)).running
    program = processes.read(state["pid"]) if state else None
    supervisor = processes.read(program.parent) if program else None
    if supervisor is None:
        raise RuntimeError(f"{replica} does not run")
    return [supervisor.pid, supervisor.parent]


def cpu_seconds(pids: list[int]) -> float:
    """On a core so far, by the scheduler's own count (proc(5), schedstat)."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


async def cost(seconds: float) -> tuple[float, float]:
    """CPU seconds that the agents took within these seconds: sampling, and not."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        async with running(Path(one), INTERVAL_SECONDS) as sampled, running(Path(other), 0.0) as left_alone:
            await asyncio.sleep(SETTLE_SECONDS)
            before = cpu_seconds(sampled), cpu_seconds(left_alone)
            await asyncio.sleep(seconds)
            after = cpu_seconds(sampled), cpu_seconds(left_alone)
    return after[0] - before[0], after[1] - before[1]


def measure(quick: bool) -> list[Row]:
    seconds = INTERVAL_SECONDS * (2 if quick else 6)
    with_sampling, without = asyncio.run(cost(seconds))
    rounds = f"{seconds / INTERVAL_SECONDS:.0f} samples of each"
    note = f"{rounds}; the agents took {with_sampling:.2f} s of CPU, without them {without:.2f} s"
    share = (with_sampling - without) / seconds * 100
    return [Row("sampling what 50 replicas use", share, "% of a core", "≤ 1", note=note)]
