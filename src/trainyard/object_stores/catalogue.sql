CREATE TABLE IF NOT EXISTS buckets (
    name            TEXT PRIMARY KEY,
    created_us      INTEGER NOT NULL,
    updated_us      INTEGER NOT NULL,
    metageneration  INTEGER NOT NULL,
    attributes      TEXT NOT NULL,
    deleted         INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- A row tells of the bytes that carry its stamp; one whose bytes are not there any more tells of nothing.
CREATE TABLE IF NOT EXISTS objects (
    bucket          TEXT NOT NULL,
    name            TEXT NOT NULL,
    generation      INTEGER NOT NULL,
    stamp           TEXT NOT NULL,
    size            INTEGER NOT NULL,
    created_us      INTEGER NOT NULL,
    updated_us      INTEGER NOT NULL,
    metageneration  INTEGER NOT NULL,
    crc32c          INTEGER,
    md5             BLOB,
    components      INTEGER NOT NULL,
    deleted_us      INTEGER,
    attributes      TEXT NOT NULL,
    PRIMARY KEY (bucket, name, generation)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS drafts (
    id              TEXT PRIMARY KEY,
    size            INTEGER NOT NULL,
    kept_us         INTEGER NOT NULL,
    state           TEXT NOT NULL
) WITHOUT ROWID;
