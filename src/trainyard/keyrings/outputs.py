"""What jobs with a key may write to gs://, noted before they start, until it is sealed: also when they are deleted."""

from __future__ import annotations

import sqlite3
from typing import Final

from trainyard.keyring import Output
from trainyard.keyrings.tables import Tables

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS output (job INTEGER PRIMARY KEY, owner INTEGER NOT NULL, uri TEXT NOT NULL,
                                   since_us INTEGER NOT NULL);
"""


class OutputNotes:
    """Beside the data keys, in the same transactions. Lists of what is there cost nothing."""

    def __init__(self, tables: Tables) -> None:
        """Over tables with the SCHEMA."""
        self._tables = tables
        found = tables.rows("SELECT job, owner, uri, since_us FROM output ORDER BY job")
        self.all = tuple(Output(*row) for row in found)

    def write(self, connection: sqlite3.Connection, output: Output) -> None:
        """Within a transaction, after which `written` is to be called; once more changes nothing."""
        values = (output.job, output.owner, output.uri, output.since_us)
        connection.execute("INSERT OR IGNORE INTO output VALUES (?, ?, ?, ?)", values)

    def written(self, output: Output) -> None:
        """It is durable."""
        if output not in self.all:
            self.all = (*self.all, output)

    def remove(self, job: int) -> None:
        """It is sealed; its owner's data key is pending no more where nothing else of it is."""
        owners = {each.owner for each in self.all if each.job == job}
        with self._tables.writing() as connection:
            connection.execute("DELETE FROM output WHERE job = ?", (job,))
            for owner in owners:
                connection.execute(
                    "UPDATE data_key SET pending = 0 WHERE owner = ? AND owner NOT IN (SELECT owner FROM output)",
                    (owner,),
                )
        self.all = tuple(each for each in self.all if each.job != job)
