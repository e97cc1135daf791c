"""What the store in memory keeps of one job, and what follows from it for a search and its trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from trainyard.core.jobs import Change, Intent, Job, Note, ReplicaRecord
from trainyard.core.trials import ENDED, Stage, Trial, TrialRun, TrialState, claimed_run
from trainyard.store import ClaimReport, not_claimed, trial_missing


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has taken a search trial, since when, when last heard of, when and what was told."""

    worker: str
    claimed_us: int
    heard_us: int
    told_us: int | None = None
    told: ClaimReport | None = None

    def run(self) -> TrialRun:
        """As the search sees it."""
        told = self.told or ClaimReport(self.worker)
        return claimed_run(self.claimed_us, self.told_us, told.line, told.infeasible)


@dataclass(frozen=True, slots=True)
class File:
    """All that is kept of one job. Replaced as a whole, so a copy of the dictionary is a snapshot."""

    job: Job
    changes: tuple[Change, ...]
    notes: tuple[Note, ...]
    records: tuple[ReplicaRecord, ...] = ()
    trials: Mapping[tuple[Stage, int], Trial] = field(default_factory=dict)
    claims: Mapping[int, Claim] = field(default_factory=dict)


def with_intent(job: Job, intent: Intent, by: str, now_us: int) -> Job:
    """See Desk.ask_cancel and Desk.ask_finish: the job itself where nothing changes."""
    if job.is_final or job.intent in (Intent.CANCEL, intent):
        return job
    return replace(job, intent=intent, intent_by=by, intent_time_us=now_us, revision=job.revision + 1)


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


def claimable(file: File, worker: str, lost_before_us: int) -> Trial | None:
    """See Desk.claim."""
    free: list[tuple[bool, int]] = []
    for (stage, number), trial in file.trials.items():
        claim = file.claims.get(number)
        if stage is not Stage.SEARCH or trial.ended_as is not None or (claim and claim.told_us is not None):
            continue
        if claim is None and file.job.intent is Intent.FINISH:
            continue
        if claim is None or claim.worker == worker or claim.heard_us < lost_before_us:
            free.append((claim is None or claim.worker != worker, number))
    return file.trials[Stage.SEARCH, min(free)[1]] if free else None


def claimed(file: File, number: int, worker: str, now_us: int) -> File:
    """The file with the trial in this worker's hands."""
    before = file.claims.get(number)
    since_us = before.claimed_us if before and before.worker == worker else now_us
    return replace(file, claims={**file.claims, number: Claim(worker, since_us, now_us)})


def reported(file: File, number: int, told: ClaimReport, now_us: int) -> tuple[File, TrialState]:
    """See Desk.report; the same file where nothing has changed."""
    trial, claim = file.trials.get((Stage.SEARCH, number)), file.claims.get(number)
    if trial is None:
        raise trial_missing(file.job.name, number)
    if trial.state in ENDED:
        return file, trial.state
    if claim is None or claim.worker != told.worker:
        raise not_claimed(file.job.name, number, told.worker)
    if claim.told_us is not None:
        return file, TrialState.ACTIVE
    is_over = told.line is not None or told.infeasible is not None
    heard = replace(claim, heard_us=now_us, told_us=now_us if is_over else None, told=told if is_over else None)
    stops = file.job.is_final or file.job.intent is Intent.CANCEL
    state = TrialState.STOPPING if stops else TrialState.ACTIVE
    return replace(file, claims={**file.claims, number: heard}), state
