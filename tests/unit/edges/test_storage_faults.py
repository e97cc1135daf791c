"""Faults of the disk below the buckets, as clients of Cloud Storage hear of them."""

from __future__ import annotations

import errno

import pytest

from trainyard.edges.storage.faults import disk_fault


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (errno.ENOSPC, 507, "Make room"),
        (errno.EDQUOT, 507, "Make room"),
        (errno.EACCES, 403, "chown"),
        (errno.EPERM, 403, "chown"),
    ],
)
def test_what_the_disk_refuses_is_told(number: int, status: int, words: str) -> None:
    """Each has the status that clients know, and what to do; they are nobody's mistake to be looked up in a log."""
    fault = disk_fault(OSError(number, "no"))
    assert fault is not None
    assert fault.status == status
    assert words in fault.message


def test_what_nobody_foresaw_is_no_fault_of_the_disk() -> None:
    """It goes to the log under an error id instead."""
    assert disk_fault(OSError(errno.EIO, "broken")) is None
