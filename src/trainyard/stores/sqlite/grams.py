"""Three-letter pieces of every display name, so that `display_name:"*part*"` need not read a million names.

An index like any other: made from the table of jobs, made again where it is missing. Where Python's SQLite is built
without FTS5 (or is older than 3.34) the store works without it, and searches for parts of names read the names.
"""

from __future__ import annotations

import sqlite3

from trainyard.core.filter_tree import NameLike
from trainyard.stores.sqlite.queries import SQL

_SIZE = 3
_MOST = 24
_PROBE = "CREATE VIRTUAL TABLE temp.gram_probe USING fts5(name, tokenize = 'trigram case_sensitive 1')"


def prepare(connection: sqlite3.Connection) -> bool:
    """Whether the index can be used; it is then complete. Costs seconds where an upgrade finds a million jobs."""
    try:
        connection.execute(_PROBE)
    except sqlite3.OperationalError:
        # Names that come from now on will not be in it, so whoever has FTS5 next has to make it anew.
        connection.execute(SQL["forget_grams"])
        return False
    connection.execute("DROP TABLE temp.gram_probe")
    if connection.execute(SQL["grams_complete"]).fetchone():
        return True
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in ("drop_grams", "create_grams", "fill_grams", "tell_grams_complete"):
            connection.execute(SQL[statement])
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return True


def indexed(name: str) -> str:
    """The text that stands for a name in the index: its reader stops at a NUL."""
    return name.replace("\x00", "\ufffd")


def query(wanted: NameLike) -> str | None:
    """An FTS5 query that every matching name answers to (and some others); None where no piece is long enough."""
    pieces = map(indexed, wanted.pieces)
    found = {piece[at : at + _SIZE]: None for piece in pieces for at in _apart(len(piece))}
    quoted = ('"' + gram.replace('"', '""') + '"' for gram in list(found)[:_MOST])
    return " AND ".join(quoted) or None


def _apart(length: int) -> list[int]:
    """Where to cut pieces out of so many letters: each letter in one at least, and as few as will do."""
    last = length - _SIZE
    return [*range(0, last, _SIZE), last] if last >= 0 else []
