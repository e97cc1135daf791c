"""What an agent takes of a metric file into the exit record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainyard.agent.ending import newest_lines


def test_there_is_none_without_a_plain_file(tmp_path: Path) -> None:
    """Nothing there, a directory, a FIFO, which must not be waited for."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("missing", "folder", "fifo"):
        assert newest_lines(str(tmp_path / name)) is None


@pytest.mark.parametrize("content", [b"", b"one", b"one\n", b"one\ntwo\n", b"one\ntorn"])
def test_a_short_file_is_taken_whole(tmp_path: Path, content: bytes) -> None:
    """To the byte."""
    (tmp_path / "metrics").write_bytes(content)
    assert newest_lines(str(tmp_path / "metrics")) == content.decode()


def test_of_a_long_file_the_newest_whole_lines_are_taken(tmp_path: Path) -> None:
    """At least the last two (the last may be torn), and otherwise no more than fit into a record."""
    lines = [f"{number:03d}" * 100 + "\n" for number in range(100)]
    (tmp_path / "metrics").write_text("".join(lines))
    assert newest_lines(str(tmp_path / "metrics")) == "".join(lines[-6:])
    lines = ["x" * 5000 + "\n", "y" * 5000 + "\n", "z" * 5000]
    (tmp_path / "metrics").write_text("".join(lines))
    assert newest_lines(str(tmp_path / "metrics")) == "".join(lines[-2:])


def test_bytes_that_are_no_text_hurt_nobody(tmp_path: Path) -> None:
    """They are replaced, and the reader of measurements says that it is no JSON."""
    (tmp_path / "metrics").write_bytes(b"\xff\xfe\n")
    assert newest_lines(str(tmp_path / "metrics")) == "\ufffd\ufffd\n"
