"""A shell beside a replica's program: in its world, counted as its own, and gone with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from executor_suite import a_group, end, phase, until
from real_clock import RealClock
from test_trees import of_group

from trainyard.agent import processes, records
from trainyard.core.errors import FailedPrecondition
from trainyard.core.runs import Cause, Phase, RunGroup
from trainyard.core.shells import Shell, Terminal
from trainyard.executors.local.client import LocalExecutor, LocalOptions, open_executor

REPLICA = "workerpool0-0"
SMALL = Terminal(rows=31, columns=101)


class Typist:
    """Types into a shell and reads what it prints."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.seen = ""

    async def types(self, text: str) -> None:
        """Press these keys."""
        await self.shell.write(text.encode())

    async def reads(self, words: str) -> str:
        """Everything up to these words, which are dropped; fails where they do not come."""
        async with asyncio.timeout(60):
            while words not in self.seen:
                chunk = await self.shell.read()
                assert chunk, f"the shell has ended: {self.seen!r}"
                self.seen += chunk.decode(errors="replace")
        before, _, self.seen = self.seen.partition(words)
        return before

    async def says(self, command: str) -> str:
        """What a command prints."""
        await self.types(f"echo 'be''gin'; {command}; echo 'do''ne'\r")
        await self.reads("begin\r\n")
        return (await self.reads("done\r\n")).strip()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[LocalExecutor]:
    """An executor that is closed afterwards."""
    executor = await open_executor(folder, RealClock(), LocalOptions(usage_interval=0.0))
    try:
        yield executor
    finally:
        await executor.close()


def with_shells(script: str) -> RunGroup:
    """A group whose only replica runs this script, and may have shells."""
    return replace(a_group(script), opens_shells=True)


@asynccontextmanager
async def at_a_shell(executor: LocalExecutor, group: RunGroup) -> AsyncIterator[Typist]:
    """The group's replica is up, and somebody sits at a shell in it."""
    await executor.launch(group)
    await phase(executor, group, Phase.RUNNING)
    shell = await executor.open_shell(group.run_id, REPLICA, SMALL)
    try:
        yield Typist(shell)
    finally:
        shell.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    """In a loop of its own."""
    asyncio.run(asyncio.wait_for(story(), 180))  # type: ignore[arg-type]  # a coroutine function's awaitable is one


async def gone(group: RunGroup) -> None:
    """No process of the group is left."""

    async def look() -> bool:
        return not of_group(group)

    await until(look, "the last process to be gone")


def test_a_shell_is_in_the_replicas_world(tmp_path: Path) -> None:
    """It has the program's user, variables, directory and view of /gcs, on a terminal of the size asked for."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells("echo $CLUSTER_SPEC >spec; ls -d /gcs >view 2>&1; id -u >user; sleep 1000")
            async with at_a_shell(executor, group) as person:
                work = tmp_path / "runs" / group.run_id / f"{REPLICA}.0"
                assert await person.says("pwd") == str(work)
                assert await person.says('echo "$CLUSTER_SPEC" | cmp - spec && echo same') == "same"
                assert await person.says("ls -d /gcs 2>&1 | cmp - view && echo same") == "same"
                assert await person.says("id -u | cmp - user && echo same") == "same"
                assert (await person.says("tty")).startswith("/dev/pts/")
                assert await person.says("stty size") == "31 101"
                assert await person.says("echo $TERM") == "xterm-256color"
                person.shell.resize(50, 132)
                assert await person.says("stty size") == "50 132"
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)

    run(story)


def test_the_shells_own_end(tmp_path: Path) -> None:
    """Ctrl-C reaches what runs in it; its exit code is told; the program runs on, and another shell can be opened."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells("sleep 1000")
            async with at_a_shell(executor, group) as person:
                await person.types("sleep 900\r")
                await until(lambda: _is_run(group, b"sleep\x00900\x00"), "the shell to run it")
                await person.types("\x03")
                await person.types("echo code=$?\r")
                await person.reads("code=130")
                await person.types("exit 7\r")
                while await person.shell.read():
                    pass
                assert await person.shell.ended() == 7
            again = Typist(await executor.open_shell(group.run_id, REPLICA, SMALL))
            assert await again.says("echo on") == "on"
            again.shell.close()
            assert (await phase(executor, group, Phase.RUNNING)).phase is Phase.RUNNING
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)

    run(story)


def test_hanging_up_ends_the_shell_and_not_the_program(tmp_path: Path) -> None:
    """Whoever leaves takes the shell along: it gets SIGHUP."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells("sleep 1000")
            async with at_a_shell(executor, group) as person:
                pid = int(await person.says("echo $$"))
            await until(lambda: _is_gone(pid), "the shell to be gone")
            await phase(executor, group, Phase.RUNNING)
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)

    run(story)


async def _is_run(group: RunGroup, command: bytes) -> bool:
    """Whether a process of the group has this command line; what a terminal echoes nobody may have read yet."""
    found = False
    for pid in of_group(group):
        with contextlib.suppress(OSError):
            found = found or Path(f"/proc/{pid}/cmdline").read_bytes() == command
    return found


async def _is_gone(pid: int) -> bool:
    process = processes.read(pid)
    return process is None or not process.is_alive


@pytest.mark.parametrize("deaf", [False, True], ids=["willing", "deaf"])
def test_a_stop_ends_the_shell(tmp_path: Path, deaf: bool) -> None:
    """It dies with 137, with all that was begun in it; the stop takes no longer than its program does."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells(f"{'trap : TERM;' if deaf else ''} while :; do sleep 0.1; done")
            async with at_a_shell(executor, group) as person:
                stray = "setsid " if deaf else ""  # who leaves the shell for good is given the grace, as any process is
                await person.types(f"{stray}sh -c 'trap : TERM; while :; do sleep 0.1; done' & sleep 900\r")
                await until(lambda: _is_run(group, b"sleep\x00900\x00"), "the shell to run it")
                began = asyncio.get_running_loop().time()
                await executor.stop(group.run_id, 1.0 if deaf else 20.0)
                assert await person.shell.ended() == 137
                assert (await end(executor, group)).cause is Cause.STOPPED
                assert asyncio.get_running_loop().time() - began < 15
            await gone(group)

    run(story)


def test_what_was_begun_in_a_shell_is_given_no_grace(tmp_path: Path) -> None:
    """Deaf to SIGTERM, in a session of its own, its shell long left: it ends with the programs, not with the grace."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells("sleep 1000")
            async with at_a_shell(executor, group) as person:
                await person.types("setsid sh -c 'trap : TERM HUP; while :; do sleep 0.1; done; : stray' & exit\r")
                while await person.shell.read():
                    pass
            began = asyncio.get_running_loop().time()
            await executor.stop(group.run_id, 300.0)
            assert (await end(executor, group)).cause is Cause.STOPPED
            assert asyncio.get_running_loop().time() - began < 150
            await gone(group)

    run(story)


def test_the_programs_end_ends_the_shell(tmp_path: Path) -> None:
    """With its own code on record, at once."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells("while [ ! -e stop ]; do sleep 0.05; done; exit 3")
            async with at_a_shell(executor, group) as person:
                await person.types("touch stop\r")
                assert await person.shell.ended() == 137
                assert (await end(executor, group)).code == 3
                with pytest.raises(FailedPrecondition, match="ended"):
                    await executor.open_shell(group.run_id, REPLICA, SMALL)
            await gone(group)

    run(story)


def test_no_shell_where_none_was_asked_for(tmp_path: Path) -> None:
    """The agents of a group without `opens_shells` hear nobody; a program that is not there has no shell either."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = a_group("sleep 1000")
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
            for replica in (REPLICA, "workerpool7-0"):
                with pytest.raises(FailedPrecondition):
                    await executor.open_shell(group.run_id, replica, SMALL)
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)

    run(story)


def test_without_bash_the_sentence_says_so(tmp_path: Path) -> None:
    """A replica whose PATH leads to no bash has no shell, and runs on."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells("exec /bin/sleep 1000")
            nowhere = replace(group.replicas[0], env=(("PATH", "/nowhere"),))
            group = replace(group, replicas=(nowhere,))
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
            with pytest.raises(FailedPrecondition, match="'bash' was not found; the replica's PATH is /nowhere"):
                await executor.open_shell(group.run_id, REPLICA, SMALL)
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)

    run(story)


def test_who_takes_over_opens_shells_too(tmp_path: Path) -> None:
    """A killed supervisor costs the shell at most; its guard opens the next, and ends that one with the program."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells("sleep 1000")
            async with at_a_shell(executor, group) as person:
                pid = int(await person.says("echo $$"))
                shell = processes.read(pid)
                assert shell is not None
                os.kill(shell.parent, signal.SIGKILL)
                assert await person.shell.ended() is None
            again = None
            async with asyncio.timeout(60):
                while again is None:
                    with contextlib.suppress(FailedPrecondition):
                        again = Typist(await executor.open_shell(group.run_id, REPLICA, SMALL))
            assert await again.says("echo $TRAINYARD_RUN") == f"{group.run_id}/{REPLICA}/0"
            await executor.stop(group.run_id, 5.0)
            assert await again.shell.ended() == 137
            again.shell.close()
            await end(executor, group)
            await gone(group)

    run(story)


def test_who_does_not_know_the_key_is_not_heard(tmp_path: Path) -> None:
    """Neither without it nor with another; who asks and says nothing is in nobody's way."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = with_shells("sleep 1000")
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
            state = tmp_path / "runs" / group.run_id / f"{REPLICA}.0.state"
            near, far = os.openpty()
            for request in (
                b"{}",
                b"[]",
                b"no",
                b'{"key": 7}',
                b'{"key": "", "term": "x"}',
                b'{"key": "00", "term": "x"}',
                b"[" * 4000,
            ):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
                    asking.settimeout(20)
                    asking.connect(records.shells_name(state.stat()))
                    socket.send_fds(asking, [request], [far])
                    assert await asyncio.to_thread(asking.recv, 100) == b""
            os.close(far)
            os.close(near)
            assert not [pid for pid in of_group(group) if b"bash" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(40)]
            for each in silent:
                each.connect(records.shells_name(state.stat()))
            person = Typist(await executor.open_shell(group.run_id, REPLICA, SMALL))
            assert await person.says("echo on") == "on"
            person.shell.close()
            for each in silent:
                each.close()
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)

    run(story)
