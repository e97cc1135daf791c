"""A search's trials and their rows, both ways, and the writes that concern them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from trainyard.core.jobs import Decision, Job, ReplicaRecord
from trainyard.core.states import JobState
from trainyard.core.trials import Ending, Measurement, OpenTrial, Stage, Trial, TrialRun, TrialState, claimed_run
from trainyard.stores.sqlite.queries import SQL
from trainyard.stores.sqlite.rows import Row

Stored = Callable[[str, Job, Row], Row]
"""Makes a job's row of a statement as it is to be stored (sealed.py)."""

_COLUMNS_OF_A_TRIAL = 14


def trial_row(parent: int, trial: Trial) -> Row:
    """For put_trial."""
    measured = trial.measurement
    return (
        parent,
        trial.stage.value,
        trial.number,
        json.dumps(trial.point, separators=(",", ":")),
        int(trial.state),
        trial.asked_after,
        trial.ended_as,
        None if measured is None else json.dumps(dict(measured.metrics), separators=(",", ":")),
        0 if measured is None else measured.step_count,
        None if measured is None else measured.reported_us,
        trial.start_time_us,
        trial.end_time_us,
        trial.why,
        trial.of,
        None if trial.ending is None else trial.ending.value,
    )


def trial_from(row: Row) -> Trial:
    """The trial in a row of trial_history."""
    stage, number, point, state, asked_after, ended_as, metrics, steps, reported, start, end, why, of, ending = row
    return Trial(
        number,
        tuple(json.loads(point)),
        TrialState(state),
        asked_after,
        ended_as,
        None if metrics is None else Measurement(json.loads(metrics), steps, reported),
        start,
        end,
        why,
        Stage(stage),
        of,
        None if ending is None else Ending(ending),
    )


def open_trial_from(row: Row) -> OpenTrial:
    """The open trial in a row of open_trials, with the job that runs it."""
    job_id, state, start_us, end_us, error, report, claimed_us, told_us, told, infeasible = row[_COLUMNS_OF_A_TRIAL:]
    trial = trial_from(row[:_COLUMNS_OF_A_TRIAL])
    if claimed_us is not None:
        return OpenTrial(trial, claimed_run(claimed_us, told_us, told, infeasible))
    if job_id is None:
        return OpenTrial(trial, None)
    return OpenTrial(trial, TrialRun(job_id, JobState(state), start_us, end_us, error or "", report))


def put(connection: sqlite3.Connection, job: Job, decision: Decision, stored: Stored) -> None:
    """What a search decided about its trials, but for the jobs that are new."""
    for trial in decision.trials:
        connection.execute(SQL["put_trial"], stored("put_trial", job, trial_row(job.id, trial)))
        if trial.ended_as is not None:
            connection.execute(SQL["take_report"], (job.id, trial.stage.value, trial.number))
    for run in decision.ends:
        if connection.execute(SQL["end_run"], (job.name.collection, decision.status.update_time_us, run)).rowcount:
            connection.execute(SQL["touch_job"], (run,))


def keep_report(connection: sqlite3.Connection, job: Job, record: ReplicaRecord, stored: Stored) -> None:
    """What a trial's replica reported is durable with the record of its end."""
    if job.parent is not None and record.exit.report is not None:
        row = (job.id, record.replica, record.attempt, record.exit.report)
        connection.execute(SQL["put_report"], stored("put_report", job, row))


def delete(connection: sqlite3.Connection, parent: int) -> None:
    """All trials of a search, and the jobs that ran them; their files are removed later."""
    connection.execute(SQL["delete_trials"], (parent,))
    connection.execute(SQL["delete_claims"], (parent,))
    largest = connection.execute(SQL["largest_run"], (parent,)).fetchone()[0]
    if largest is None:
        return
    connection.execute(SQL["raise_tally"], (largest, "largest_id"))
    connection.execute(SQL["add_removals_of_runs"], (parent,))
    for part in ("job", "body", "history", "note", "record", "report", "detail"):
        connection.execute(SQL[f"delete_runs_{part}"], (parent,))
