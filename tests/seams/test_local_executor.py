"""The executor of this machine keeps the promise."""

from __future__ import annotations

from pathlib import Path

from executor_suite import ExecutorSuite
from real_clock import RealClock

from trainyard.executor import Executor
from trainyard.executors.local.client import LocalOptions, open_executor


class TestLocalExecutor(ExecutorSuite):
    """The whole suite, with real processes."""

    async def open(self, folder: Path) -> Executor:
        return await open_executor(folder, RealClock(), LocalOptions(gpus=()))
