"""One replica, run to its end by an executor that is up only meanwhile."""

from __future__ import annotations

from pathlib import Path

from executor_suite import a_group, end, reading
from real_clock import RealClock

from trainyard.core.runs import Reading, ReplicaSpec
from trainyard.executors.local.client import LocalOptions, open_executor


async def ran(data_dir: Path, program: str, options: LocalOptions, image_uri: str = "") -> tuple[Reading, str]:
    """How a shell program's run looks at its end, and what it printed."""
    executor = await open_executor(data_dir, RealClock(), options)
    await executor.start()
    try:
        group = a_group(ReplicaSpec("workerpool0-0", 0, 0, image_uri, ("sh", "-c", program)))
        await executor.launch(group)
        await end(executor, group)
        written = data_dir / "logs" / str(group.job_id) / "1.workerpool0-0.0" / "stdout"
        return await reading(executor, group), written.read_text() if written.exists() else ""
    finally:
        await executor.close()
