"""What each replica of a job used over time, from the samples that its agent left beside its output.

Of every replica the incarnations of one attempt are shown. Records count from the program's start; here they become
rates between two samples, so that whichever are left out, what is shown is the true mean of the time between.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainyard.core.clock import MICROSECONDS, rfc3339
from trainyard.core.log_files import read_directory_name
from trainyard.core.thinning import Thinned
from trainyard.core.usage_records import USAGE, Sample, samples
from trainyard.service.run_metrics import DEFAULT_POINTS, check_points

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainyard.kind import Kind
    from trainyard.service.access import Caller
    from trainyard.service.insight import Insight
    from trainyard.store import LogBook

_RATES: Final = ("cpuCores", "diskReadBytesPerSecond", "diskWriteBytesPerSecond")


class RunUsage:
    """Reads the samples of a job's replicas."""

    def __init__(self, insight: Insight, kinds: Mapping[str, Kind], logbook: LogBook) -> None:
        """Jobs come from `insight`, with its rights; files from `logbook`."""
        self._insight = insight
        self._kinds = kinds
        self._logbook = logbook

    async def read(
        self, name: str, caller: Caller, task: str = "", attempt: int | None = None, points: int = DEFAULT_POINTS
    ) -> dict[str, Any]:
        """`replicas` as JSON values, each with its newest values, its peaks and its points.

        Of one task or of all, of one attempt or of each replica's newest. Raises NotFound, PermissionDenied, and
        InvalidArgument on a bad number of points.
        """
        check_points(points)
        job = self._insight.with_task(name, caller, task)
        tasks = (task,) if task else self._kinds[job.name.collection].tasks(job)
        files = [(one, path) for one in tasks for path in self._logbook.raw_files(job.id, one, USAGE, attempt)]
        return {"replicas": await asyncio.to_thread(lambda: list(_replicas(files, points)))}


def _replicas(files: list[tuple[str, str]], most: int) -> Iterator[dict[str, Any]]:
    for task, path in files:
        source = read_directory_name(Path(path).parent.name)
        assert source is not None, f"{path} is no file of an incarnation"
        with contextlib.suppress(FileNotFoundError):  # the job was deleted meanwhile
            shown = of_samples(samples(Path(path).read_bytes()), most)
            yield {"task": task, "attempt": source[0], "incarnation": source[2], **shown}


def of_samples(found: Iterator[Sample], most: int) -> dict[str, Any]:
    """`samples`, `cpuSeconds` and so on of one incarnation, with at most `most` points."""
    kept, peak, used, newest = Thinned[Sample](most), dict[str, float](), dict[str, float](), None
    for sample in found:
        kept.add(sample)
        if newest is not None:
            used = _between(newest, sample)
            peak = {name: max(value, peak.get(name, value)) for name, value in used.items()}
        newest = sample
    newest = newest or Sample(0)
    points = [{"time": rfc3339(late.time_us), **_between(early, late)} for early, late in pairwise(kept)]
    return {
        "samples": max(0, kept.count - 1),
        "cpuSeconds": newest.cpu_us / MICROSECONDS,
        "diskReadBytes": newest.read_bytes,
        "diskWriteBytes": newest.written_bytes,
        "newest": {"time": rfc3339(newest.time_us), **used} if used else None,
        "peak": peak or None,
        "points": points,
    }


def _between(early: Sample, late: Sample) -> dict[str, float]:
    """Rates from one sample to the next, and what was in use at the second. GPUs only where it has some."""
    seconds = max(1, late.time_us - early.time_us) / MICROSECONDS
    rates = (
        (late.cpu_us - early.cpu_us) / MICROSECONDS,
        late.read_bytes - early.read_bytes,
        late.written_bytes - early.written_bytes,
    )
    found = {name: round(max(0.0, value / seconds), 3) for name, value in zip(_RATES, rates, strict=True)}
    found |= {"memoryBytes": late.memory_bytes, "processes": late.processes}
    if late.gpu_percent is not None:
        found |= {"gpuPercent": late.gpu_percent}
    if late.gpu_percent is not None or late.gpu_memory_bytes:
        found |= {"gpuMemoryBytes": late.gpu_memory_bytes}
    return found
