"""A shell in a replica's container: the same promise as on the host, kept by the engine's own exec."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from contained import containers_of, opened
from executor_suite import end, phase, until
from test_docker_engine import CONFIG, service  # noqa: F401 - a fixture
from test_shells import REPLICA, SMALL, Typist, at_a_shell, with_shells
from test_trees import of_group

from trainyard.core.errors import FailedPrecondition
from trainyard.core.runs import Cause, Phase, RunGroup


@pytest.fixture(params=["podman", "docker"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """By podman's command, and by Docker's API."""
    if request.param == "podman":
        return {}
    pytest.importorskip("docker", reason="the extra docker is not installed")
    address: str = request.getfixturevalue("service").address
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers/containers.conf").write_text(CONFIG)  # where we look what podman holds of ours
    return {"runtime": "docker", "docker_host": address}


def with_bash(folder: Path) -> dict[str, Any]:
    """This machine's bash, where the image has none."""
    linked = subprocess.run(["ldd", "/bin/bash"], capture_output=True, text=True, check=True).stdout
    tinfo = re.search(r"libtinfo\S* => (\S+)", linked)
    needed = ["/bin/bash", *([tinfo[1]] if tinfo else [])]
    mounts = ((str(folder), str(folder), False), *((path, path, True) for path in needed))
    return {"mounts": mounts}


def test_a_shell_in_a_container(tmp_path: Path, engine: dict[str, Any]) -> None:
    """Its files, variables and processes; a window's size; its exit code; and 137 when the container is stopped."""

    async def story() -> None:
        async with opened(tmp_path, **with_bash(tmp_path), **engine) as executor:
            group = with_shells("trap 'exit 0' TERM; while :; do sleep 0.1; done")
            async with at_a_shell(executor, group) as person:
                assert await person.says("ls /gcs >/dev/null && echo there") == "there"
                assert await person.says("echo $TRAINYARD_RUN") == f"{group.run_id}/{REPLICA}/0"
                assert (await person.says("python3 -c 'import os; print(os.ttyname(0))'")).startswith("/dev/pts/")
                assert "while :" in await person.says("ps")
                columns = "python3 -c 'import os; print(*os.get_terminal_size(0))'"
                assert await person.says(columns) == "101 31"
                person.shell.resize(50, 132)

                async def resized() -> bool:
                    return await person.says(columns) == "132 50"

                await until(resized, "the window's new size")
                await person.types("exit 7\r")
                while await person.shell.read():
                    pass
                assert await person.shell.ended() == 7
            again = Typist(await executor.open_shell(group.run_id, REPLICA, SMALL))
            assert await again.says("echo on") == "on"
            await executor.stop(group.run_id, 20.0)
            assert await again.shell.ended() == 137
            again.shell.close()
            assert (await end(executor, group)).cause is Cause.STOPPED
            await executor.release(group.run_id)
            await until(lambda: _nothing_left(tmp_path), "the container to be removed")

    asyncio.run(story())


def test_hanging_up_ends_the_shell_in_the_container(tmp_path: Path, engine: dict[str, Any]) -> None:
    """Podman's exec leaves its shell behind when its terminal is gone; the agent does not."""

    async def story() -> None:
        async with opened(tmp_path, **with_bash(tmp_path), **engine) as executor:
            group = with_shells("while :; do sleep 0.1; done")
            async with at_a_shell(executor, group) as person:
                assert await person.says("echo on") == "on"
                assert len(_shells_of(group)) == 1

            async def gone() -> bool:
                return not _shells_of(group)

            await until(gone, "the shell to be gone")
            await phase(executor, group, Phase.RUNNING)
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)
            await executor.release(group.run_id)
            await until(lambda: _nothing_left(tmp_path), "the container to be removed")

    asyncio.run(story())


def _shells_of(group: RunGroup) -> list[int]:
    found = []
    for pid in of_group(group):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes() == b"bash\0":
                found.append(pid)
    return found


def test_an_image_without_bash(tmp_path: Path, engine: dict[str, Any]) -> None:
    """The shell ends at once with the engine's sentence; the program runs on."""

    async def story() -> None:
        async with opened(tmp_path, **engine) as executor:
            group = with_shells("while :; do sleep 0.1; done")
            async with at_a_shell(executor, group) as person:
                said = b""
                while chunk := await person.shell.read():
                    said += chunk
                assert b"bash" in said
                assert await person.shell.ended() in (126, 127)
            await phase(executor, group, Phase.RUNNING)
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)
            with pytest.raises(FailedPrecondition):
                await executor.open_shell(group.run_id, REPLICA, SMALL)
            await executor.release(group.run_id)
            await until(lambda: _nothing_left(tmp_path), "the container to be removed")

    asyncio.run(story())


async def _nothing_left(folder: Path) -> bool:
    return not containers_of(folder)
