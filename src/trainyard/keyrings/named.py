"""Named keys as every ring of ours keeps them: names given once, states, and versions with what a ring has of each."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from trainyard import keyrings
from trainyard.core.errors import Internal
from trainyard.core.names import KeyName
from trainyard.keyring import Key, KeyState, key_missing, key_taken, key_unusable
from trainyard.keyrings.tables import Tables
from trainyard.store import StoreError

_ADD_VERSION: Final = "INSERT INTO version VALUES (?, ?, ?, ?)"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS key (name TEXT PRIMARY KEY, state TEXT NOT NULL, create_time_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS version (key TEXT NOT NULL, number INTEGER NOT NULL, material BLOB NOT NULL,
                                    create_time_us INTEGER NOT NULL, PRIMARY KEY (key, number));
"""


class NamedKeys(ABC):
    """The part of a KeyRing that is the same for all; what becomes of keys is done one after the other."""

    def __init__(self, directory: Path, ring: str, schema: str) -> None:
        """`ring` is its name in BUILT_IN, `schema` what it has more. Raises StoreError, also where another has keys."""
        self._tables = Tables(directory / keyrings.FILES[ring], _SCHEMA + schema)
        self._changes = threading.RLock()
        for other, file in keyrings.FILES.items():
            if other != ring and _holds_keys(directory / file):
                raise StoreError(
                    f"key_ring is {ring}, but this data directory has its keys in the ring {other}, as "
                    f"{directory / file} says. Set key_ring as it was, or use another data directory. To change it "
                    f"here, destroy those keys first (trainyard keys delete), and move {file} away; what they sealed "
                    "cannot be read then."
                )

    def close(self) -> None:
        """Let go of the file."""
        self._tables.close()

    def create(self, name: KeyName, now_us: int) -> Key:
        """See KeyRing."""
        with self._changes:
            if self.find(name) is not None:
                raise key_taken(name)
            material = self._made(name, 1)
            with self._tables.writing() as connection:
                connection.execute("INSERT INTO key VALUES (?, ?, ?)", (str(name), KeyState.ENABLED.value, now_us))
                connection.execute(_ADD_VERSION, (str(name), 1, material, now_us))
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
        with self._changes:
            number = self._usable(name).versions[-1] + 1
            material = self._made(name, number)
            with self._tables.writing() as connection:
                connection.execute(_ADD_VERSION, (str(name), number, material, now_us))
            return self._known(name)

    def keep_newest(self, name: KeyName) -> Key:
        """See KeyRing."""
        with self._changes:
            newest = self._known(name).versions[-1:]
            with self._tables.writing() as connection:
                connection.execute("DELETE FROM version WHERE key = ? AND number < ?", (str(name), *(newest or (0,))))
            return self._known(name)

    def set_enabled(self, name: KeyName, *, enabled: bool) -> Key:
        """See KeyRing."""
        with self._changes:
            if self._known(name).state is KeyState.DESTROYED:
                raise key_unusable(name, KeyState.DESTROYED)
            self._set_state(name, KeyState.ENABLED if enabled else KeyState.DISABLED)
            return self._known(name)

    def destroy(self, name: KeyName) -> Key:
        """See KeyRing."""
        with self._changes:
            self._known(name)
            self._set_state(name, KeyState.DESTROYED)
            return self._known(name)

    @abstractmethod
    def _made(self, name: KeyName, number: int) -> bytes:
        """A version that was just made: what the ring has to keep to use it. It is one only once that is kept."""

    def _set_state(self, name: KeyName, state: KeyState) -> None:
        with self._tables.writing() as connection:
            if state is KeyState.DESTROYED:
                connection.execute("DELETE FROM version WHERE key = ?", (str(name),))
            connection.execute("UPDATE key SET state = ? WHERE name = ?", (state.value, str(name)))

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
            self._usable(name)  # it may have been destroyed just now
            raise Internal(
                f"Version {number} of the key {name} is gone; restore the directory of the keys from a backup."
            )
        material: bytes = found[0][0]
        return material


def _holds_keys(file: Path) -> bool:
    tables = Tables(file, _SCHEMA)
    try:
        return bool(tables.rows("SELECT 1 FROM key LIMIT 1"))
    finally:
        tables.close()
