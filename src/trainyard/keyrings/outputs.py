"""What jobs with a key may write to gs://, noted before they start, until it is sealed: also when they are deleted."""

from __future__ import annotations

import sqlite3
from typing import Final

from trainyard.keyring import Output
from trainyard.keyrings.tables import Tables

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS output (job INTEGER PRIMARY KEY, owner INTEGER NOT NULL, uri TEXT NOT NULL,
                                   since_us INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS output_by_owner ON output (owner);
"""
_DONE: Final = """
UPDATE data_key SET pending = 0 WHERE owner = ? AND NOT EXISTS (SELECT 1 FROM output WHERE owner = ?)
"""


class OutputNotes:
    """Beside the data keys, in the same transactions. Lists of what is there cost nothing."""

    def __init__(self, tables: Tables) -> None:
        """Over tables with the SCHEMA."""
        self._tables = tables
        found = tables.rows("SELECT job, owner, uri, since_us FROM output ORDER BY job")
        self._noted = {row[0]: Output(*row) for row in found}

    @property
    def all(self) -> tuple[Output, ...]:
        """In order of their making."""
        return tuple(self._noted.values())

    def write(self, connection: sqlite3.Connection, output: Output) -> None:
        """Within a transaction, after which `written` is to be called; once more changes nothing."""
        values = (output.job, output.owner, output.uri, output.since_us)
        connection.execute("INSERT OR IGNORE INTO output VALUES (?, ?, ?, ?)", values)

    def written(self, output: Output) -> None:
        """It is durable."""
        self._noted.setdefault(output.job, output)

    def remove(self, job: int) -> None:
        """It is sealed; its owner's data key is pending no more where nothing else of it is."""
        noted = self._noted.get(job)
        if noted is None:
            return
        with self._tables.writing() as connection:
            connection.execute("DELETE FROM output WHERE job = ?", (job,))
            connection.execute(_DONE, (noted.owner, noted.owner))
        del self._noted[job]
