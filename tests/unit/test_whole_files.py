"""A file that is replaced is whole at every moment, and nothing else is left beside it."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from trainyard.whole_files import sync_directory, write_whole


@pytest.mark.parametrize("durable", [False, True])
def test_the_new_bytes_stand_in_the_place_of_the_old(tmp_path: Path, durable: bool) -> None:
    """With the mode that was asked for, whatever the umask and the old file had; no draft is left."""
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    for mode in (0o600, 0o755):
        write_whole(path, b"new", mode, durable=durable)
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)
    assert list(tmp_path.iterdir()) == [path]
    sync_directory(tmp_path)


def test_what_fails_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    """A directory stands where the file is to be: it stays, and the error is told."""
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_whole(tmp_path / "file", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "no" / "file", b"new")
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "no")


def test_threads_do_not_meet_in_a_draft(tmp_path: Path) -> None:
    """Many write one file at once: each of them succeeds, and the file is one of theirs to the byte."""
    path, failed = tmp_path / "file", []
    contents = [bytes([number]) * 100_000 for number in range(8)]

    def write(content: bytes) -> None:
        try:
            for _ in range(20):
                write_whole(path, content)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]
