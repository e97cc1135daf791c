"""A replica that is started again in place gets the address of its earlier container, so that one is removed first.

Its end is on record when its program has ended; its agents remove it behind that, which takes a moment.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from trainyard.agent.container import directory_of
from trainyard.agent.records import control_path
from trainyard.core.runs import ReplicaSpec
from trainyard.executors.local.container_plan import container_name
from trainyard.executors.local.engine import ContainerEngine

_LOOK_AGAIN_SECONDS: Final = 0.05
_LOOKS: Final = 200


async def make_way(run_id: str, spec: ReplicaSpec, runs: Path, engine: ContainerEngine) -> None:
    """Wait for the removal of what was there before `spec`; see to it where its agents do not. Raises EngineFailed."""
    if not spec.incarnation:
        return
    before = spec.incarnation - 1
    directory = Path(directory_of(control_path(str(runs), run_id, spec.name, before)))
    for _ in range(_LOOKS):
        if not await asyncio.to_thread(directory.exists):
            return
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    await engine.discard(container_name(run_id, spec.name, before))
