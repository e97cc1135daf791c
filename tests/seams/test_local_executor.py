"""The executor of this machine keeps the promise."""

from __future__ import annotations

import time
from pathlib import Path

from executor_suite import ExecutorSuite

from trainyard.executor import Executor
from trainyard.executors.local.client import LocalOptions, open_executor


class RealClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def steady_us(self) -> int:
        return time.monotonic_ns() // 1000


class TestLocalExecutor(ExecutorSuite):
    """The whole suite, with real processes."""

    async def open(self, folder: Path) -> Executor:
        return await open_executor(folder, RealClock(), LocalOptions(gpus=()))
