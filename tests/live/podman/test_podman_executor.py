"""The executor keeps its promise with every program in a container of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from contained import start
from executor_suite import ExecutorSuite, a_group, end

from trainyard.core.runs import Cause
from trainyard.executor import Executor


class TestPodmanExecutor(ExecutorSuite):
    """The whole suite, by podman."""

    async def open(self, folder: Path) -> Executor:
        return await start(folder)

    def test_an_exit_code_is_told_as_a_shell_gives_it(self, tmp_path: Path) -> None:
        """Codes come through with the last lines of stderr; a container's init tells a signal as 128 and its number."""

        async def story() -> None:
            async with self.opened(tmp_path) as executor:
                failing, killed = a_group("echo out; echo why >&2; exit 42"), a_group("kill -SEGV $$$$")
                await executor.launch(failing)
                await executor.launch(killed)
                seen = await end(executor, failing)
                assert (seen.cause, seen.code, seen.last_lines) == (Cause.EXITED, 42, "why"), seen
                assert (await end(executor, killed)).code == 139

        asyncio.run(story())
