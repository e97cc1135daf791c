"""A replica's Python packages as its container has them: found before anything starts, one read-only file each.

So they need not lie at /gcs, where an object's name may be another and, with objects elsewhere, nothing is at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trainyard.core.runs import ReplicaSpec

_INSIDE: Final = "/run/trainyard/packages"

Find = Callable[[str], Path]
"""The file of a `gs://bucket/object` on this machine. Blocks. Raises PreparationFailed, OSError."""


async def packages_of(spec: ReplicaSpec, find: Find) -> tuple[tuple[str, str, bool], ...]:
    """What to mount, in the order of the spec: (source, target, read-only); targets are named as pip wants them.

    Raises PreparationFailed for a package that is not there, OSError.
    """
    uris = spec.package.uris if spec.package else ()
    return tuple(
        [
            (str(await asyncio.to_thread(find, uri)), f"{_INSIDE}/{number}/{uri.rpartition('/')[2]}", True)
            for number, uri in enumerate(uris)
        ]
    )
