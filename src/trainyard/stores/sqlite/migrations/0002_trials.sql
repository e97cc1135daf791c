-- Searches: their trials, and whose trial a job runs.

ALTER TABLE job_detail ADD COLUMN parent INTEGER;
ALTER TABLE job_detail ADD COLUMN stage TEXT;
ALTER TABLE job_detail ADD COLUMN number INTEGER;
CREATE UNIQUE INDEX job_by_parent ON job_detail (parent, stage, number) WHERE parent IS NOT NULL;
CREATE INDEX job_runs ON job_detail (parent, id) WHERE parent IS NOT NULL;
ALTER TABLE place ADD COLUMN internal INTEGER NOT NULL DEFAULT 0; -- of jobs that no request can name

-- Written by the search alone, in its own commits. `point` and `metrics` are JSON; states are NasTrial.State.
CREATE TABLE trial (
    parent INTEGER NOT NULL,
    stage TEXT NOT NULL,
    number INTEGER NOT NULL,
    point TEXT NOT NULL,
    state INTEGER NOT NULL,
    asked_after INTEGER NOT NULL,
    ended_as INTEGER,
    metrics TEXT,
    step_count INTEGER NOT NULL,
    reported_us INTEGER,
    start_time_us INTEGER,
    end_time_us INTEGER,
    why TEXT NOT NULL,
    origin INTEGER NOT NULL,
    ending TEXT,
    PRIMARY KEY (parent, stage, number)
) WITHOUT ROWID;
CREATE INDEX trial_open ON trial (parent, stage, number) WHERE ended_as IS NULL;

-- What a trial's replica reported, from its end until the search has taken it.
CREATE TABLE report (
    job INTEGER NOT NULL,
    replica TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, replica)
) WITHOUT ROWID;

-- Trials that workers take: by whom, since when, when last heard of, and what came of it (one of the last two).
CREATE TABLE claim (
    parent INTEGER NOT NULL,
    number INTEGER NOT NULL,
    worker TEXT NOT NULL,
    claimed_us INTEGER NOT NULL,
    heard_us INTEGER NOT NULL,
    told_us INTEGER,
    report TEXT,
    infeasible TEXT,
    PRIMARY KEY (parent, number)
) WITHOUT ROWID;
