"""What every executor must keep. Subclass ExecutorSuite, say how to open yours, and you have proved it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from trainyard.core.log_files import CLOSED, replica_directory
from trainyard.core.runs import Cause, Exit, Phase, Reading, ReplicaReading, ReplicaSpec, RunGroup
from trainyard.executor import Announces, Executor

DEADLINE_SECONDS = 60.0
BUSY_SECONDS = 15.0  # what a machine with other work to do may add to a promise of seconds
T = TypeVar("T")
_serial = itertools.count(time.time_ns() // 1000 * 1000)


def shell(script: str, name: str = "workerpool0-0", incarnation: int = 0) -> ReplicaSpec:
    """A replica that runs a shell script."""
    pool, index = name.removeprefix("workerpool").split("-")
    return ReplicaSpec(
        name, int(pool), int(index), image_uri="", command=("/bin/sh", "-c"), args=(script,), incarnation=incarnation
    )


def a_group(*replicas: ReplicaSpec | str, job_id: int | None = None) -> RunGroup:
    """The first attempt of a new job; a text is the script of its only replica."""
    number = next(_serial) if job_id is None else job_id
    return RunGroup(
        run_id=f"{number}-1",
        job_name=f"projects/1/locations/here/customJobs/{number}",
        job_id=number,
        project="1",
        location="here",
        replicas=tuple(shell(each) if isinstance(each, str) else each for each in replicas),
        job_spec_json="{}",
        grace_seconds=5.0,
    )


async def until(look: Callable[[], Awaitable[T | None]], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """The first answer that is neither None nor False."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await look()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        await asyncio.sleep(0.005)


async def reading(executor: Executor, group: RunGroup) -> Reading:
    """What is seen of one group."""
    return (await executor.observe([group.run_id]))[group.run_id]


async def phase(
    executor: Executor,
    group: RunGroup,
    wanted: Phase,
    replica: str = "workerpool0-0",
    incarnation: int = 0,
) -> ReplicaReading:
    """The reading in which `replica` has come to the wanted phase."""

    async def look() -> ReplicaReading | None:
        seen = (await reading(executor, group)).of(replica)
        return seen if seen.phase is wanted and seen.incarnation == incarnation else None

    return await until(look, f"{replica} of {group.run_id} to be {wanted}")


async def end(executor: Executor, group: RunGroup, replica: str = "workerpool0-0", incarnation: int = 0) -> Exit:
    """How `replica` ended."""
    seen = await phase(executor, group, Phase.ENDED, replica, incarnation)
    assert seen.exit is not None
    return seen.exit


class ExecutorSuite:
    """The promise, one sentence a test. `logs` is where the agents put their output under the folder."""

    logs = "logs"
    sees_signals = True  # where a program has an init above it, that tells of a signal by its code alone

    async def open(self, folder: Path) -> Executor:
        """A started executor over this data directory."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self, folder: Path) -> AsyncIterator[Executor]:
        """An executor that is closed afterwards."""
        executor = await self.open(folder)
        try:
            yield executor
        finally:
            await executor.close()

    def output(self, folder: Path, group: RunGroup, replica: str = "workerpool0-0", incarnation: int = 0) -> Path:
        """Where the output of one incarnation lies."""
        attempt = int(group.run_id.rpartition("-")[2])
        return replica_directory(folder / self.logs, group.job_id, attempt, replica, incarnation)

    def test_a_program_runs_and_its_end_is_told(self, tmp_path: Path) -> None:
        """A replica is seen RUNNING, then ENDED with code 0, in times that make sense."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                before = time.time_ns() // 1000
                group = a_group(f"echo hello; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")
                await executor.launch(group)
                await phase(executor, group, Phase.RUNNING)
                (tmp_path / "go").touch()
                seen = await end(executor, group)
                assert (seen.cause, seen.code, seen.signal) == (Cause.EXITED, 0, None)
                assert before <= (seen.started_us or 0) <= (seen.ended_us or 0) <= time.time_ns() // 1000
                directory = self.output(tmp_path, group)
                assert (directory / "stdout").read_bytes() == b"hello\n"
                assert (directory / CLOSED).exists()

        asyncio.run(story())

    def test_an_exit_code_is_told_as_a_shell_gives_it(self, tmp_path: Path) -> None:
        """Codes come through, a signal as 128 and its number, with the last lines of stderr."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                failing, killed = a_group("echo out; echo why >&2; exit 42"), a_group("kill -SEGV $$$$")
                await executor.launch(failing)
                await executor.launch(killed)
                seen = await end(executor, failing)
                assert (seen.cause, seen.code, seen.last_lines) == (Cause.EXITED, 42, "why")
                seen = await end(executor, killed)
                assert seen.code == 139
                assert not self.sees_signals or (seen.cause, seen.signal) == (Cause.SIGNALED, 11)

        asyncio.run(story())

    def test_a_program_that_is_not_there_is_a_failed_start(self, tmp_path: Path) -> None:
        """START_FAILED comes with a sentence that names the program."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                group = a_group(ReplicaSpec("workerpool0-0", 0, 0, "", command=("no-such-program",)))
                await executor.launch(group)
                seen = await end(executor, group)
                assert seen.cause is Cause.START_FAILED
                assert "no-such-program" in seen.message

        asyncio.run(story())

    def test_what_nobody_launched_is_absent(self, tmp_path: Path) -> None:
        """An unknown group is read as ABSENT, and the reading is not older than the question."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                before = time.time_ns() // 1000
                seen = await reading(executor, a_group("true"))
                assert seen.of("workerpool0-0").phase is Phase.ABSENT
                assert seen.as_of_us >= before

        asyncio.run(story())

    def test_a_repeated_launch_starts_nothing_twice(self, tmp_path: Path) -> None:
        """Launched twelve times by two executors in a row, running and ended: one line in the witness."""

        async def story() -> None:
            witness = tmp_path / "witness"
            group = a_group(f"echo x >>{witness}; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
            async with self.opened(tmp_path) as executor:
                await asyncio.gather(*(executor.launch(group) for _ in range(5)))
                await phase(executor, group, Phase.RUNNING)
                await executor.launch(group)
            async with self.opened(tmp_path) as executor:
                await asyncio.gather(*(executor.launch(group) for _ in range(5)))
                (tmp_path / "go").touch()
                await end(executor, group)
                await executor.launch(group)
                await asyncio.sleep(0.2)
                assert witness.read_text() == "x\n"

        asyncio.run(story())

    def test_a_stop_ends_the_group(self, tmp_path: Path) -> None:
        """SIGTERM first, which a program may answer with its own code; the cause is the stop."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                group = a_group(
                    "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.02; done",
                )
                await executor.launch(group)
                await until(lambda: self._has(self.output(tmp_path, group) / "stdout", b"up\n"), "the program to be up")
                await executor.stop(group.run_id, 10.0)
                seen = await end(executor, group)
                assert (seen.cause, seen.code) == (Cause.STOPPED, 7)
                assert (self.output(tmp_path, group) / "stdout").read_bytes() == b"up\nbye\n"

        asyncio.run(story())

    def test_a_deaf_program_is_killed_after_the_grace(self, tmp_path: Path) -> None:
        """Whoever ignores SIGTERM has the grace and no more; stopping again with less shortens it."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                group = a_group("trap '' TERM; echo up; while :; do sleep 0.02; done")
                await executor.launch(group)
                await until(lambda: self._has(self.output(tmp_path, group) / "stdout", b"up\n"), "the program to be up")
                await executor.stop(group.run_id, 3600.0)
                await executor.stop(group.run_id, 0.3)
                asked = time.monotonic()
                seen = await end(executor, group)
                assert (seen.cause, seen.signal) == (Cause.STOPPED, 9)
                assert 0.2 < time.monotonic() - asked < 5.0 + BUSY_SECONDS

        asyncio.run(story())

    def test_what_was_stopped_first_never_starts(self, tmp_path: Path) -> None:
        """A launch after its stop ends as STOPPED without an instruction executed."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                group = a_group(f"touch {tmp_path}/witness")
                await executor.stop(group.run_id, 1.0)
                await executor.launch(group)
                assert (await end(executor, group)).cause is Cause.STOPPED
                assert not (tmp_path / "witness").exists()
                assert not self.output(tmp_path, group).exists()

        asyncio.run(story())

    def test_a_stop_right_behind_a_launch_leaves_nothing(self, tmp_path: Path) -> None:
        """Wherever a stop overtakes its launch, the group ends as STOPPED."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                for turn in range(20):
                    group = a_group("sleep 60")
                    await executor.launch(group)
                    await asyncio.sleep(turn * 0.0005)
                    await executor.stop(group.run_id, 0.0)
                    assert (await end(executor, group)).cause is Cause.STOPPED

        asyncio.run(story())

    def test_what_runs_outlives_its_executor(self, tmp_path: Path) -> None:
        """A second executor sees what the first left running, its exit code and every byte."""

        async def story() -> None:
            group = a_group(f"echo one; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo two; exit 5")
            async with self.opened(tmp_path) as executor:
                await executor.launch(group)
                await phase(executor, group, Phase.RUNNING)
            async with self.opened(tmp_path) as executor:
                assert (await reading(executor, group)).of("workerpool0-0").phase is Phase.RUNNING
                (tmp_path / "go").touch()
                assert (await end(executor, group)).code == 5
                assert (self.output(tmp_path, group) / "stdout").read_bytes() == b"one\ntwo\n"

        asyncio.run(story())

    def test_a_replica_is_started_again_in_place(self, tmp_path: Path) -> None:
        """The next incarnation of a replica runs beside its untouched neighbour, with output of its own."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                neighbour = shell(
                    f"echo n >>{tmp_path}/n; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done", "workerpool1-0"
                )
                job_id = next(_serial)
                first = a_group(shell("echo a; exit 1"), neighbour, job_id=job_id)
                await executor.launch(first)
                assert (await end(executor, first)).code == 1
                again = a_group(shell("echo b", incarnation=1), neighbour, job_id=job_id)
                await executor.launch(again)
                assert (await end(executor, again, incarnation=1)).code == 0
                (tmp_path / "go").touch()
                assert (await end(executor, again, "workerpool1-0")).code == 0
                assert (tmp_path / "n").read_text() == "n\n"
                assert (self.output(tmp_path, first, incarnation=0) / "stdout").read_bytes() == b"a\n"
                assert (self.output(tmp_path, first, incarnation=1) / "stdout").read_bytes() == b"b\n"

        asyncio.run(story())

    def test_replicas_find_each_other(self, tmp_path: Path) -> None:
        """Every replica reads the same addresses, all different."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                names = ("workerpool0-0", "workerpool1-0", "workerpool1-1")
                group = a_group(
                    *(
                        shell("echo $MASTER_ADDR:$MASTER_PORT $RANK $WORLD_SIZE; echo $TF_CONFIG", name)
                        for name in names
                    )
                )
                await executor.launch(group)
                said = []
                for name in names:
                    assert (await end(executor, group, name)).code == 0
                    said.append((self.output(tmp_path, group, name) / "stdout").read_text().splitlines())
                assert len({lines[0].split()[0] for lines in said}) == 1
                assert sorted(lines[0].split()[1:] for lines in said) == [["0", "3"], ["1", "3"], ["2", "3"]]
                assert len({lines[1].partition('"task"')[0] for lines in said}) == 1

        asyncio.run(story())

    def test_release_and_forget(self, tmp_path: Path) -> None:
        """After release, logs and records stay and nothing starts under that id; forget removes all. Both repeat."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                group = a_group(f"echo x | tee -a {tmp_path}/witness")
                await executor.launch(group)
                await end(executor, group)
                for _ in range(2):
                    await executor.release(group.run_id)
                assert (self.output(tmp_path, group) / "stdout").read_bytes() == b"x\n"
                assert (await end(executor, group)).code == 0
                for _ in range(2):
                    await executor.forget(group.job_id)
                assert not self.output(tmp_path, group).exists()
                assert (await reading(executor, group)).of("workerpool0-0").phase is Phase.ABSENT
                assert (tmp_path / "witness").read_text() == "x\n"

        asyncio.run(story())

    def test_it_says_when_something_happened(self, tmp_path: Path) -> None:
        """An executor that announces does so for the start and for the end."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                if not isinstance(executor, Announces):
                    return
                group = a_group("true")
                heard: list[str] = []

                async def listen() -> None:
                    async for run_id in executor.changes():
                        heard.append(run_id)  # noqa: PERF401 - it never ends: the list is read meanwhile

                listener = asyncio.create_task(listen())
                await asyncio.sleep(0)
                await executor.launch(group)
                await end(executor, group)
                await until(lambda: self._is(lambda: group.run_id in heard), "a hint")
                listener.cancel()

        asyncio.run(story())

    @staticmethod
    async def _is(what: Callable[[], bool]) -> bool:
        return what()

    @staticmethod
    async def _has(path: Path, content: bytes) -> bool:
        return path.exists() and path.read_bytes() == content
