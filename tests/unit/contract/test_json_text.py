"""Times and durations as text."""

from __future__ import annotations

import pytest

from trainyard.contract.json_text import read_duration, read_timestamp, write_duration, write_timestamp


@pytest.mark.parametrize(
    ("nanos", "fraction"), [(0, ""), (500_000_000, ".500"), (1_000, ".000001"), (1, ".000000001"), (10_000_000, ".010")]
)
def test_fractions_have_no_three_six_or_nine_digits(nanos: int, fraction: str) -> None:
    """As proto3 JSON writes them, and both ways."""
    assert write_duration(3, nanos) == f"3{fraction}s"
    assert write_duration(-3, -nanos) == f"-3{fraction}s"
    assert read_duration(f"3{fraction}s") == (3, nanos)
    assert write_timestamp(86400, nanos) == f"1970-01-02T00:00:00{fraction}Z"
    assert read_timestamp(f"1970-01-02T00:00:00{fraction}Z") == (86400, nanos)
    assert read_timestamp(f"1970-01-02T02:30:00{fraction}+02:30") == (86400, nanos)
