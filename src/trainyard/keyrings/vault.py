"""Data keys, one for each job that names a key, wrapped by that key; what they seal, and what becomes of both.

Destroying a key comes first and forgetting its data keys after; a rotation wraps all data keys anew before the versions
are destroyed that they were wrapped with. So a crash in between leaves nothing readable that should not be, and nothing
unreadable that should; opening the vault brings to an end what was begun.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from trainyard.core.errors import ApiError, FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from trainyard.core.names import KeyName, Scope
from trainyard.keyring import (
    FIELD,
    MARK,
    SEALED,
    Key,
    KeyRing,
    KeyState,
    KeyUse,
    Opened,
    Output,
    key_missing,
    key_unusable,
    lasting,
)
from trainyard.keyrings import frames, outputs
from trainyard.keyrings.contents import Contents
from trainyard.keyrings.envelope import cipher, damaged, derived, new_key, seal, unseal
from trainyard.keyrings.growing import private
from trainyard.keyrings.growths import DRAFT, Growths
from trainyard.keyrings.tables import Tables
from trainyard.whole_files import sync_directory

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE_NAME: Final = "vault.db"
_TEXT: Final = 1  # in a value's flags: it was text, not bytes
_VALUE: Final = struct.Struct(">5sqBH")  # mark, owner, flags, length of the outline that follows
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS data_key (owner INTEGER PRIMARY KEY, key TEXT NOT NULL, version INTEGER NOT NULL,
                                     wrapped BLOB, pending INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS data_key_by_key ON data_key (key, owner);
"""
_PENDING: Final = "SELECT owner FROM data_key WHERE pending AND owner > 0 ORDER BY owner"
_USE: Final = """
SELECT total(owner > 0), count(DISTINCT CASE WHEN pending THEN abs(owner) END), total(owner < 0)
FROM data_key WHERE key = ?
"""
_OLD: Final = """
SELECT owner, version, wrapped FROM data_key WHERE key = ? AND wrapped IS NOT NULL AND version <> ? LIMIT 100
"""
_RENEW: Final = "UPDATE data_key SET version = ?, wrapped = ? WHERE owner = ? AND wrapped = ?"


class DataVault:
    """Keeps the promise of Vault over any KeyRing."""

    def __init__(self, directory: Path, ring: KeyRing) -> None:
        """Brings to an end what an earlier process began. Raises StoreError."""
        self._tables = Tables(directory / FILE_NAME, _SCHEMA + outputs.SCHEMA)
        self._ring = ring
        self._lock = threading.RLock()  # from what the ring said to what is noted of it nothing else may change
        self._rotating = threading.Lock()
        self._keys: dict[int, bytes] = {}  # data keys in the clear, of owners that were asked for
        self._ciphers: dict[int, AESGCM] = {}
        self._growths = Growths(self._data_key)
        self._pending = [row[0] for row in self._tables.rows(_PENDING)]
        self._outputs = outputs.OutputNotes(self._tables)
        self.contents = Contents(self._data_key, lambda: self.in_use)
        self.in_use = bool(self._tables.rows("SELECT 1 FROM data_key LIMIT 1"))
        for key in ring.listed():
            if key.state is KeyState.DESTROYED:
                self._shred(key.name)
            elif len(key.versions) > 1 and key.state is KeyState.ENABLED:
                self._rewrap(key.name)

    def close(self) -> None:
        """Let go of the file."""
        self._tables.close()

    # Jobs

    def admit(self, owner: int, scope: Scope, key: str) -> None:
        """See Vault."""
        name = KeyName.parse(key)
        if name.scope.location != scope.location:
            sentence = f"The key {key} must be in the job's own region {scope.location}, not in {name.scope.location}."
            raise InvalidArgument.found([FieldViolation(FIELD, sentence)])
        plain = new_key()
        with self._lock:
            try:
                fresh = self._ring.wrap(name, plain, _context(owner, name))
            except (NotFound, FailedPrecondition) as error:
                raise type(error)(f"{FIELD}: {error.message}") from None
            with self._tables.writing() as connection:
                connection.execute("INSERT INTO data_key VALUES (?, ?, ?, ?, 1)", (owner, str(name), *fresh))
            self._keys[owner], self.in_use = plain, True
            self._pending = [*self._pending, owner]

    def pending(self) -> tuple[int, ...]:
        """See Vault."""
        return tuple(self._pending)

    def all_sealed(self, owner: int) -> None:
        """See Vault."""
        with self._lock:
            with self._tables.writing() as connection:
                connection.execute("UPDATE data_key SET pending = 0 WHERE owner = ?", (owner,))
            self._pending = [each for each in self._pending if each != owner]

    def drop(self, owner: int) -> None:
        """See Vault."""
        with self._lock:
            with self._tables.writing() as connection:
                connection.execute("DELETE FROM data_key WHERE owner = ?", (owner,))
            self._forget((owner,))
            self._pending = [each for each in self._pending if each != owner]

    def expect_output(self, owner: int, job: int, uri: str, since_us: int) -> None:
        """See Vault."""
        note = Output(job, lasting(owner), uri, since_us)
        with self._lock:
            key = self.key_of(owner)
            if not key:
                raise _no_data_key(owner)
            name, fresh = KeyName.parse(key), None
            if not self.key_of(note.owner):
                fresh = self._ring.wrap(name, new_key(), _context(note.owner, name))
            with self._tables.writing() as connection:
                if fresh is not None:
                    connection.execute("INSERT INTO data_key VALUES (?, ?, ?, ?, 1)", (note.owner, key, *fresh))
                connection.execute("UPDATE data_key SET pending = 1 WHERE owner = ?", (note.owner,))
                self._outputs.write(connection, note)
            self._outputs.written(note)

    def outputs(self) -> tuple[Output, ...]:
        """See Vault."""
        return self._outputs.all

    def output_sealed(self, job: int) -> None:
        """See Vault."""
        with self._lock:
            self._outputs.remove(job)

    def key_of(self, owner: int) -> str:
        """See Vault."""
        found = self._tables.rows("SELECT key FROM data_key WHERE owner = ?", owner)
        return found[0][0] if found else ""

    # Keys

    def listed(self) -> tuple[Key, ...]:
        """See Vault."""
        return self._ring.listed()

    def key(self, name: KeyName) -> Key:
        """See Vault."""
        found = self._ring.find(name)
        if found is None:
            raise key_missing(name)
        return found

    def use_of(self, name: KeyName) -> KeyUse:
        """See Vault."""
        counted = self._tables.rows(_USE, str(name))
        return KeyUse(*map(int, counted[0])) if counted else KeyUse(0, 0)

    def create(self, name: KeyName, now_us: int) -> Key:
        """See Vault."""
        return self._ring.create(name, now_us)

    def rotate(self, name: KeyName, now_us: int) -> Key:
        """See Vault."""
        with self._rotating:
            with self._lock:
                self._ring.add_version(name, now_us)
            return self._rewrap(name)

    def set_enabled(self, name: KeyName, *, enabled: bool) -> Key:
        """See Vault."""
        with self._lock:
            open_jobs = self.use_of(name).open_jobs
            if not enabled and open_jobs:
                raise FailedPrecondition(
                    f"The key {name} is in use by {open_jobs} job(s) that have not ended, or are being sealed just "
                    "now. Cancel them or wait for their end; `trainyard keys delete` does not wait."
                )
            changed = self._ring.set_enabled(name, enabled=enabled)
            self._forget(self._owners(name))
        return changed

    def destroy(self, name: KeyName) -> Key:
        """See Vault."""
        with self._lock:
            try:
                key = self._ring.destroy(name)
            finally:  # a ring that was not reached for all of it lets the key be used no more
                self._forget(self._owners(name))
            self._shred(name)
        return key

    def _rewrap(self, name: KeyName) -> Key:
        """Wrap all data keys by the newest version, some at a time: a token is slow, and others need theirs meanwhile.

        Those that are shredded or dropped by then stay so. Raises FailedPrecondition.
        """
        while True:
            with self._lock:
                key = self.key(name)
                if key.state is not KeyState.ENABLED:
                    raise key_unusable(name, key.state)
                old = self._tables.rows(_OLD, str(name), key.versions[-1])
                if not old:
                    return self._ring.keep_newest(name)
            fresh = []
            for owner, version, wrapped in old:
                context = _context(owner, name)
                plain = self._ring.unwrap(name, version, wrapped, context)
                fresh.append((*self._ring.wrap(name, plain, context), owner, wrapped))
            with self._lock, self._tables.writing() as connection:
                connection.executemany(_RENEW, fresh)

    def _shred(self, name: KeyName) -> None:
        """The data keys of a key that is destroyed; that they were there stays known, for the sentence about it."""
        with self._tables.writing() as connection:
            connection.execute("UPDATE data_key SET wrapped = NULL WHERE key = ?", (str(name),))

    def owners(self, name: KeyName | None = None) -> tuple[int, ...]:
        """See Vault."""
        return tuple(owner for owner in self._owners(name) if owner > 0)

    def _owners(self, name: KeyName | None) -> tuple[int, ...]:
        key = None if name is None else str(name)
        found = self._tables.rows("SELECT owner FROM data_key WHERE key = ifnull(?, key) ORDER BY owner", key)
        return tuple(row[0] for row in found)

    def is_shredded(self, owner: int) -> bool:
        """See Vault."""
        return bool(self._tables.rows("SELECT 1 FROM data_key WHERE owner = ? AND wrapped IS NULL", owner))

    def _forget(self, owners: tuple[int, ...]) -> None:
        for owner in owners:
            self._keys.pop(owner, None)
            self._ciphers.pop(owner, None)
        self._growths.forget(owners)

    # Content

    def why_locked(self, owner: int) -> str:
        """See Seals."""
        try:
            self._data_key(owner)
        except ApiError as error:
            return error.message
        return ""

    def seal(self, owner: int, content: bytes | str, outline: bytes = b"") -> bytes:
        """See Seals."""
        flags, plain = (_TEXT, content.encode()) if isinstance(content, str) else (0, content)
        head = _VALUE.pack(MARK, owner, flags, len(outline)) + outline
        return head + seal(self._cipher(owner), plain, head)

    def opened(self, value: bytes) -> Opened | str:
        """See Seals."""
        if len(value) < _VALUE.size:
            raise damaged()
        _, owner, flags, length = _VALUE.unpack_from(value)
        body, locked = _VALUE.size + length, ""
        try:
            plain = unseal(self._cipher(owner), value[body:], value[:body])
        except (NotFound, FailedPrecondition) as error:
            plain, locked = value[_VALUE.size : body], error.message
        if flags & _TEXT:
            return plain.decode()
        found = Opened(plain)
        found.owner, found.locked = owner, locked
        return found

    def seal_file(self, owner: int, plain: str) -> None:
        """See Seals."""
        key, sealed, draft = self._data_key(owner), f"{plain}{SEALED}", f"{plain}{DRAFT}"

        def keep(source: frames.Source) -> None:
            if not os.path.exists(sealed):  # noqa: PTH110 - paths are text in the log book
                with open(draft, "wb", opener=private) as target:
                    frames.write(source, target, owner, key)
                    target.flush()
                    os.fsync(target.fileno())
                os.rename(draft, sealed)  # noqa: PTH104 - as above
                sync_directory(Path(sealed).parent)

        self._growths.complete(plain, keep)

    def seal_growth(self, owner: int, plain: str) -> bool:
        """See Seals."""
        return self._growths.look(owner, plain)

    def mended(self, plain: str, offset: int, content: bytes) -> bytes:
        """See Seals."""
        found = self._growths.mended(plain, offset, content)
        if found is None:
            with suppress(FileNotFoundError):
                return self.read_file(plain, offset, len(content))
        return content if found is None else found

    def size_of(self, plain: str) -> int:
        """See Seals."""
        with _open(f"{plain}{SEALED}") as file:
            return frames.header_of(file).size

    def read_file(self, plain: str, offset: int, size: int) -> bytes:
        """See Seals."""
        with _open(f"{plain}{SEALED}") as file:
            return frames.read(file, self._data_key, offset, size)

    def _cipher(self, owner: int) -> AESGCM:
        found = self._ciphers.get(owner)
        if found is None:
            with self._lock:
                found = self._ciphers[owner] = cipher(derived(self._data_key(owner), b"values"))
        return found

    def _data_key(self, owner: int) -> bytes:
        """Raises NotFound, FailedPrecondition where the key that it takes is not to be had."""
        found = self._keys.get(owner)
        if found is None:
            with self._lock:
                found = self._keys[owner] = self._unwrapped(owner)
        return found

    def _unwrapped(self, owner: int) -> bytes:
        rows = self._tables.rows("SELECT key, version, wrapped FROM data_key WHERE owner = ?", owner)
        if not rows:
            raise _no_data_key(owner)
        name, version, wrapped = KeyName.parse(rows[0][0]), rows[0][1], rows[0][2]
        if wrapped is None:
            raise key_unusable(name, KeyState.DESTROYED)
        return self._ring.unwrap(name, version, wrapped, _context(owner, name))


def _no_data_key(owner: int) -> NotFound:
    return NotFound(f"The data key of job {abs(owner)} is not in the directory of the keys; restore it from a backup.")


def _context(owner: int, name: KeyName) -> bytes:
    return f"{owner} {name}".encode()


@contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    with open(path, "rb") as file:  # noqa: PTH123 - paths are text in the log book
        yield file
