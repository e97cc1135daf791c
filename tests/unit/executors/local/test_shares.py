"""A share is found where this machine has it, or what stands in for it; else the sentence says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard.core.runs import ReplicaSpec, Share
from trainyard.executors.local.packages import PreparationFailed
from trainyard.executors.local.shares import find_shares, refuse_shares

NFS = Share("10.0.0.1:/data", "/mnt/nfs/data")


def test_a_mounted_share_is_found(tmp_path: Path) -> None:
    """By its source, also where the mount point has a space; what stands in for it comes first."""
    place, other = tmp_path / "a b", tmp_path / "other"
    place.mkdir()
    other.mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text(f"proc /proc proc rw 0 0\n10.0.0.1:/data {tmp_path}/a\\040b nfs4 rw 0 0\n")
    assert find_shares((NFS,), {}, mounts) == ((str(place), "/mnt/nfs/data", False),)
    assert find_shares((NFS,), {NFS.source: str(other)}, mounts) == ((str(other), "/mnt/nfs/data", False),)
    assert find_shares((), {}) == ()


def test_a_missing_share_is_told(tmp_path: Path) -> None:
    """Neither mounted nor stood in for, or by what is no directory: both ways out are named."""
    for stand_ins in ({}, {NFS.source: str(tmp_path / "none")}):
        with pytest.raises(PreparationFailed, match=r"mount_sources: 10\.0\.0\.1:/data=/DIRECTORY"):
            find_shares((NFS,), stand_ins, tmp_path / "none")


def test_outside_of_a_container_there_are_none() -> None:
    """A replica on the host is not started without its data."""
    refuse_shares(ReplicaSpec("workerpool0-0", 0, 0, "img"))
    with pytest.raises(PreparationFailed, match="only a replica in a container"):
        refuse_shares(ReplicaSpec("workerpool0-0", 0, 0, "img", shares=(NFS,)))
