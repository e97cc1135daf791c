"""A search's log is its trials' logs: every line once, in a cursor that forgets what was read whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from trainyard.core.log_files import CLOSED, INDEX, index_record, replica_directory
from trainyard.core.states import JobState
from trainyard.core.trials import Stage
from trainyard.store import Run
from trainyard.stores.log_files.book import FileLogBook

SEARCH = 1


class Ground:
    """Trials of one search, and what their replicas have written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs: list[Run] = []
        self.clock_us = time.time_ns() // 1000
        self.book = FileLogBook(root, lambda job_id, after: (), runs=self.runs_after)

    def runs_after(self, job_id: int, run_id: int, most: int) -> Sequence[Run]:
        """As Desk.runs_after."""
        return [run for run in self.runs if run.id > run_id][:most] if job_id == SEARCH else []

    def trial(self, number: int, state: JobState = JobState.RUNNING, stage: Stage = Stage.SEARCH) -> None:
        """A trial, new or as it is now."""
        run_id = 100 + number if stage is Stage.SEARCH else 5000 + number
        self.runs = sorted([run for run in self.runs if run.id != run_id] + [Run(run_id, stage, number, state)])

    def write(self, run_id: int, *lines: str, closed: bool = False) -> None:
        """Lines of the run's only replica."""
        folder = replica_directory(self.root, run_id, 1, "workerpool0-0", 0)
        folder.mkdir(parents=True, exist_ok=True)
        for line in lines:
            with (folder / "stdout").open("ab") as file:
                file.write(f"{line}\n".encode())
                end = file.tell()
            self.clock_us += 1
            with (folder / INDEX).open("ab") as file:
                file.write(index_record(self.clock_us, 0, end))
        if closed:
            (folder / CLOSED).touch()

    def read(self, cursor: str = "", size: int = 100, task: str = "") -> tuple[list[tuple[str, str]], str]:
        """Task and text of each line, and where to go on."""
        batch = asyncio.run(self.book.read(SEARCH, cursor, size, task))
        return [(line.task, line.text) for line in batch.lines], batch.cursor


def test_lines_of_all_trials_come_once_and_in_order(tmp_path: Path) -> None:
    """Whatever the size of a page, while trials come and go."""
    ground = Ground(tmp_path)
    ground.trial(1)
    ground.write(101, "a", "b")
    ground.trial(2)
    ground.write(102, "c")
    seen, cursor = ground.read(size=2)
    assert seen == [("search-1/workerpool0-0", "a"), ("search-1/workerpool0-0", "b")]
    ground.write(101, "d", closed=True)
    ground.trial(1, JobState.SUCCEEDED)
    ground.trial(1, stage=Stage.TRAIN)
    ground.write(5001, "e")
    seen, cursor = ground.read(cursor)
    assert [text for _, text in seen] == ["c", "d", "e"]
    assert seen[-1][0] == "train-1/workerpool0-0"
    assert ground.read(cursor)[0] == []


def test_a_cursor_does_not_grow_with_what_was_read_whole(tmp_path: Path) -> None:
    """Two thousand trials, most of them silent, cost no more than the few that still write."""
    ground = Ground(tmp_path)
    for number in range(1, 2001):
        ground.trial(number, JobState.SUCCEEDED)
        if number % 100 == 0:
            ground.write(100 + number, str(number), closed=True)
    ground.trial(2001)
    ground.write(2101, "last")
    seen, cursor = [], ""
    for _ in range(6):
        lines, cursor = ground.read(cursor, size=7)
        seen += [text for _, text in lines]
    assert seen == [*(str(number) for number in range(100, 2001, 100)), "last"]
    assert len(cursor) < 200


def test_a_task_picks_a_trial_or_one_of_its_replicas(tmp_path: Path) -> None:
    """`search-1` does not mean `search-10`."""
    ground = Ground(tmp_path)
    for number in (1, 10):
        ground.trial(number)
        ground.write(100 + number, f"of {number}")
    assert ground.read(task="search-1")[0] == [("search-1/workerpool0-0", "of 1")]
    assert ground.read(task="search-10/workerpool0-0")[0] == [("search-10/workerpool0-0", "of 10")]
    assert ground.read(task="workerpool0-0")[0] == []
    (path,) = ground.book.raw_files(SEARCH, "search-10/workerpool0-0", "stdout")
    assert Path(path).read_text() == "of 10\n"
    assert ground.book.raw_files(SEARCH, "search-2/workerpool0-0", "stdout") == ()
