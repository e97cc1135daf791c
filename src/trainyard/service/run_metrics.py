"""A job's metrics are the scalars of the event files under its AIP_TENSORBOARD_LOG_DIR, read where they lie.

Nothing is copied or kept twice: what TensorBoard would show of the directory is what is shown here, also while the job
runs, and for as long as its outputs are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import google_crc32c

from trainyard.core.clock import rfc3339
from trainyard.core.errors import FailedPrecondition, Internal, InvalidArgument, NotFound
from trainyard.core.event_files import Damaged, Scalar, scalars
from trainyard.core.names import JobName
from trainyard.core.object_paths import bucket_and_prefix
from trainyard.core.thinning import Thinned
from trainyard.objects import Query
from trainyard.service.call import unlocked

if TYPE_CHECKING:
    from trainyard.core.jobs import Job
    from trainyard.kind import Kind
    from trainyard.objects import ObjectStore, StoredObject
    from trainyard.service.access import Caller
    from trainyard.service.insight import Insight

DEFAULT_POINTS: Final = 1000
MOST_POINTS: Final = 100_000
_PIECE_BYTES: Final = 1 << 20
_MARK: Final = "tfevents"  # in the name of every event file
_OUTPUT_FIELD: Final = ("base_output_directory", "output_uri_prefix")


class Series:
    """The points of one tag of one run (a directory below the logs), thinned evenly to at most `most`."""

    def __init__(self, run: str, tag: str, most: int) -> None:
        """No point yet."""
        self.run = run
        self.tag = tag
        self._points = Thinned[Scalar](most)

    def add(self, point: Scalar) -> None:
        """One more; the newest is always kept."""
        self._points.add(point)

    def as_json(self) -> dict[str, Any]:
        """Points in order of their steps; of a step that was written twice (after a restart), the later one."""
        ordered = sorted(self._points, key=lambda point: (point.step, point.time_us))
        by_step = {point.step: point for point in ordered}
        points = [{"step": p.step, "time": rfc3339(p.time_us), "value": _number(p.value)} for p in by_step.values()]
        return {"run": self.run, "tag": self.tag, "count": self._points.count, "points": points}


def check_points(points: int) -> None:
    """Raises InvalidArgument on a number of points that no series can be thinned to."""
    if not 2 <= points <= MOST_POINTS:
        raise InvalidArgument(f"points must be from 2 to {MOST_POINTS}, but is {points}.")


def _number(value: float) -> float | str:
    """As protobuf's JSON has it: `NaN`, `Infinity` and `-Infinity` are strings."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


class RunMetrics:
    """Reads the scalars that a job's programs wrote."""

    def __init__(self, insight: Insight, kinds: Mapping[str, Kind], objects: ObjectStore) -> None:
        """Jobs come from `insight`, with its rights; files from `objects`."""
        self._insight = insight
        self._kinds = kinds
        self._objects = objects

    async def read(self, name: str, caller: Caller, tag: str = "", points: int = DEFAULT_POINTS) -> dict[str, Any]:
        """`source`, `series` and `damaged` as JSON values; of one tag, or of all.

        Raises NotFound, PermissionDenied, InvalidArgument on a bad number of points, FailedPrecondition where the job
        has no output directory, or is sealed under a key that is not to be had.
        """
        check_points(points)
        job = unlocked(self._insight.job(name, caller))
        source = _logs_of(self._kinds[JobName.parse(name).collection].render(job), name)
        series, damaged = await asyncio.to_thread(self._series, source, tag, points)
        listed = [series[key].as_json() for key in sorted(series)]
        return {"source": source, "series": listed, "damaged": damaged}

    def points(self, job: Job) -> Iterator[tuple[str, Scalar]]:
        """Every point that the job's programs wrote, with its run. Blocks; raises FailedPrecondition as `read`."""
        source = _logs_of(self._kinds[job.name.collection].render(job), str(job.name))
        bucket, prefix = bucket_and_prefix(source)
        for one in self._files(bucket, prefix):
            run = one.name[len(prefix) :].rpartition("/")[0]
            with contextlib.suppress(Damaged, Internal):  # what stands before the damage counts
                yield from ((run, point) for point in self._scalars(one))

    def _series(self, source: str, tag: str, most: int) -> tuple[dict[tuple[str, str], Series], list[dict[str, str]]]:
        found: dict[tuple[str, str], Series] = {}
        damaged = []
        bucket, prefix = bucket_and_prefix(source)
        for one in self._files(bucket, prefix):
            run = one.name[len(prefix) :].rpartition("/")[0]
            try:
                for point in self._scalars(one):
                    if not tag or point.tag == tag:
                        found.setdefault((run, point.tag), Series(run, point.tag, most)).add(point)
            except Damaged as odd:
                damaged.append({"file": f"gs://{bucket}/{one.name}", "why": f"{odd}; what stands before it is shown."})
            except Internal as odd:
                damaged.append({"file": f"gs://{bucket}/{one.name}", "why": odd.message})
        return found, damaged

    def _files(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Event files in the order of their names, which is the order of their making."""
        after = ""
        while True:
            try:
                page = self._objects.list(bucket, Query(prefix=prefix, after=after))
            except NotFound:
                return
            yield from (one for one in page.objects if _MARK in one.name.rpartition("/")[2])
            after = page.next_after
            if not after:
                return

    def _scalars(self, one: StoredObject) -> Iterator[Scalar]:
        try:
            known, reader = self._objects.open(one.bucket, one.name)
        except NotFound:
            return
        try:
            yield from scalars(_ahead(reader.read, known.size), known.size, google_crc32c.value)
        except OSError:
            return  # shorter than it was: its writer has begun it anew
        finally:
            reader.close()


def _ahead(read: Callable[[int, int], bytes], size: int) -> Callable[[int, int], bytes]:
    """Reads of a few bytes served from pieces of a megabyte."""
    begun, piece = 0, b""

    def read_at(offset: int, count: int) -> bytes:
        nonlocal begun, piece
        if not begun <= offset <= offset + count <= begun + len(piece):
            begun, piece = offset, read(offset, min(max(count, _PIECE_BYTES), size - offset))
        return piece[offset - begun : offset - begun + count]

    return read_at


def _logs_of(message: Any, name: str) -> str:
    """The gs:// directory that AIP_TENSORBOARD_LOG_DIR names."""
    value = getattr(message, "job_spec", message)  # or the CustomJobSpec of a job that runs a trial
    for step in _OUTPUT_FIELD:
        value = getattr(value, step, "")
    if not value:
        raise FailedPrecondition(
            f"{name} has no jobSpec.baseOutputDirectory, so its programs had no AIP_TENSORBOARD_LOG_DIR to write event "
            "files to; set one, for example gs://my-bucket/my-job, and submit the job again."
        )
    return f"{str(value).rstrip('/')}/logs/"
