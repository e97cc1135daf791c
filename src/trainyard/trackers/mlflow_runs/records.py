"""Which run of MLflow's belongs to a job, on disk from before its programs start until the job is deleted.

`open/<job id>.json` is a run that is still to be ended, `ended/<job id>.json` one that has been.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

OPEN: Final = "open"
ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class Record:
    """`theirs`: the metrics that the program wrote there itself, which are not copied; None before that was asked."""

    job_id: int
    experiment: str
    run: str
    params: dict[str, str]
    tags: dict[str, str]
    run_id: str = ""
    theirs: list[str] | None = None


class Records:
    """The directory. Raises OSError where it can't be written."""

    def __init__(self, directory: Path) -> None:
        """It is made with the first record."""
        self._directory = directory

    def keep(self, record: Record) -> None:
        """Make it durable."""
        path = self._path(record.job_id, OPEN)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)

    def end(self, job_id: int) -> None:
        """Its run is ended."""
        path = self._path(job_id, ENDED)
        path.parent.mkdir(exist_ok=True)
        self._path(job_id, OPEN).rename(path)

    def forget(self, job_id: int) -> None:
        """The job is deleted."""
        for state in (OPEN, ENDED):
            self._path(job_id, state).unlink(missing_ok=True)

    def find(self, job_id: int) -> Record | None:
        """The record of a job; None where there is none, or none that can be read."""
        for state in (OPEN, ENDED):
            try:
                return Record(**json.loads(self._path(job_id, state).read_text("utf-8")))
            except (OSError, ValueError, TypeError):
                continue
        return None

    def ids(self, state: str) -> Iterator[int]:
        """The jobs whose record is in that state."""
        for path in self._directory.joinpath(state).glob("*.json"):
            if path.stem.isdecimal():
                yield int(path.stem)

    def _path(self, job_id: int, state: str) -> Path:
        return self._directory / state / f"{job_id}.json"
