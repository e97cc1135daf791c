"""Keys of this machine: AES-256 keys with versions, wrapped by the master key; nothing of them leaves this module."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trainyard.core.errors import Internal, Unavailable
from trainyard.core.names import KeyName
from trainyard.keyring import Key, KeyState, key_missing, key_taken, key_unusable
from trainyard.keyrings.envelope import cipher, new_key, seal, unseal
from trainyard.keyrings.local import master
from trainyard.keyrings.tables import Tables
from trainyard.store import StoreError

FILE_NAME: Final = "ring.db"
MASTER_NAME: Final = "master.key"
_PROOF: Final = b"trainyard master key"
_ADD_VERSION: Final = "INSERT INTO version VALUES (?, ?, ?, ?)"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS key (name TEXT PRIMARY KEY, state TEXT NOT NULL, create_time_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS version (key TEXT NOT NULL, number INTEGER NOT NULL, material BLOB NOT NULL,
                                    create_time_us INTEGER NOT NULL, PRIMARY KEY (key, number));
CREATE TABLE IF NOT EXISTS proof (content BLOB NOT NULL);
"""


def open_ring(directory: Path, master_file: Path | None = None) -> LocalKeyRing:
    """The ring that lies in the directory; the master key is beside it, unless it is told elsewhere.

    Raises StoreError where a key is there and the master key is not, or is another.
    """
    return LocalKeyRing(directory, master_file or directory / MASTER_NAME)


class LocalKeyRing:
    """Keeps the promise of KeyRing. The master key is made with the first key, so a ring without any costs nothing."""

    def __init__(self, directory: Path, master_file: Path) -> None:
        """See `open_ring`."""
        self._tables = Tables(directory / FILE_NAME, _SCHEMA)
        self._master_file = master_file
        self._master: bytes | None = None
        proof = self._tables.rows("SELECT content FROM proof")
        if proof:
            self._master = master.read(master_file)
            self._prove(proof[0][0])

    def close(self) -> None:
        """Let go of the file."""
        self._tables.close()

    def create(self, name: KeyName, now_us: int) -> Key:
        """See KeyRing."""
        row = self._new_version(name, 1, now_us)
        with self._tables.writing() as connection:
            if self.find(name) is not None:
                raise key_taken(name)
            connection.execute("INSERT INTO key VALUES (?, ?, ?)", (str(name), KeyState.ENABLED.value, now_us))
            connection.execute(_ADD_VERSION, row)
        return self._known(name)

    def find(self, name: KeyName) -> Key | None:
        """See KeyRing."""
        found = self._tables.rows("SELECT state, create_time_us FROM key WHERE name = ?", str(name))
        if not found:
            return None
        numbers = self._tables.rows("SELECT number FROM version WHERE key = ? ORDER BY number", str(name))
        return Key(name, KeyState(found[0][0]), found[0][1], tuple(row[0] for row in numbers))

    def listed(self) -> tuple[Key, ...]:
        """See KeyRing."""
        names = [KeyName.parse(row[0]) for row in self._tables.rows("SELECT name FROM key ORDER BY name")]
        return tuple(key for name in names if (key := self.find(name)) is not None)

    def add_version(self, name: KeyName, now_us: int) -> Key:
        """See KeyRing."""
        row = self._new_version(name, self._usable(name).versions[-1] + 1, now_us)
        with self._tables.writing() as connection:
            connection.execute(_ADD_VERSION, row)
        return self._known(name)

    def keep_newest(self, name: KeyName) -> Key:
        """See KeyRing."""
        newest = self._known(name).versions[-1:]
        with self._tables.writing() as connection:
            connection.execute("DELETE FROM version WHERE key = ? AND number < ?", (str(name), *(newest or (0,))))
        return self._known(name)

    def set_enabled(self, name: KeyName, *, enabled: bool) -> Key:
        """See KeyRing."""
        with self._tables.writing() as connection:
            if self._known(name).state is KeyState.DESTROYED:
                raise key_unusable(name, KeyState.DESTROYED)
            state = KeyState.ENABLED if enabled else KeyState.DISABLED
            connection.execute("UPDATE key SET state = ? WHERE name = ?", (state.value, str(name)))
        return self._known(name)

    def destroy(self, name: KeyName) -> Key:
        """See KeyRing."""
        with self._tables.writing() as connection:
            self._known(name)
            connection.execute("DELETE FROM version WHERE key = ?", (str(name),))
            connection.execute("UPDATE key SET state = ? WHERE name = ?", (KeyState.DESTROYED.value, str(name)))
        return self._known(name)

    def wrap(self, name: KeyName, content: bytes, context: bytes) -> tuple[int, bytes]:
        """See KeyRing."""
        version = self._usable(name).versions[-1]
        return version, seal(cipher(self._material(name, version)), content, context)

    def unwrap(self, name: KeyName, version: int, wrapped: bytes, context: bytes) -> bytes:
        """See KeyRing."""
        self._usable(name)
        return unseal(cipher(self._material(name, version)), wrapped, context)

    def _known(self, name: KeyName) -> Key:
        key = self.find(name)
        if key is None:
            raise key_missing(name)
        return key

    def _usable(self, name: KeyName) -> Key:
        key = self._known(name)
        if key.state is not KeyState.ENABLED:
            raise key_unusable(name, key.state)
        return key

    def _material(self, name: KeyName, number: int) -> bytes:
        found = self._tables.rows("SELECT material FROM version WHERE key = ? AND number = ?", str(name), number)
        if not found:
            raise Internal(
                f"Version {number} of the key {name} is gone; restore the directory of the keys from a backup."
            )
        return unseal(cipher(self._have_master()), found[0][0], _context(name, number))

    def _new_version(self, name: KeyName, number: int, now_us: int) -> tuple[str, int, bytes, int]:
        material = seal(cipher(self._have_master()), new_key(), _context(name, number))
        return str(name), number, material, now_us

    def _have_master(self) -> bytes:
        if self._master is None:
            try:
                self._master = master.make(self._master_file)
            except StoreError as error:
                raise Unavailable(str(error)) from error
            with self._tables.writing() as connection:
                connection.execute("INSERT INTO proof VALUES (?)", (seal(cipher(self._master), _PROOF, _PROOF),))
        return self._master

    def _prove(self, proof: bytes) -> None:
        assert self._master is not None
        try:
            unseal(cipher(self._master), proof, _PROOF)
        except Internal:
            raise StoreError(
                f"The master key {self._master_file} is not the one that the keys were made with. Bring the right one "
                "back; with this one nothing that is encrypted can be read."
            ) from None


def _context(name: KeyName, number: int) -> bytes:
    return f"{name}/{number}".encode()
