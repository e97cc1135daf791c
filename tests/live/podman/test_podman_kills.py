"""kill -9 of conmon, supervisor, guard and server in any order: containers are adopted, never doubled, never left."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import images
import pytest
from contained import containers_of, opened, podman
from executor_suite import a_group, end, phase, until
from test_kills import FLOOD, agents, state, stdout
from test_trees import python

from trainyard.agent import processes
from trainyard.agent.container import directory_of
from trainyard.core.runs import Cause, Phase, RunGroup


def main_of(group: RunGroup, folder: Path) -> int:
    """The container's first process, as this machine sees it."""
    running = state(group, folder).running
    assert running is not None
    return int(running["pid"])


async def nothing_left(folder: Path) -> None:
    """No container, no network, no file of an engine."""

    async def look() -> bool:
        return not containers_of(folder) and not list(folder.glob("runs/*/*.engine"))

    await until(look, "nothing to be left of the containers")


def test_the_supervisor_has_conmons_place(tmp_path: Path) -> None:
    """While a container runs its first process is the agent's child, podman sees it, and no conmon is there to kill."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = a_group("echo up; sleep 60")
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
            (name,) = (each for each in containers_of(tmp_path) if group.run_id in each)
            asked = "{{.State.Status}} {{.State.Pid}} {{.State.ConmonPid}}"
            said = podman(tmp_path, "inspect", name, "--format", asked).split()
            assert said[:2] == ["running", str(main_of(group, tmp_path))]
            conmon = processes.read(int(said[2]))
            assert conmon is None or not conmon.is_alive
            guard, supervisor = agents(group, tmp_path)
            parent = processes.read(supervisor)
            assert parent is not None
            assert parent.parent == guard
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)
            await executor.release(group.run_id)
            await nothing_left(tmp_path)

    asyncio.run(story())


def test_killing_the_supervisor_loses_nothing(tmp_path: Path) -> None:
    """The guard goes on with the container: exit code and all 40 MB of output, byte for byte."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = a_group(python(FLOOD.format(size=40_000_000) + "os._exit(7)"))
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
            os.kill(agents(group, tmp_path)[1], signal.SIGKILL)
            seen = await end(executor, group)
            assert (seen.cause, seen.code) == (Cause.EXITED, 7)
            assert stdout(group, tmp_path).stat().st_size == 40_000_000
            await executor.release(group.run_id)
            await nothing_left(tmp_path)

    asyncio.run(story())


def test_killing_both_agents_ends_the_container(tmp_path: Path) -> None:
    """Nobody is left to tell the exit code: the container is ended, said to be lost, and its place is free again."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = a_group("echo up; sleep 600")
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
            first = main_of(group, tmp_path)
            for agent in agents(group, tmp_path):
                os.kill(agent, signal.SIGKILL)
            seen = await end(executor, group)
            assert seen.cause is Cause.LOST
            process = processes.read(first)
            assert process is None or not process.is_alive
            await executor.release(group.run_id)
            await nothing_left(tmp_path)

    asyncio.run(story())


@pytest.mark.parametrize("seed", range(8))
def test_a_supervisor_killed_while_its_container_comes_up(tmp_path: Path, seed: int) -> None:
    """At any moment of the start: the program runs at most once, its end is told, and nothing is left."""
    chance = random.Random(seed)

    async def story() -> None:
        async with opened(tmp_path) as executor:
            witness = tmp_path / "witness"
            group = a_group(f"echo x >>{witness}; sleep 0.2; exit 5")
            await executor.launch(group)
            await until(lambda: _is_up(tmp_path), "an agent to ask its engine")
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            for pid in _supervisors(tmp_path):
                os.kill(pid, signal.SIGKILL)
            seen = await end(executor, group)
            lines = witness.read_text() if witness.exists() else ""
            if seen.cause is Cause.EXITED:
                assert (seen.code, lines) == (5, "x\n")
            else:
                assert seen.cause in (Cause.START_FAILED, Cause.LOST)
                assert lines in ("", "x\n")
            await executor.release(group.run_id)
            await nothing_left(tmp_path)

    asyncio.run(story())


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.08])
def test_conmon_killed_while_a_container_comes_up(tmp_path: Path, delay: float) -> None:
    """Killed before we do it, conmon takes at most the start with it: an end is told, and nothing is left."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = a_group("sleep 0.3; exit 5")
            await executor.launch(group)
            await until(lambda: _is_up(tmp_path), "an agent to ask its engine")
            await asyncio.sleep(delay)
            for process in processes.everyone():
                if _command(process.pid).startswith("/usr/bin/conmon") and str(tmp_path) in _command(process.pid):
                    processes.send(process, signal.SIGKILL)
            seen = await end(executor, group)
            assert seen.cause is Cause.START_FAILED or (seen.cause, seen.code) == (Cause.EXITED, 5)
            await executor.release(group.run_id)
            await nothing_left(tmp_path)

    asyncio.run(story())


def test_a_killed_server_leaves_its_containers_to_the_next(tmp_path: Path) -> None:
    """The server is killed outright; the next sees the container running, then its exit code and every line."""
    script = (
        "import asyncio, sys, pathlib\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from contained import start\nfrom executor_suite import a_group, phase\n"
        "from trainyard.core.runs import Phase\n"
        "async def story():\n"
        f"    folder = pathlib.Path({str(tmp_path)!r})\n"
        "    executor = await start(folder)\n"
        "    script = f'echo one; while [ ! -e {folder}/go ]; do sleep 0.01; done; echo two; exit 5'\n"
        "    group = a_group(script, job_id=4711)\n"
        "    await executor.launch(group)\n"
        "    await phase(executor, group, Phase.RUNNING)\n"
        "    print('up', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(story())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        server.kill()

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = a_group("", job_id=4711)
            await phase(executor, group, Phase.RUNNING)
            (tmp_path / "go").touch()
            assert (await end(executor, group)).code == 5
            assert stdout(group, tmp_path).read_bytes() == b"one\ntwo\n"
            await executor.release(group.run_id)
            await nothing_left(tmp_path)

    asyncio.run(story())


def test_what_nobody_holds_is_swept(tmp_path: Path) -> None:
    """A container and a network of a group that no server holds any more are removed when one comes up."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            await executor.launch(group := a_group("true"))
            await end(executor, group)
            await executor.release(group.run_id)
        runs = f"--label=trainyard.runs={tmp_path.resolve()}/runs"
        podman(tmp_path, "create", runs, "--label=trainyard.run=1-1", images.BUSYBOX, "true")
        podman(tmp_path, "network", "create", runs, "--label=trainyard.run=1-1", "trainyard-1-1")
        assert len(containers_of(tmp_path)) == 2
        async with opened(tmp_path):
            await nothing_left(tmp_path)

    asyncio.run(story())


async def _is_up(folder: Path) -> bool:
    return bool(list(folder.glob("runs/*/*.engine/words")))


def _supervisors(folder: Path) -> list[int]:
    """The agents that have a group's engine in hand: parents of podman, or of what it left."""
    directories = [directory_of(str(path).removesuffix(".state")) for path in folder.glob("runs/*/*.state")]
    mine = [p for p in processes.everyone() if any(d in _command(p.pid) for d in directories) and p.is_alive]
    parents = {process.parent for process in mine if _command(process.pid).split("\0")[0].endswith("podman")}
    deadline = time.monotonic() + 0.1
    while not parents and time.monotonic() < deadline:
        for path in folder.glob("runs/*/*.engine/pid"):
            if (text := path.read_text()).isdecimal() and (process := processes.read(int(text))):
                parents.add(process.parent)
    return [pid for pid in parents if pid > 1]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
