"""Keys of this machine: AES-256 keys with versions, wrapped by the master key; nothing of them leaves this module."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trainyard.core.errors import Internal, Unavailable
from trainyard.core.names import KeyName
from trainyard.keyrings.envelope import cipher, new_key, seal, unseal
from trainyard.keyrings.local import master
from trainyard.keyrings.named import NamedKeys
from trainyard.store import StoreError

MASTER_NAME: Final = "master.key"
_PROOF: Final = b"trainyard master key"


def open_ring(directory: Path, master_file: Path | None = None) -> LocalKeyRing:
    """The ring that lies in the directory; the master key is beside it, unless it is told elsewhere.

    Raises StoreError where a key is there and the master key is not, or is another.
    """
    return LocalKeyRing(directory, master_file or directory / MASTER_NAME)


class LocalKeyRing(NamedKeys):
    """Keeps the promise of KeyRing. The master key is made with the first key, so a ring without any costs nothing."""

    def __init__(self, directory: Path, master_file: Path) -> None:
        """See `open_ring`."""
        super().__init__(directory, "local", "CREATE TABLE IF NOT EXISTS proof (content BLOB NOT NULL);")
        self._master_file = master_file
        self._master: bytes | None = None
        proof = self._tables.rows("SELECT content FROM proof")
        if proof:
            self._master = master.read(master_file)
            self._prove(proof[0][0])

    def wrap(self, name: KeyName, content: bytes, context: bytes) -> tuple[int, bytes]:
        """See KeyRing."""
        version = self._usable(name).versions[-1]
        return version, seal(cipher(self._key(name, version)), content, context)

    def unwrap(self, name: KeyName, version: int, wrapped: bytes, context: bytes) -> bytes:
        """See KeyRing."""
        self._usable(name)
        return unseal(cipher(self._key(name, version)), wrapped, context)

    def _key(self, name: KeyName, number: int) -> bytes:
        return unseal(cipher(self._have_master()), self._material(name, number), _context(name, number))

    def _made(self, name: KeyName, number: int) -> bytes:
        return seal(cipher(self._have_master()), new_key(), _context(name, number))

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
