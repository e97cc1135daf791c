"""A history is a path through the table, and what is not is named."""

from __future__ import annotations

from trainyard.core.history import faults, line
from trainyard.core.jobs import Change
from trainyard.core.states import JobState as S

BIRTH = Change(1_700_000_000_000_000, None, S.QUEUED, 0, "created")
START = Change(1_700_000_001_000_000, S.QUEUED, S.PENDING, 1, "room")


def test_a_path_has_no_faults() -> None:
    """What the table allows, in order, from the creation to the present."""
    assert faults([BIRTH, START], S.PENDING) == ()


def test_each_kind_of_fault_is_named() -> None:
    """Nothing, a false start, a gap, a leap and a false end each have their sentence."""
    leap = Change(2, S.PENDING, S.CANCELLED, 1, "?")
    assert faults([], S.QUEUED) == ("There is no history at all.",)
    assert "begin with the creation" in faults([START], S.PENDING)[0]
    assert "does not start where line 1 ended" in faults([BIRTH, leap], S.CANCELLED)[0]
    assert "no way from PENDING to CANCELLED" in faults([BIRTH, START, leap], S.CANCELLED)[0]
    assert "ends at PENDING, and the job is RUNNING" in faults([BIRTH, START], S.RUNNING)[0]


def test_a_line_is_for_people() -> None:
    """When, from, to, which attempt, why."""
    assert line(BIRTH) == "2023-11-14T22:13:20Z (new) -> QUEUED: created"
    assert line(START) == "2023-11-14T22:13:21Z QUEUED -> PENDING attempt 1: room"
