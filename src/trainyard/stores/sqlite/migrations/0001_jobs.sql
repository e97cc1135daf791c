-- Jobs and everything that is told about them. Times are microseconds since the epoch; states are JobState wire values.

CREATE TABLE place (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    location TEXT NOT NULL,
    collection TEXT NOT NULL,
    UNIQUE (project, location, collection)
);

-- Narrow on purpose: a search without an index reads these rows and no others.
CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    state INTEGER NOT NULL,
    display_name TEXT NOT NULL,
    create_time_us INTEGER NOT NULL,
    update_time_us INTEGER NOT NULL,
    start_time_us INTEGER,
    end_time_us INTEGER,
    revision INTEGER NOT NULL
);
CREATE INDEX job_by_place ON job (place, id);
CREATE INDEX job_by_state ON job (place, state, id);
CREATE INDEX job_by_name ON job (place, display_name, id);
-- The states with a way out (core/states.py); a test compares the two.
CREATE INDEX job_live ON job (id) WHERE state IN (1, 2, 3, 6);

-- The rest of what changes.
CREATE TABLE job_detail (
    id INTEGER PRIMARY KEY,
    priority INTEGER NOT NULL,
    intent TEXT NOT NULL,
    intent_by TEXT NOT NULL,
    intent_time_us INTEGER,
    attempt INTEGER NOT NULL,
    run_id TEXT,
    waits_for TEXT NOT NULL,
    memo TEXT NOT NULL,
    error_code INTEGER,
    error_message TEXT
);

-- What never changes: the caller's message in wire bytes, and the labels once more as one JSON object.
CREATE TABLE job_body (
    id INTEGER PRIMARY KEY,
    spec BLOB NOT NULL,
    labels TEXT NOT NULL
);

CREATE TABLE label (
    place INTEGER NOT NULL,
    k TEXT NOT NULL,
    v TEXT NOT NULL,
    job INTEGER NOT NULL,
    PRIMARY KEY (place, k, v, job)
) WITHOUT ROWID;
CREATE INDEX label_by_job ON label (job, k);

CREATE TABLE history (
    job INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    source INTEGER,
    target INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (job, seq)
) WITHOUT ROWID;

CREATE TABLE note (
    job INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    severity TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, seq)
) WITHOUT ROWID;

CREATE TABLE replica_record (
    job INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    replica TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    cause TEXT NOT NULL,
    code INTEGER,
    signal INTEGER,
    message TEXT NOT NULL,
    last_lines TEXT NOT NULL,
    started_us INTEGER,
    ended_us INTEGER,
    peak_memory_bytes INTEGER,
    cpu_seconds REAL,
    internal INTEGER NOT NULL,
    PRIMARY KEY (job, seq),
    UNIQUE (job, attempt, replica, incarnation)
) WITHOUT ROWID;

CREATE TABLE operation (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    location TEXT NOT NULL,
    collection TEXT,
    job INTEGER,
    api_version TEXT NOT NULL,
    kind TEXT NOT NULL,
    create_time_us INTEGER NOT NULL,
    update_time_us INTEGER NOT NULL,
    done INTEGER NOT NULL
);
CREATE INDEX operation_by_scope ON operation (project, location, id);
CREATE INDEX operation_by_job ON operation (job, id);

-- Deleted jobs whose files are still to be removed.
CREATE TABLE removal (
    job INTEGER PRIMARY KEY
);

-- Numbers about the whole:
--   largest_id  the largest id of anything that was deleted; ids are never given twice
--   ahead_us    by how much a job's id ran ahead of its creation time at most (a clock was set back)
--   behind_us   by how much it lagged at most; the two turn a range of creation times into a range of ids
--   grams       1 while the index of name pieces (grams.py) is complete
CREATE TABLE tally (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO tally VALUES ('largest_id', 0), ('ahead_us', 0), ('behind_us', 0);
