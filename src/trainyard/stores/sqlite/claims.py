"""Workers take trials and report on them: two writes of the Desk, each one transaction."""

from __future__ import annotations

import sqlite3

from trainyard.core.jobs import Intent
from trainyard.core.names import JobName
from trainyard.core.trials import ENDED, Stage, Trial, TrialState
from trainyard.store import ClaimReport, not_claimed, trial_missing
from trainyard.stores.sqlite.queries import SQL
from trainyard.stores.sqlite.trials import Stored, trial_from
from trainyard.stores.sqlite.writer import Work
from trainyard.stores.sqlite.writes import ReadJob, present


def claim(name: JobName, worker: str, now_us: int, lost_before_us: int, read: ReadJob) -> Work[Trial | None]:
    """Raises NotFound."""

    def work(connection: sqlite3.Connection) -> tuple[Trial | None, int | None]:
        job = present(connection, name, read)
        if job.is_final or job.intent is Intent.CANCEL:
            return None, None
        finishes = job.intent is Intent.FINISH
        row = connection.execute(SQL["claimable"], (job.id, worker, lost_before_us, finishes)).fetchone()
        if row is None:
            return None, None
        trial = trial_from(row)
        connection.execute(SQL["put_claim"], (job.id, trial.number, worker, now_us))
        return trial, None

    return work


def report(
    name: JobName, number: int, told: ClaimReport, now_us: int, read: ReadJob, stored: Stored
) -> Work[TrialState]:
    """Raises NotFound, or FailedPrecondition where the worker does not hold the trial."""

    def work(connection: sqlite3.Connection) -> tuple[TrialState, int | None]:
        job = present(connection, name, read)
        row = connection.execute(SQL["get_trial"], (job.id, Stage.SEARCH.value, number)).fetchone()
        if row is None:
            raise trial_missing(name, number)
        trial = trial_from(row)
        holder, told_us = connection.execute(SQL["get_claim"], (job.id, number)).fetchone() or ("", None)
        if trial.state in ENDED:
            return trial.state, None
        if holder != told.worker:
            raise not_claimed(name, number, told.worker)
        if told_us is not None:
            return TrialState.ACTIVE, None
        is_over = told.line is not None or told.infeasible is not None
        written = (now_us, now_us if is_over else None, told.line, told.infeasible, job.id, number)
        connection.execute(SQL["tell_claim"], stored("tell_claim", job, written))
        stops = job.is_final or job.intent is Intent.CANCEL
        return TrialState.STOPPING if stops else TrialState.ACTIVE, job.id if is_over else None

    return work
