"""kill -9 of any agent at any time: no byte, no exit code, no process and no start is lost or doubled."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from executor_suite import BUSY_SECONDS, a_group, end, phase, reading, shell, until
from real_clock import RealClock
from test_trees import alive, of_group, opened, python

from trainyard.agent import processes, records
from trainyard.core.log_files import CLOSED, INDEX, INDEX_RECORD
from trainyard.core.runs import Cause, Phase, ReplicaSpec, Resources, RunGroup
from trainyard.executors.local.client import LocalExecutor, LocalOptions, open_executor

FLOOD = """
import os, hashlib
block = bytes(range(256)) * 400
total, check = {size}, hashlib.sha256()
left = total
while left:
    part = block[:min(left, len(block))]
    view = memoryview(part)
    while view:
        view = view[os.write(1, view):]
    check.update(part)
    left -= len(part)
os.write(2, check.hexdigest().encode())
"""


def state(group: RunGroup, tmp_path: Path) -> records.State:
    """What the agents have written of a group's first replica."""
    return records.read_state(records.control_path(str(tmp_path / "runs"), group.run_id, "workerpool0-0", 0))


def agents(group: RunGroup, tmp_path: Path) -> tuple[int, int]:
    """The pids of guard and supervisor of a running group; 0 where one is gone."""
    running = state(group, tmp_path).running
    assert running is not None
    main = processes.read(running["pid"])
    assert main is not None
    supervisor = processes.read(main.parent)
    assert supervisor is not None
    return supervisor.parent, supervisor.pid


def stdout(group: RunGroup, tmp_path: Path) -> Path:
    """Where the output lies."""
    return tmp_path / "logs" / str(group.job_id) / "1.workerpool0-0.0" / "stdout"


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("who", ["nobody", "supervisor", "guard"])
def test_a_flood_loses_no_byte(tmp_path: Path, who: str) -> None:
    """100 MB of output are on disk to the byte, also when one agent is killed in the middle of it."""

    async def story() -> None:
        executor = await opened(tmp_path)
        size = 100_000_000
        group = a_group(python(FLOOD.format(size=size)))
        began = time.monotonic()
        await executor.launch(group)
        log = stdout(group, tmp_path)
        if who != "nobody":

            async def flowing() -> bool:
                return log.exists() and log.stat().st_size > size // 20

            await until(flowing, "the flood")
            kill(agents(group, tmp_path)[who == "supervisor"])
        assert (await end(executor, group)).code == 0
        took = time.monotonic() - began
        digest = hashlib.sha256(log.read_bytes()).hexdigest()
        assert digest == log.with_name("stderr").read_text()
        assert log.stat().st_size == size
        records = list(INDEX_RECORD.iter_unpack(log.with_name(INDEX).read_bytes()))
        ends = [packed >> 1 for _, packed in records if not packed & 1]
        assert ends == sorted(ends)
        assert ends[-1] == size
        assert log.with_name(CLOSED).exists()
        assert took < 20 + BUSY_SECONDS
        await executor.close()

    asyncio.run(story())


@pytest.mark.parametrize("who", ["supervisor", "guard"])
def test_one_dead_agent_changes_nothing(tmp_path: Path, who: str) -> None:
    """The other one knows the exit code, obeys the stop and ends the tree."""

    async def story() -> None:
        executor = await opened(tmp_path)
        ending = a_group(f"echo a; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo b; exit 6")
        stopped = a_group("trap 'exit 4' TERM; sleep 1000 & setsid sleep 1000 & while :; do sleep 0.02; done")
        for group in (ending, stopped):
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
            kill(agents(group, tmp_path)[who == "supervisor"])
        (tmp_path / "go").touch()
        assert (await end(executor, ending)).code == 6
        assert stdout(ending, tmp_path).read_bytes() == b"a\nb\n"
        await executor.stop(stopped.run_id, 5.0)
        seen = await end(executor, stopped)
        assert (seen.cause, seen.code) == (Cause.STOPPED, 4)
        assert of_group(stopped) == []
        await executor.close()

    asyncio.run(story())


@pytest.mark.parametrize("watched", [True, False])
def test_two_dead_agents_are_a_loss_that_is_told(tmp_path: Path, watched: bool) -> None:
    """LOST comes with a sentence, after every process of the replica has been ended, whether or not a server was up."""

    async def story() -> None:
        executor = await opened(tmp_path)
        group = a_group(f"echo up; setsid sleep 1000 & env -i sleep 1000 & echo $! >{tmp_path}/pid; sleep 1000")
        await executor.launch(group)
        await phase(executor, group, Phase.RUNNING)

        async def up() -> bool:
            return len(of_group(group)) >= 3 and (tmp_path / "pid").exists() and stdout(group, tmp_path).exists()

        await until(up, "the tree")
        pair = agents(group, tmp_path)
        if not watched:
            await executor.close()
        for pid in pair:
            kill(pid)
        if not watched:
            executor = await opened(tmp_path)
        began = time.monotonic()
        seen = await end(executor, group)
        assert time.monotonic() - began < 2.0 + BUSY_SECONDS
        assert seen.cause is Cause.LOST
        assert "agents were killed" in seen.message
        assert of_group(group) == []
        assert not alive(int((tmp_path / "pid").read_text()))
        assert stdout(group, tmp_path).with_name(CLOSED).exists()
        await executor.close()

    asyncio.run(story())


def test_a_dead_spawner_costs_no_launch(tmp_path: Path) -> None:
    """Killed again and again under a stream of launches: each program runs exactly once."""

    async def story() -> None:
        executor = await opened(tmp_path)
        groups = [a_group(f"echo x >>{tmp_path}/w{number}") for number in range(60)]
        for number, group in enumerate(groups):
            await executor.launch(group)
            if number % 15 == 7 and executor.spawner_pid:
                kill(executor.spawner_pid)
                await asyncio.sleep(0.1)
        for number, group in enumerate(groups):
            assert (await end(executor, group)).code == 0
            assert (tmp_path / f"w{number}").read_text() == "x\n"
        await executor.close()

    asyncio.run(story())


@pytest.mark.kill
def test_agents_killed_at_random(tmp_path: Path) -> None:
    """Sixty replicas, one or both agents killed at a random moment of each: one start, a true end, nothing left."""

    async def story() -> None:
        executor = await opened(tmp_path)
        chance = random.Random(20260101)
        for turn in range(60):
            group = a_group(f"echo x >>{tmp_path}/w{turn}; sleep 0.02; echo done; exit 3")
            await executor.launch(group)
            await asyncio.sleep(chance.random() * 0.05)
            before = set(processes_below(executor))
            victims = chance.sample(sorted(before), k=min(len(before), chance.choice((1, 1, 2))))
            for pid in victims:
                kill(pid)
            seen = await end(executor, group)
            runs = (tmp_path / f"w{turn}").read_text() if (tmp_path / f"w{turn}").exists() else ""
            assert len(runs) <= 2, "started twice"
            running = state(group, tmp_path).running
            hit_the_program = running is not None and running["pid"] in victims  # just forked, not yet executed
            assert seen.cause is Cause.LOST or hit_the_program or (seen.code, runs) == (3, "x\n"), seen
            assert seen.cause is not Cause.LOST or len(victims) == 2, seen
            if seen.cause is Cause.EXITED:
                assert stdout(group, tmp_path).read_bytes() == b"done\n"
            assert of_group(group) == []
        await executor.close()

    asyncio.run(story())


def processes_below(executor: LocalExecutor) -> list[int]:
    """The agents that the spawner has forked: Python processes below it, not the users' programs."""
    below = processes.descendants([executor.spawner_pid or 0])
    return [each.pid for each in below if b"trainyard.agent" in cmdline(each.pid)]


def cmdline(pid: int) -> bytes:
    """What a process was started with."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_what_an_earlier_server_held_is_not_given_twice(tmp_path: Path) -> None:
    """Ports and GPUs of a group that still runs are taken in the next server, and free after its release."""

    async def story() -> None:
        options = LocalOptions(gpus=("0", "1"))
        executor = await open_executor(tmp_path, RealClock(), options)
        spec = shell("echo $CUDA_VISIBLE_DEVICES; sleep 1000")
        first = a_group(with_gpus(spec, 1))
        await executor.launch(first)
        await phase(executor, first, Phase.RUNNING)
        await executor.close()
        executor = await open_executor(tmp_path, RealClock(), options)
        second = a_group(with_gpus(spec, 1))
        await executor.launch(second)
        await phase(executor, second, Phase.RUNNING)

        async def both() -> bool:
            logs = [stdout(group, tmp_path) for group in (first, second)]
            return {log.read_text() for log in logs if log.exists()} == {"0\n", "1\n"}

        await until(both, "each to have a GPU of its own")
        await executor.sweep([second.run_id])
        assert (await end(executor, first)).cause is Cause.STOPPED
        await executor.stop(second.run_id, 0.0)
        await end(executor, second)
        assert (await reading(executor, second)).of("workerpool0-0").phase is Phase.ENDED
        await executor.close()

    asyncio.run(story())


def with_gpus(spec: ReplicaSpec, count: int) -> ReplicaSpec:
    """The same replica, asking for GPUs."""
    return replace(spec, resources=Resources(gpus=count))
