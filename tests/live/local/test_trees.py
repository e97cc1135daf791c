"""No process outlives its replica: whatever it forks, wherever it hides, whatever it ignores."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from executor_suite import BUSY_SECONDS, a_group, end, phase, until
from real_clock import RealClock

from trainyard.agent import processes
from trainyard.core.runs import Cause, Phase, ReplicaSpec, RunGroup
from trainyard.executors.local.client import LocalExecutor, LocalOptions, open_executor

# Double fork, setsid, deaf to SIGTERM, environment scrubbed, output closed: as hidden as a process can be.
HIDDEN = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for descriptor in range(3):
            os.close(descriptor)
        with open(sys.argv[1], "w") as file:
            file.write(str(os.getpid()))
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
"""
FORKS_FOR_EVER = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("up", "w").close()
while True:
    try:
        if os.fork() == 0:
            os.setsid()
        time.sleep(0.001)
    except OSError:
        time.sleep(0.001)
"""


def python(script: str, *args: str) -> ReplicaSpec:
    """A replica that runs a Python script with this machine's Python."""
    return ReplicaSpec("workerpool0-0", 0, 0, "", command=("/usr/bin/env", "python3", "-S", "-c"), args=(script, *args))


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    process = processes.read(pid)
    return process is not None and process.is_alive


def of_group(group: RunGroup) -> list[int]:
    """The living processes that carry the group's marker."""
    found = []
    for process in processes.everyone():
        try:
            environ = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            continue
        if f"TRAINYARD_RUN={group.run_id}/".encode() in environ and process.is_alive:
            found.append(process.pid)
    return found


async def opened(folder: Path) -> LocalExecutor:
    """An executor over the folder."""
    return await open_executor(folder, RealClock(), LocalOptions(gpus=()))


async def written(path: Path) -> int:
    """The pid that a program has written down."""

    async def look() -> int | None:
        return int(path.read_text()) if path.exists() and path.read_text() else None

    return await until(look, f"a pid in {path}")


def test_a_hidden_descendant_ends_with_its_program(tmp_path: Path) -> None:
    """A double-forked, deaf, scrubbed grandchild is gone when the exit record is there."""

    async def story() -> None:
        executor = await opened(tmp_path)
        group = a_group(python(HIDDEN, str(tmp_path / "pid")))
        await executor.launch(group)
        assert (await end(executor, group)).code == 0
        assert not alive(int((tmp_path / "pid").read_text()))
        await executor.close()

    asyncio.run(story())


def test_a_hidden_descendant_ends_on_a_stop(tmp_path: Path) -> None:
    """The same while its program is stopped: SIGTERM ends the one, SIGKILL the other."""

    async def story() -> None:
        executor = await opened(tmp_path)
        group = a_group(python(HIDDEN + "time.sleep(1000)", str(tmp_path / "pid")))
        await executor.launch(group)
        pid = await written(tmp_path / "pid")
        await executor.stop(group.run_id, 0.3)
        seen = await end(executor, group)
        assert seen.cause is Cause.STOPPED
        assert not alive(pid)
        await executor.close()

    asyncio.run(story())


def test_the_grace_is_for_the_whole_tree(tmp_path: Path) -> None:
    """A shell that dies at once does not cost its child the time to save a checkpoint."""

    async def story() -> None:
        executor = await opened(tmp_path)
        child = (
            "import signal,sys,time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), "
            "open(sys.argv[1], 'w').close(), sys.exit())); open(sys.argv[2], 'w').close(); time.sleep(1000)"
        )
        group = a_group(f'python3 -S -c "{child}" {tmp_path}/saved {tmp_path}/up; true')
        await executor.launch(group)

        async def up() -> bool:
            return (tmp_path / "up").exists()

        await until(up, "the child")
        await executor.stop(group.run_id, 20.0)
        assert (await end(executor, group)).cause is Cause.STOPPED
        assert (tmp_path / "saved").exists()
        await executor.close()

    asyncio.run(story())


@pytest.mark.slow
def test_a_program_that_forks_for_ever_is_ended(tmp_path: Path) -> None:
    """Processes that fork into sessions of their own, deaf to SIGTERM, up to a limit: all ended by one stop."""

    async def story() -> None:
        executor = await opened(tmp_path)
        limit = len(processes.everyone()) + 400
        # As root RLIMIT_NPROC does not count, so the bomb counts itself.
        script = FORKS_FOR_EVER.replace("if os.fork()", f"if len(os.listdir('/proc')) < {limit} and os.fork()")
        group = a_group(python(script))
        await executor.launch(group)
        await phase(executor, group, Phase.RUNNING)

        async def many() -> bool:
            return len(of_group(group)) > 150

        await until(many, "the bomb to grow")
        await executor.stop(group.run_id, 0.2)
        assert (await end(executor, group)).cause is Cause.STOPPED
        assert of_group(group) == []
        await executor.close()

    asyncio.run(story())


def test_stopped_processes_hear_the_stop(tmp_path: Path) -> None:
    """A program under SIGSTOP gets its SIGTERM and may answer it."""

    async def story() -> None:
        executor = await opened(tmp_path)
        group = a_group(f"trap 'exit 9' TERM; echo $$$$ >{tmp_path}/pid; kill -STOP $$$$; sleep 1000")
        await executor.launch(group)
        pid = await written(tmp_path / "pid")

        async def stopped() -> bool:
            process = processes.read(pid)
            return process is not None and process.state == "T"

        await until(stopped, "the program to stop itself")
        began = time.monotonic()
        await executor.stop(group.run_id, 60.0)
        assert (await end(executor, group)).code == 9
        assert time.monotonic() - began < 10 + BUSY_SECONDS
        await executor.close()

    asyncio.run(story())


def test_a_background_child_holds_up_neither_end_nor_output(tmp_path: Path) -> None:
    """What a stray child had written before the program's end is kept; the child itself is ended."""

    async def story() -> None:
        executor = await opened(tmp_path)
        group = a_group(f"(echo stray; exec sleep 1000) & echo $! >{tmp_path}/pid; sleep 0.2; echo x")
        began = time.monotonic()
        await executor.launch(group)
        assert (await end(executor, group)).code == 0
        assert time.monotonic() - began < 10 + BUSY_SECONDS
        assert not alive(int((tmp_path / "pid").read_text()))
        log = tmp_path / "logs" / str(group.job_id) / "1.workerpool0-0.0" / "stdout"
        assert sorted(log.read_text().split()) == ["stray", "x"]
        await executor.close()

    asyncio.run(story())


INSIDE = """
import os, sys
print(sorted(os.listdir("/proc/self/fd"))[:-1], os.readlink("/proc/self/fd/0"))
print(os.getsid(0) == os.getpid(), os.getcwd() == os.path.realpath(sys.argv[1]))
"""


def test_a_program_gets_three_descriptors_and_no_signal_ignored(tmp_path: Path) -> None:
    """Nothing of ours is inherited; no signal blocked or ignored; a session and a working directory of its own."""

    async def story() -> None:
        executor = await opened(tmp_path)
        for _ in range(3):  # the later ones by agents that have been used before
            group = a_group("true")
            work = tmp_path / "runs" / group.run_id / "workerpool0-0.0"
            group = replace(
                group,
                replicas=(
                    python(INSIDE, str(work)),
                    ReplicaSpec("workerpool1-0", 1, 0, "", command=("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")),
                ),
            )
            await executor.launch(group)
            said = []
            for name in ("workerpool0-0", "workerpool1-0"):
                assert (await end(executor, group, name)).code == 0
                said += (tmp_path / "logs" / str(group.job_id) / f"1.{name}.0" / "stdout").read_text().splitlines()
            assert said[:3] == ["['0', '1', '2'] /dev/null", "True True", "SigBlk:\t0000000000000000"]
            # Signals 32 and 33 are the C library's own: nobody can set them back.
            assert int(said[3].split()[1], 16) & 0x7FFFFFFF == 0
        await executor.close()

    asyncio.run(story())


def test_agents_of_a_removed_directory_end_with_their_program(tmp_path: Path) -> None:
    """Nobody is left who could be told how it ended: they try no longer."""

    async def story() -> None:
        executor = await opened(tmp_path / "data")
        group = a_group(f"echo up; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo down; exit 3")
        await executor.launch(group)
        await phase(executor, group, Phase.RUNNING)
        agents = processes.descendants([executor.spawner_pid or 0])
        await executor.close()
        shutil.rmtree(tmp_path / "data")
        (tmp_path / "go").touch()

        async def gone() -> bool:
            return not any(alive(process.pid) for process in agents)

        await until(gone, "the agents to end")

    asyncio.run(story())


def test_agents_end_well_and_leave_no_zombie_and_no_descriptor(tmp_path: Path) -> None:
    """After fifty jobs no agent has died of its work, none is left, and the executor holds no file more than before."""

    async def story() -> None:
        executor = await opened(tmp_path)
        await end_of_one(executor)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(50):
            await end_of_one(executor)
        assert (tmp_path / "agent.log").read_text() == ""  # where they write why they died
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
        spawner = executor.spawner_pid

        async def alone() -> bool:
            return processes.descendants([spawner or 0]) == []

        await until(alone, "the agents to leave")
        await executor.close()

    asyncio.run(story())


async def end_of_one(executor: LocalExecutor) -> None:
    """One whole job."""
    group = a_group("true")
    await executor.launch(group)
    await end(executor, group)
    await executor.release(group.run_id)
