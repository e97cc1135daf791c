"""What groups hold is known again after any death, and the file never grows with what is past."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from trainyard.executors.local import holdings
from trainyard.executors.local.holdings import Holdings

ONE = {"ports": {"workerpool0-0": 20001}, "gpus": {}, "notes": []}
TWO = {"ports": {"workerpool0-0": 20002}, "gpus": {"workerpool0-0": ["0"]}, "notes": ["It runs."]}


def opened(path: Path) -> Holdings:
    kept = Holdings(path)
    kept.load()
    return kept


def found(path: Path) -> list[dict[str, object]]:
    kept = Holdings(path)
    try:
        return kept.load()
    finally:
        kept.close()


def test_what_is_held_is_known_to_the_next_server(tmp_path: Path) -> None:
    """The last word about each group counts; who gave everything back is not there."""
    kept = opened(tmp_path / "holdings")
    kept.hold("1-1", ONE)
    kept.hold("2-1", ONE)
    kept.hold("2-1", TWO)
    kept.release("1-1")
    kept.release("3-1")  # it held nothing
    kept.close()
    assert found(tmp_path / "holdings") == [{"run": "2-1", **TWO}]
    assert found(tmp_path / "holdings") == [{"run": "2-1", **TWO}]


@pytest.mark.parametrize("torn", [b'{"run": "9-1", "po', b"\0\0\0\0", b'{"run": "9-1"}\n', b"[]\n", b"\xff\n"])
def test_a_torn_line_counts_as_none(tmp_path: Path, torn: bytes) -> None:
    """A server that was killed in the middle of a line had started nothing of what it speaks of."""
    kept = opened(tmp_path / "holdings")
    kept.hold("1-1", ONE)
    kept.close()
    with (tmp_path / "holdings").open("ab") as file:
        file.write(torn)
    kept = opened(tmp_path / "holdings")
    kept.hold("2-1", TWO)
    kept.close()
    assert [record["run"] for record in found(tmp_path / "holdings")] == ["1-1", "2-1"]


def test_the_file_does_not_grow_with_the_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten thousand groups the file holds few lines, and those of who is still there."""
    monkeypatch.setattr(holdings, "_LARGEST_BYTES", 4096)
    kept = opened(tmp_path / "holdings")
    kept.hold("1-1", ONE)
    for number in range(2, 1000):
        kept.hold(f"{number}-1", TWO)
        kept.release(f"{number}-1")
        assert (tmp_path / "holdings").stat().st_size < 3 * 4096
    kept.close()
    assert found(tmp_path / "holdings") == [{"run": "1-1", **ONE}]


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fills up in the middle, the caller hears of it and what was written before still counts."""
    kept = opened(tmp_path / "holdings")
    kept.hold("1-1", ONE)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:7]))
    with pytest.raises(OSError, match="No space") as refused:
        kept.hold("1-1", TWO)
    assert refused.value.errno == errno.ENOSPC
    kept.release("1-1")  # unsaid on the disk, and no reason to fail
    monkeypatch.undo()
    kept.close()
    assert found(tmp_path / "holdings") == [{"run": "1-1", **ONE}]


def test_a_full_disk_is_no_reason_not_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays as it is, without its torn end, until there is room to make it anew; another fault is told."""
    (tmp_path / "holdings").write_bytes(b'{"run":"1-1","ports":{},"gpus":{},"notes":[]}\n{"ov')

    def refuse(number: int) -> None:
        def write_bytes(path: Path, _: bytes) -> int:
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(Path, "write_bytes", write_bytes)

    refuse(errno.ENOSPC)
    kept = opened(tmp_path / "holdings")
    kept.hold("2-1", TWO)
    kept.close()
    monkeypatch.undo()
    assert [record["run"] for record in found(tmp_path / "holdings")] == ["1-1", "2-1"]
    refuse(errno.EACCES)
    with pytest.raises(PermissionError):
        opened(tmp_path / "holdings")
