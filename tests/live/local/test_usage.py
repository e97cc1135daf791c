"""What replicas use is sampled and on disk, whichever of the agents is killed; a short program leaves nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from executor_suite import a_group, end, phase, until
from real_clock import RealClock
from test_kills import agents, kill
from test_trees import python

from trainyard.agent import processes
from trainyard.core.log_files import CLOSED
from trainyard.core.runs import Phase, RunGroup
from trainyard.core.usage_records import RECORD, USAGE, Sample, samples
from trainyard.executors.local.client import LocalExecutor, LocalOptions, open_executor

MEGABYTES = 64
MOST_SECONDS_BETWEEN_SAMPLES = 180.0  # what one costs on a busy machine, five-thousand-fold
WORK = f"""
import os, time
held = bytearray(os.urandom(1 << 20) * {MEGABYTES})
if os.fork() == 0:
    until = time.process_time() + 0.5
    while time.process_time() < until: pass
    if os.fork() == 0:
        os.setsid()
        until = time.process_time() + 0.3
        while time.process_time() < until: pass
        os._exit(0)
    os._exit(0)
os.wait()
with open("written", "wb") as file:
    file.write(held)
    os.fsync(file.fileno())
print("ready", flush=True)
time.sleep(600)
"""


async def opened_with(folder: Path, seconds: float) -> LocalExecutor:
    """An executor that samples so often."""
    return await open_executor(folder, RealClock(), LocalOptions(gpus=(), usage_interval=seconds))


def file_of(group: RunGroup, folder: Path) -> Path:
    return folder / "logs" / str(group.job_id) / "1.workerpool0-0.0" / USAGE


def read(path: Path) -> list[Sample]:
    return list(samples(path.read_bytes())) if path.exists() else []


@asynccontextmanager
async def held(pid: int) -> AsyncIterator[None]:
    """A process that stands still meanwhile, unless it is killed."""
    os.kill(pid, signal.SIGSTOP)

    async def stands() -> bool:
        process = processes.read(pid)
        return process is not None and process.state == "T"

    await until(stands, f"{pid} to stand still")
    yield
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.kill
@pytest.mark.parametrize("who", ["nobody", "supervisor", "guard"])
def test_a_tree_is_sampled_whoever_is_killed(tmp_path: Path, who: str) -> None:
    """CPU of ended processes, orphans included, memory and written bytes; counts never fall, also over a takeover."""

    async def story() -> None:
        executor = await opened_with(tmp_path, 0.2)
        group = a_group(python(WORK))
        path = file_of(group, tmp_path)
        await executor.launch(group)
        await phase(executor, group, Phase.RUNNING)

        async def full() -> bool:
            last = next(reversed(read(path)), Sample(0))
            return last.processes == 1 and last.cpu_us >= 780_000 and last.memory_bytes > MEGABYTES << 20

        await until(full, "the work to show", MOST_SECONDS_BETWEEN_SAMPLES)
        pair = agents(group, tmp_path)
        async with held(pair[1]):  # who writes the samples writes none while we count and tear
            if who != "nobody":
                with path.open("ab") as file:
                    file.write(b"torn")
                kill(pair[who == "supervisor"])
            before = len(read(path))

        async def more() -> list[Sample] | None:
            found = read(path)
            return found if len(found) > before else None

        found = await until(more, "further samples", MOST_SECONDS_BETWEEN_SAMPLES)
        assert found[-1].processes == 1
        await executor.stop(group.run_id, 0.0)
        await end(executor, group)
        found = read(path)
        assert path.stat().st_size % RECORD.size == 0
        assert found[0]._replace(time_us=0) == Sample(0)
        for early, late in pairwise(found):
            assert early.time_us < late.time_us
            assert early.cpu_us <= late.cpu_us
            assert early.written_bytes <= late.written_bytes
        assert path.with_name(CLOSED).exists()
        await executor.close()

    asyncio.run(story())


def test_a_short_program_leaves_no_sample(tmp_path: Path) -> None:
    """Who ends before the first interval is over costs nothing and leaves no file; 0 takes none at all."""

    async def story() -> None:
        for seconds in (30.0, 0.0):
            executor = await opened_with(tmp_path, seconds)
            group = a_group("sleep 0.3")
            await executor.launch(group)
            await end(executor, group)
            assert not file_of(group, tmp_path).parent.exists()
            await executor.close()

    asyncio.run(story())


def test_a_restarted_server_and_replica_go_on(tmp_path: Path) -> None:
    """The agents sample without a server; the next incarnation has a file of its own; a deleted job leaves none."""

    async def story() -> None:
        first = await opened_with(tmp_path, 0.1)
        group = a_group("sleep 600")
        await first.launch(group)
        await phase(first, group, Phase.RUNNING)
        await first.close()

        async def sampled() -> bool:
            return len(read(file_of(group, tmp_path))) > 3

        await until(sampled, "samples without a server")
        second = await opened_with(tmp_path, 0.1)
        await second.stop(group.run_id, 0.0)
        await end(second, group)
        assert read(file_of(group, tmp_path))[-1].memory_bytes > 0
        await second.forget(group.job_id)
        assert not file_of(group, tmp_path).exists()
        await second.close()

    asyncio.run(story())
