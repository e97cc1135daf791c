"""File systems elsewhere, as replicas see them: where this machine has them mounted, or what stands in for them.

Nothing is mounted here: that needs root, and a share that hangs would take the service with it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from trainyard.core.runs import ReplicaSpec, Share
from trainyard.executors.local.packages import PreparationFailed

_MOUNTS: Final = Path("/proc/self/mounts")


def find_shares(
    shares: Sequence[Share], stand_ins: Mapping[str, str], mounts: Path = _MOUNTS
) -> tuple[tuple[str, str, bool], ...]:
    """Directory, place inside, and whether it is only read (never), of each. Raises PreparationFailed."""
    if not shares:
        return ()
    mounted = _mounted(mounts)
    found = []
    for share in shares:
        directory = stand_ins.get(share.source) or mounted.get(share.source)
        if directory is None or not Path(directory).is_dir():
            raise PreparationFailed(
                f"{share.source}, which is to be at {share.target}, is not mounted on this machine. Mount it, or name "
                f"a directory that stands in for it in the setting mount_sources: {share.source}=/DIRECTORY."
            )
        found.append((directory, share.target, False))
    return tuple(found)


def refuse_shares(spec: ReplicaSpec) -> None:
    """Raises PreparationFailed where a replica outside of a container asks for any."""
    if spec.shares:
        raise PreparationFailed(
            f"{spec.name} is to see {spec.shares[0].source} at {spec.shares[0].target}, which only a replica in a "
            "container can: have its image on this machine and podman installed (trainyard doctor), or leave the mount "
            "out and read the data from a gs:// bucket."
        )


def _mounted(mounts: Path) -> dict[str, str]:
    """Mount points by source; a space in them stands as an octal number (fstab(5))."""
    found = {}
    with contextlib.suppress(OSError):
        for line in mounts.read_text("utf-8", errors="replace").splitlines():
            source, target, *_ = line.split(" ")
            found[source] = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), target)
    return found
