"""Both stores keep what is promised about searches."""

from __future__ import annotations

from test_memory_store import TestMemoryStore as Memory
from test_sqlite_store import TestSqliteStore as Sqlite
from trial_suite import TrialSuite


class TestTrialsInMemory(TrialSuite):
    """The suite, in memory."""

    tell = Memory.tell
    open = Memory.open


class TestTrialsInSqlite(TrialSuite):
    """The suite, on disk."""

    tell = Sqlite.tell
    open = Sqlite.open
