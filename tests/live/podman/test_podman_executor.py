"""The executor keeps its promise with every program in a container of its own."""

from __future__ import annotations

from pathlib import Path

from contained import start
from executor_suite import ExecutorSuite

from trainyard.executor import Executor


class TestPodmanExecutor(ExecutorSuite):
    """The whole suite, by podman."""

    sees_signals = False

    async def open(self, folder: Path) -> Executor:
        return await start(folder)
