"""A running job is as far as its primary replica last said, in what it prints (core/progress.py has the forms)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from trainyard.core.errors import ApiError
from trainyard.core.progress import Progress, left_at_this_pace, newest
from trainyard.core.states import JobState

if TYPE_CHECKING:
    from trainyard.core.jobs import Job
    from trainyard.store import LogBook

PRIMARY: Final = "workerpool0-0"
_TAIL_BYTES: Final = 16_384
_STREAMS: Final = ("stdout", "stderr")


def progress_of(job: Job, logbook: LogBook) -> dict[str, Any] | None:
    """`fraction`, `percent`, `secondsLeft` (or null) and the `line` that says so; None where the job says nothing.

    A program that does not say what is left is taken to go on as it did so far; one that was restarted may have gone on
    from anywhere, so nothing is said of it. `secondsLeftBy` tells the two apart: "program" or "pace".
    """
    if job.status.state is not JobState.RUNNING:
        return None
    files = [logbook.raw_files(job.id, PRIMARY, stream) for stream in _STREAMS]
    found = [said for paths in files if (said := _newest(paths, logbook))]
    if not found:
        return None
    when, progress = max(found, key=lambda said: said[0])
    left, by, start = progress.seconds_left, "program", job.status.start_time_us
    if left is None and start is not None and job.status.attempt == max(map(len, files)) == 1:
        left, by = left_at_this_pace(progress.fraction, when - start / 1e6), "pace"
    return {
        "fraction": round(progress.fraction, 4),
        "percent": round(progress.fraction * 100),
        "secondsLeft": left,
        "secondsLeftBy": None if left is None else by,
        "line": progress.line,
    }


def _newest(paths: tuple[str, ...], logbook: LogBook) -> tuple[float, Progress] | None:
    """What the end of the newest file says, and when it was written."""
    if not paths:
        return None
    try:
        stat = os.stat(paths[-1])  # noqa: PTH116 - at every look at a running job; Path costs thrice
        said = newest(logbook.tail(paths[-1], _TAIL_BYTES).decode("utf-8", "replace"))
    except (OSError, ApiError):
        return None
    return (stat.st_mtime, said) if said else None
