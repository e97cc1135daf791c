"""What the store in memory keeps of one job, and what follows from it for a search and its trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from trainyard.core.jobs import Change, Job, Note, ReplicaRecord
from trainyard.core.trials import Stage, Trial, TrialRun


@dataclass(frozen=True, slots=True)
class File:
    """All that is kept of one job. Replaced as a whole, so a copy of the dictionary is a snapshot."""

    job: Job
    changes: tuple[Change, ...]
    notes: tuple[Note, ...]
    records: tuple[ReplicaRecord, ...] = ()
    trials: Mapping[tuple[Stage, int], Trial] = field(default_factory=dict)


def past_of(searched: Iterable[Trial]) -> dict[tuple[Stage, int], Trial]:
    """The ended search trials of one job as the past of the job that goes on from it."""
    return {
        (Stage.PAST, trial.number): replace(trial, stage=Stage.PAST)
        for trial in searched
        if trial.stage is Stage.SEARCH and trial.ended_as is not None
    }


def running(file: File | None) -> TrialRun | None:
    """The job that runs a trial, in a few words."""
    if file is None:
        return None
    job, status = file.job, file.job.status
    reports = {
        record.replica: record.exit.report
        for record in file.records
        if record.attempt == status.attempt and record.exit.report is not None
    }
    report = reports[min(reports)] if reports else None
    error = status.error.message if status.error else ""
    return TrialRun(job.id, status.state, status.start_time_us, status.end_time_us, error, report)
