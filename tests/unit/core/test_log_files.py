"""The names under which output lies say whose it is."""

from __future__ import annotations

import pytest

from trainyard.core.log_files import directory_name, last_lines, read_directory_name


@pytest.mark.parametrize("source", [(1, "workerpool0-0", 0), (12, "a.b", 34)])
def test_a_directory_name_is_read_as_it_was_written(source: tuple[int, str, int]) -> None:
    """Attempt, replica and incarnation come back, whatever the replica is called."""
    assert read_directory_name(directory_name(*source)) == source


@pytest.mark.parametrize("name", ["", "1", "1.0", "1..0", "x.w.0", "1.w.x", "1.w.-1", "\u0661.w.0"])
def test_other_names_are_no_output(name: str) -> None:
    """What lies beside is nobody's output and breaks no listing."""
    assert read_directory_name(name) is None


def test_the_last_lines_are_whole_and_few() -> None:
    """Five at most, whatever the bytes before them are cut in the middle of."""
    assert last_lines(b"") == last_lines(b"\n\n") == ""
    assert last_lines(b"\xa9nly\n" + b"1\n2\n3\n4\n5") == "1\n2\n3\n4\n5"
    assert last_lines(b"\xa9nly\n") == "\ufffdnly"
