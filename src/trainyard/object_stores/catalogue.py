"""What is known of buckets and objects beside their bytes, in one SQLite file outside of the visible tree.

A row is bound to the bytes that it tells of by their stamp, so it may be written before them or outlive them without
ever telling of others. Rows in use never go back: a name's next generation is larger than any it had.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from trainyard.core.errors import NotFound, Unavailable
from trainyard.core.object_paths import after_all
from trainyard.objects import Bucket, StoredObject

VERSION: Final = 2
"""2: a row may carry two stamps; a program from before it would take its object for a new one."""
_BUCKET: Final = "name, created_us, updated_us, metageneration, attributes"
_OBJECT: Final = (
    "generation, stamp, size, created_us, updated_us, metageneration, crc32c, md5, components, deleted_us, attributes"
)
_SCHEMA: Final = Path(__file__).with_name("catalogue.sql")


@dataclass(frozen=True, slots=True)
class Row:
    """An object and the stamp of the bytes that it tells of; two of them, parted by a space, while its form changes."""

    stamp: str
    object: StoredObject

    def tells_of(self, stamp: str) -> bool:
        """Whether it tells of the bytes that carry this stamp."""
        return stamp == self.stamp or stamp in self.stamp.split()


@dataclass(slots=True)
class _Write:
    """Statements that somebody waits for; `failed` says why they were not written."""

    statements: Sequence[tuple[str, Sequence[object]]]
    done: bool = False
    failed: Exception | None = None


class Catalogue:
    """Every write is durable when it returns; those that come together go to the disk together.

    One connection writes and one reads, each used by one thread at a time, so that no reader waits for the disk.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, made where there is none. Raises Unavailable."""
        self._path = path
        self._lock, self._read_lock, self._queue_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._waiting: list[_Write] = []
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._prepare()
            self._reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"{path} cannot be used ({error}). It holds the generations, types and metadata of objects, not their "
                "bytes; put it aside and start again, and they are made anew from the files."
            ) from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise sqlite3.DatabaseError("it was made by a newer Trainyard")
        self._db.executescript(_SCHEMA.read_text())
        self._db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Let go of the file."""
        with self._read_lock:
            self._reader.close()
        with self._lock:
            self._db.close()

    def buckets(self) -> Mapping[str, Bucket]:
        """All that were not deleted, by name."""
        rows = self._read(f"SELECT {_BUCKET} FROM buckets WHERE NOT deleted")  # noqa: S608 - our own column names
        return {row[0]: _bucket(row) for row in rows}

    def bucket(self, name: str) -> tuple[Bucket | None, bool]:
        """What is known of a bucket, and whether somebody deleted it."""
        for row in self._read(
            f"SELECT {_BUCKET}, deleted FROM buckets WHERE name = ?",  # noqa: S608 - our own column names
            name,
        ):
            return (None, True) if row[5] else (_bucket(row), False)
        return None, False

    def write_bucket(self, bucket: Bucket) -> None:
        """Write it, new or changed."""
        values = (bucket.name, bucket.created_us, bucket.updated_us, bucket.metageneration, _json(bucket.attributes))
        self._write(("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, 0)", values))

    def bury_bucket(self, name: str, now_us: int) -> None:
        """Remember that it was deleted, and forget its objects."""
        self._write(
            ("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, 1, '{}', 1)", (name, now_us, now_us)),
            ("DELETE FROM objects WHERE bucket = ?", (name,)),
        )

    def rows(self, bucket: str, name: str) -> Sequence[Row]:
        """All that is known of a name, the newest generation first."""
        found = self._read(
            f"SELECT name, {_OBJECT} FROM objects WHERE bucket = ? AND name = ? ORDER BY generation DESC",  # noqa: S608 - our own column names
            bucket,
            name,
        )
        return [_row(bucket, row) for row in found]

    def rows_of(self, bucket: str, names: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        """The same for several names at once."""
        found = self._read(
            f"SELECT name, {_OBJECT} FROM objects WHERE bucket = ? AND name IN (SELECT value FROM json_each(?)) "  # noqa: S608 - our own column names
            "ORDER BY name, generation DESC",
            bucket,
            orjson.dumps(list(names)).decode(),
        )
        by_name: dict[str, list[Row]] = {}
        for row in found:
            by_name.setdefault(row[0], []).append(_row(bucket, row))
        return by_name

    def archived(self, bucket: str, start: str, prefix: str, size: int) -> Sequence[str]:
        """Up to `size` names from `start` on, with the prefix, that have noncurrent generations."""
        found = self._read(
            "SELECT DISTINCT name FROM objects WHERE bucket = ? AND name >= ? AND name < ? "
            "AND deleted_us IS NOT NULL ORDER BY name LIMIT ?",
            bucket,
            max(start, prefix),
            after_all(prefix) or b"",  # to SQLite every text is less than any blob
            size,
        )
        return [row[0] for row in found]

    def write(self, new: Sequence[Row], gone: Sequence[StoredObject] = ()) -> None:
        """Write some rows and forget others, at once."""
        removals = [
            ("DELETE FROM objects WHERE bucket = ? AND name = ? AND generation = ?", (o.bucket, o.name, o.generation))
            for o in gone
        ]
        self._write(*removals, *(_insert(row) for row in new))

    def meet(self, new: Sequence[Row]) -> None:
        """Write rows of generations that nobody knew a moment ago; one that is there by now knows more, and stays."""
        self._write(*(_insert(row, "IGNORE") for row in new))

    def write_draft(self, draft_id: str, size: int, state: Mapping[str, Any], now_us: int) -> None:
        """Note how far a draft came."""
        self._write(("INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?)", (draft_id, size, now_us, _json(state))))

    def read_draft(self, draft_id: str) -> tuple[int, Mapping[str, Any]]:
        """Its size and its note; raises NotFound."""
        for size, state in self._read("SELECT size, state FROM drafts WHERE id = ?", draft_id):
            return size, orjson.loads(state)
        raise NotFound(f"No such upload: {draft_id}")

    def drafts(self) -> Mapping[str, int]:
        """When each was last kept, in microseconds."""
        return dict(self._read("SELECT id, kept_us FROM drafts"))

    def remove_draft(self, draft_id: str) -> None:
        """Forget it."""
        self._write(("DELETE FROM drafts WHERE id = ?", (draft_id,)))

    def _read(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._read_lock, closing(self._reader.execute(sql, values)) as cursor:
            return cursor.fetchall()

    def _write(self, *statements: tuple[str, Sequence[object]]) -> None:
        """Whoever gets the lock writes for all who wait by then; the others find theirs done."""
        own = _Write(statements)
        with self._queue_lock:
            self._waiting.append(own)
        with self._lock:
            if not own.done:
                with self._queue_lock:
                    together, self._waiting = self._waiting, []
                self._commit(together)
        if own.failed is not None:
            raise Unavailable(
                f"{self._path} cannot be written ({own.failed}); nothing was changed. Make room, or make it writable, "
                "then repeat."
            ) from own.failed

    def _commit(self, together: Sequence[_Write]) -> None:
        """In one transaction; where that fails, one by one, so that nobody pays for another's fault."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for each in together:
                for sql, values in each.statements:
                    self._db.execute(sql, values)
            self._db.execute("COMMIT")
        except Exception as error:  # whatever it is: nobody may wait for what is in no list any more
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if len(together) > 1:
                for each in together:
                    self._commit([each])
                return
            together[0].failed = error
        for each in together:
            each.done = True


def _insert(row: Row, otherwise: Literal["REPLACE", "IGNORE"] = "REPLACE") -> tuple[str, Sequence[object]]:
    o = row.object
    values = (
        o.bucket, o.name, o.generation, row.stamp, o.size, o.created_us, o.updated_us, o.metageneration,
        o.crc32c, o.md5, o.components, o.deleted_us, _json(o.attributes),
    )  # fmt: skip
    marks = ", ".join("?" * len(values))
    return f"INSERT OR {otherwise} INTO objects VALUES ({marks})", values  # noqa: S608 - our own words


def _bucket(row: Sequence[Any]) -> Bucket:
    return Bucket(row[0], row[1], row[2], row[3], orjson.loads(row[4]))


def _row(bucket: str, row: Sequence[Any]) -> Row:
    name, generation, stamp, *facts, text = row
    size, created_us, updated_us, metageneration, crc32c, md5, components, deleted_us = facts
    return Row(
        stamp,
        StoredObject(
            bucket, name, generation, size, created_us, updated_us, metageneration, crc32c, md5, components, deleted_us,
            orjson.loads(text),
        ),
    )  # fmt: skip


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()
