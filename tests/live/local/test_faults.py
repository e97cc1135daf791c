"""Full disks, missing memory, refused directories: a sentence or a wait, never a silent loss."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_suite import a_group, end, phase, reading, until
from real_clock import RealClock
from test_trees import opened, python

from trainyard.agent import processes
from trainyard.core.errors import Unavailable
from trainyard.core.runs import Cause, Phase, ReplicaSpec
from trainyard.executors.local.client import LocalOptions, open_executor

EATS_MEMORY = "import time\nheld = []\nwhile True: held.append(bytearray(b'x') * 1000000); time.sleep(0.001)"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A control group of 64 MB of its own, as the list of its processes."""
    for parent, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(parent) / f"trainyard-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / limit).write_text(str(64 << 20))
                yield group / "cgroup.procs"
                return
            finally:
                deadline = time.monotonic() + 10
                while group.exists() and time.monotonic() < deadline:
                    with contextlib.suppress(OSError):
                        group.rmdir()
    pytest.skip("no control group can be made here")


@pytest.mark.slow
def test_a_full_disk_holds_the_program_back(small_disk: Path) -> None:
    """The program waits, people are told, and when there is room again everything is there to the byte."""

    async def story() -> None:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 3_000_000)
        executor = await opened(small_disk)
        script = "import os\nfor n in range(200): os.write(1, b'%09d\\n' % n * 1000)"
        group = a_group(python(script))
        await executor.launch(group)

        async def told() -> bool:
            return "No space left" in (await reading(executor, group)).of("workerpool0-0").note

        await until(told, "the note on the full disk")
        assert (await reading(executor, group)).of("workerpool0-0").phase is Phase.RUNNING
        ballast.unlink()
        assert (await end(executor, group)).code == 0
        log = small_disk / "logs" / str(group.job_id) / "1.workerpool0-0.0" / "stdout"
        assert log.read_bytes() == b"".join(b"%09d\n" % n * 1000 for n in range(200))
        await executor.close()

    asyncio.run(story())


@pytest.mark.slow
def test_a_disk_too_full_to_start_on_is_waited_for(small_disk: Path) -> None:
    """Nothing starts without its marker; it does when there is room, once."""

    async def story() -> None:
        executor = await opened(small_disk)
        group = a_group("echo x")
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        with contextlib.suppress(Unavailable):
            await executor.launch(group)
        assert (await reading(executor, group)).of("workerpool0-0").phase in (Phase.ABSENT, Phase.STARTING)
        ballast.unlink()
        await executor.launch(group)
        assert (await end(executor, group)).code == 0
        log = small_disk / "logs" / str(group.job_id) / "1.workerpool0-0.0" / "stdout"
        assert log.read_bytes() == b"x\n"
        await executor.close()

    asyncio.run(story())


def test_the_kernels_kill_for_memory_is_told_apart(tmp_path: Path, small_memory: Path) -> None:
    """A program ended for its memory is OUT_OF_MEMORY, with its peak; a SIGKILL by a stranger stays SIGNALED."""

    async def story() -> None:
        executor = await opened(tmp_path)
        assert executor.spawner_pid is not None
        small_memory.write_text(str(executor.spawner_pid))
        hungry, murdered = a_group(python(EATS_MEMORY)), a_group("kill -9 $$$$")
        await executor.launch(hungry)
        seen = await end(executor, hungry)
        assert seen.cause is Cause.OUT_OF_MEMORY, seen
        assert "out-of-memory" in seen.message
        assert (seen.peak_memory_bytes or 0) > 30 << 20
        await executor.launch(murdered)
        seen = await end(executor, murdered)
        assert (seen.cause, seen.signal) == (Cause.SIGNALED, 9)
        spawner = executor.spawner_pid
        await executor.close()

        async def gone() -> bool:
            process = processes.read(spawner)
            return process is None or not process.is_alive

        await until(gone, "the spawner to leave its control group")

    asyncio.run(story())


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """The executor comes up, or says which path is in the way."""

    async def story() -> None:
        (tmp_path / "runs").write_text("a file, not a directory")
        with pytest.raises(Unavailable, match="runs"):
            await opened(tmp_path)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("/etc",), "directory"),
        (("/etc/passwd",), "not executable"),
        (("{folder}/text",), "neither a program"),
        (("{folder}/script",), "interpreter"),
        (("",), "empty"),
        (("/no/such/program",), "does not exist"),
        (("echo", "x" * 3_000_000), "larger than"),
    ],
)
def test_what_cannot_be_executed_is_explained(tmp_path: Path, command: tuple[str, ...], word: str) -> None:
    """Each way in which an exec fails has its sentence, and the start counts as failed."""

    async def story() -> None:
        for name, content in (("text", "no program"), ("script", "#!/no/such/interpreter\n")):
            (tmp_path / name).write_text(content)
            (tmp_path / name).chmod(0o755)
        executor = await opened(tmp_path)
        argv = tuple(part.format(folder=tmp_path) for part in command)
        group = a_group(ReplicaSpec("workerpool0-0", 0, 0, "", command=argv))
        await executor.launch(group)
        seen = await end(executor, group)
        assert seen.cause is Cause.START_FAILED
        assert word in seen.message
        await executor.close()

    asyncio.run(story())


def test_an_image_without_a_command_says_what_to_do(tmp_path: Path) -> None:
    """No container engine, no entry point: START_FAILED names containerSpec.command, and nothing is run."""

    async def story() -> None:
        executor = await opened(tmp_path)
        group = a_group(ReplicaSpec("workerpool0-0", 0, 0, "busybox", args=("x",)))
        await executor.launch(group)
        seen = await end(executor, group)
        assert seen.cause is Cause.START_FAILED
        assert "containerSpec.command" in seen.message
        assert "not in its image busybox" in (await reading(executor, group)).notes[0]
        await executor.close()

    asyncio.run(story())


def test_missing_gpus_are_said_or_refused(tmp_path: Path) -> None:
    """Optional accelerators: it runs without and says so; required ones: it fails and says so."""

    async def story() -> None:
        from test_kills import with_gpus

        spec = ReplicaSpec("workerpool0-0", 0, 0, "", command=("/bin/sh", "-c", 'test -z "$CUDA_VISIBLE_DEVICES"'))
        for accelerators, cause in (("optional", Cause.EXITED), ("required", Cause.START_FAILED)):
            executor = await open_executor(tmp_path, RealClock(), LocalOptions(gpus=(), accelerators=accelerators))
            group = a_group(with_gpus(spec, 2))
            await executor.launch(group)
            seen = await end(executor, group)
            assert (seen.cause, seen.code) == (cause, 0 if cause is Cause.EXITED else None)
            await executor.close()

    asyncio.run(story())


def test_nobody_listening_costs_nothing(tmp_path: Path) -> None:
    """Programs start, end and are recorded while no server lives, and a later one reads it all at once."""

    async def story() -> None:
        from test_kills import state

        executor = await opened(tmp_path)
        wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
        groups = [a_group(f"{wait}; exit {code}") for code in range(5)]
        for group in groups:
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
        await executor.close()
        (tmp_path / "go").touch()

        async def recorded() -> bool:
            return all(state(group, tmp_path).exit for group in groups)

        await until(recorded, "the records of their ends")
        executor = await opened(tmp_path)
        seen = await executor.observe([group.run_id for group in groups])
        assert [seen[group.run_id].of("workerpool0-0").exit.code for group in groups] == list(range(5))
        await executor.close()

    asyncio.run(story())
