"""The audit log: whole lines, none lost, no end to them."""

from __future__ import annotations

import fcntl
import json
import logging
import threading
from pathlib import Path

import pytest

from trainyard.audit import MOST_TEXT, AuditLog


def entries(directory: Path) -> list[dict[str, str]]:
    """All lines, oldest file first."""
    files = sorted(directory.glob("audit.log*"), key=lambda path: -int(path.suffix[1:]) if path.suffix != ".log" else 1)
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def test_a_line_says_who_did_what(tmp_path: Path) -> None:
    """Time, who, what, resource, result and, where there is one, the address; for its owner alone to read."""
    log = AuditLog(tmp_path)
    log.write(1_700_000_000_000_000, "ann", "customJobs.create", "projects/1", "OK", "127.0.0.1:4")
    log.write(1_700_000_000_000_000, "b\n", "tokens.revoke", "x" * 5000)
    first, second = entries(tmp_path)
    assert first == {
        "time": "2023-11-14T22:13:20Z",
        "who": "ann",
        "what": "customJobs.create",
        "resource": "projects/1",
        "result": "OK",
        "address": "127.0.0.1:4",
    }
    assert second["who"] == "b\n"
    assert len(second["resource"]) == MOST_TEXT
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_files_are_rotated_by_size(tmp_path: Path) -> None:
    """Old files move up by one, and the oldest goes."""
    log = AuditLog(tmp_path, most_bytes=200, kept=3)
    for number in range(40):
        log.write(0, "ann", "x", str(number))
    assert {path.name for path in tmp_path.iterdir()} <= {"audit.log", *(f"audit.log.{n}" for n in (1, 2, 3))}
    numbers = [int(each["resource"]) for each in entries(tmp_path)]
    assert numbers == list(range(numbers[0], 40))
    assert len(numbers) >= 6


def test_a_file_that_was_taken_away_is_made_anew(tmp_path: Path) -> None:
    """Whoever moves or removes it finds the next line under its name."""
    log = AuditLog(tmp_path)
    log.write(0, "ann", "x", "before")
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    log.write(0, "ann", "x", "after")
    assert [each["resource"] for each in entries(tmp_path)] == ["before", "after"]
    (tmp_path / "audit.log").unlink()
    log.write(0, "ann", "x", "again")
    assert json.loads((tmp_path / "audit.log").read_text())["resource"] == "again"


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Service and command line, with files that rotate under them."""
    logs = [AuditLog(tmp_path, most_bytes=4000, kept=1000) for _ in range(4)]

    def write(index: int) -> None:
        for number in range(100):
            logs[index].write(0, str(index), "x", str(number))

    threads = [threading.Thread(target=write, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [(each["who"], each["resource"]) for each in entries(tmp_path)]
    assert sorted(seen) == sorted((str(index), str(number)) for index in range(4) for number in range(100))


def test_a_disk_that_takes_no_line_ends_no_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The line is in the service's own log then."""
    with caplog.at_level(logging.ERROR):
        AuditLog(tmp_path / "nowhere").write(0, "ann", "x", "projects/1")
    assert '"who":"ann"' in caplog.text


def test_nobody_waits_for_who_has_rotated(tmp_path: Path) -> None:
    """The file that was set aside is open still, but locked no more: another writer must not wait for our next line."""
    log = AuditLog(tmp_path, most_bytes=100)
    log.write(0, "ann", "x", "y" * 100)
    with (tmp_path / "audit.log.1").open() as aside:
        fcntl.flock(aside, fcntl.LOCK_EX | fcntl.LOCK_NB)
