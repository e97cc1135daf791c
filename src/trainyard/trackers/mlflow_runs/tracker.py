"""Each job with an experiment has its run in MLflow: made before its programs start, ended when it has ended.

The run is found again by its name, so whatever a crash interrupts is done again to the same end. Programs log to it as
MLflow has it, by MLFLOW_RUN_ID; the scalars of their event files are copied at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from trainyard.core.errors import ApiError, Unavailable
from trainyard.core.event_files import Scalar
from trainyard.core.jobs import Job
from trainyard.core.runs import RunGroup
from trainyard.core.states import JobState
from trainyard.core.tracking import names, parameters
from trainyard.tracker import Find, Scalars, Tracked
from trainyard.trackers.mlflow_runs.records import ENDED, OPEN, Record, Records
from trainyard.trackers.mlflow_runs.speaker import Speaker

BEGIN_SECONDS: Final = 20.0
"""How long a job waits for its run, at most."""

_END_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 30.0  # after MLflow could not be asked
_POINTS_AT_ONCE: Final = 5000
_STATUS: Final = {JobState.SUCCEEDED: "FINISHED", JobState.CANCELLED: "KILLED"}
_log = logging.getLogger(__name__)


class MlflowTracker:
    """Keeps the promise of tracker.Tracker."""

    def __init__(self, uri: str, directory: Path) -> None:
        """`uri` as MLFLOW_TRACKING_URI has it; records lie in `directory`."""
        self._uri = uri
        self._records = Records(directory)
        self._speaker = Speaker(uri, directory)

    async def begin(self, job: Job, group: RunGroup) -> Mapping[str, str]:
        """See the promise. The record stays also where MLflow can't be asked: its run is then made at the end."""
        experiment, run = names(job, group.experiment, group.experiment_run)
        tags = {"trainyard.job": group.job_name, "trainyard.displayName": job.display_name}
        record = Record(job.id, experiment, run, parameters(job, group), tags)
        known = self._records.find(job.id)
        try:
            if known is None:
                await asyncio.to_thread(self._records.keep, record)
            run_id = await self._begun(record, BEGIN_SECONDS)
            await asyncio.to_thread(self._records.keep, replace(record, run_id=run_id))
        except OSError as error:
            raise Unavailable(f"Its MLflow run can't be written down: {error.strerror}.") from None
        return {"MLFLOW_TRACKING_URI": self._uri, "MLFLOW_EXPERIMENT_NAME": experiment, "MLFLOW_RUN_ID": run_id}

    def told(self, job_id: int) -> Tracked | None:
        """See the promise."""
        record = self._records.find(job_id)
        return Tracked(self._speaker.where, record.experiment, record.run, record.run_id) if record else None

    async def run(self, find: Find, scalars: Scalars) -> None:
        """See the promise."""
        for job_id in await asyncio.to_thread(lambda: list(self._records.ids(ENDED))):
            if find(job_id) is None:
                self._records.forget(job_id)
        try:
            with contextlib.suppress(Unavailable):  # whoever asks next is told
                await self._speaker.ask("greet", _END_SECONDS)
            while True:
                ended = await self._end_those_over(find, scalars)
                await asyncio.sleep(_LOOK_SECONDS if ended else _AGAIN_SECONDS)
        finally:
            await self._speaker.close()

    async def _end_those_over(self, find: Find, scalars: Scalars) -> bool:
        """False where MLflow could not be asked."""
        for job_id in await asyncio.to_thread(lambda: sorted(self._records.ids(OPEN))):
            job = find(job_id)
            if job is not None and not job.is_final:
                continue
            record = self._records.find(job_id)
            try:
                if record is not None:
                    await self._end(record, job, scalars)
                self._records.end(job_id)
                if job is None:
                    self._records.forget(job_id)
            except (ApiError, OSError) as error:
                _log.warning("the MLflow run of job %d is not ended yet; trying again: %s", job_id, error)
                return False
        return True

    async def _end(self, record: Record, job: Job | None, scalars: Scalars) -> None:
        record = replace(record, run_id=record.run_id or await self._begun(record, _END_SECONDS))
        if job is not None:
            await self._copy(record, scalars(job))
        state = job.status.state if job else JobState.CANCELLED
        ended_us = job.status.end_time_us or job.status.update_time_us if job else 0
        status = _STATUS.get(state, "FAILED")
        await self._speaker.ask("end", _END_SECONDS, run_id=record.run_id, status=status, ended_ms=ended_us // 1000)

    async def _copy(self, record: Record, points: Iterator[tuple[str, Scalar]]) -> None:
        """Copy the scalars, but for metrics that the programs have written to the run themselves."""
        if record.theirs is None:
            theirs = await self._speaker.ask("metrics", _END_SECONDS, run_id=record.run_id)
            record = replace(record, theirs=theirs)
            await asyncio.to_thread(self._records.keep, record)
        theirs = set(record.theirs or ())
        while batch := await asyncio.to_thread(_some, points):
            told = [point for point in batch if point[0] not in theirs]
            await self._speaker.ask("log", _END_SECONDS, run_id=record.run_id, points=told)

    async def _begun(self, record: Record, seconds: float) -> str:
        words = {"experiment": record.experiment, "run": record.run, "params": record.params, "tags": record.tags}
        return str(await self._speaker.ask("begin", seconds, **words))


def _some(points: Iterator[tuple[str, Scalar]]) -> list[tuple[str, int, int, float]]:
    """The next points as program.Calls.log takes them; a run's directory stands before its metric."""
    found = []
    with contextlib.suppress(ApiError):  # without an output directory there are no event files
        for run, point in islice(points, _POINTS_AT_ONCE):
            name = f"{run}/{point.tag}" if run else point.tag
            found.append((name, point.step, point.time_us // 1000, point.value))
    return found


def open_tracker(uri: str, directory: Path) -> MlflowTracker:
    """What the composition root asks for."""
    return MlflowTracker(uri, directory)
