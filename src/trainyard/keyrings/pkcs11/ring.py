"""Keys in a token: each version is a secret that the token made and never gives away; a file of ours knows their names.

What is wrapped is encrypted with AES-256-GCM under a key for it alone, the HMAC-SHA256 of a random salt that the token
computes with the version's secret (a pseudo-random function, as in NIST SP 800-108): tokens have that, while AES-GCM
is missing in many and wants its nonces otherwise in each. Before the token makes a secret, its label is noted
as one to be removed, and before a version is forgotten, too: what a crash left in the token is removed at the start.
"""

from __future__ import annotations

import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainyard import keyrings
from trainyard.core.errors import Internal
from trainyard.core.names import KeyName
from trainyard.keyring import Key, KeyState
from trainyard.keyrings.envelope import cipher, seal, unseal
from trainyard.keyrings.named import NamedKeys
from trainyard.keyrings.pkcs11.pin import SCHEMA, Pin, read
from trainyard.keyrings.pkcs11.place import Place
from trainyard.store import StoreError

if TYPE_CHECKING:
    from trainyard.keyrings.pkcs11.token import Token

_PURPOSE: Final = b"trainyard wraps "
_SALT_BYTES: Final = 32
_LABEL_CHARACTERS: Final = 40  # some tokens have room for no more
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS leftover (label BLOB PRIMARY KEY);
CREATE TRIGGER IF NOT EXISTS made AFTER INSERT ON version BEGIN DELETE FROM leftover WHERE label = NEW.material; END;
CREATE TRIGGER IF NOT EXISTS gone AFTER DELETE ON version BEGIN INSERT INTO leftover VALUES (OLD.material); END;
"""


def open_ring(directory: Path, uri: str) -> TokenKeyRing:
    """The ring in the token of this URI, what is known of its keys in the directory; finishes what a crash cut off.

    Raises StoreError where the token cannot be used, or is not the one that has the keys; Unavailable.
    """
    _need_library()
    return TokenKeyRing(directory, Place.parse(uri))


def look(uri: str) -> str:
    """What can be said of the token without logging in; raises StoreError where it cannot be used."""
    _need_library()
    from pkcs11.exceptions import PKCS11Error  # noqa: PLC0415 - needs a library that may not be installed

    from trainyard.keyrings.pkcs11 import token  # noqa: PLC0415 - as above

    place = Place.parse(uri)
    try:
        token.find(place)
    except PKCS11Error as error:
        raise StoreError(f"key_ring: {token.broken(place, error)}") from error
    finally:
        token.let_go(place)
    read(place.pin_file)
    return f"the token {place.which} of {place.module} is there, its PIN in {place.pin_file} (not tried)"


def _need_library() -> None:
    if find_spec("pkcs11") is None:
        raise StoreError(
            "key_ring names a PKCS#11 token, which needs the library python-pkcs11: pip install 'trainyard[pkcs11]', "
            "or unset the setting."
        )


class TokenKeyRing(NamedKeys):
    """Keeps the promise of KeyRing."""

    def __init__(self, directory: Path, place: Place) -> None:
        """See `open_ring`."""
        from trainyard.keyrings.pkcs11.token import Token  # noqa: PLC0415 - needs a library that may not be installed

        super().__init__(directory, "pkcs11", SCHEMA + _SCHEMA)
        self._file = directory / keyrings.FILES["pkcs11"]
        self._place = place
        self._token: Token = Token(place, Pin(place.pin_file, self._tables))
        try:
            self._look()  # first: what is not in another token is not removed from the right one
            self._sweep()
        except BaseException:
            self._token.close()
            raise

    def close(self) -> None:
        """Let go of the token and the file."""
        self._token.close()
        super().close()

    def keep_newest(self, name: KeyName) -> Key:
        """See KeyRing; raises Unavailable, too, and may then be repeated."""
        with self._changes:
            key = super().keep_newest(name)
            self._sweep()
            return key

    def _set_state(self, name: KeyName, state: KeyState) -> None:
        super()._set_state(name, state)
        self._sweep()

    def wrap(self, name: KeyName, content: bytes, context: bytes) -> tuple[int, bytes]:
        """See KeyRing."""
        version, salt = self._usable(name).versions[-1], secrets.token_bytes(_SALT_BYTES)
        return version, salt + seal(cipher(self._key(name, version, salt)), content, context)

    def unwrap(self, name: KeyName, version: int, wrapped: bytes, context: bytes) -> bytes:
        """See KeyRing."""
        self._usable(name)
        key = self._key(name, version, wrapped[:_SALT_BYTES])
        return unseal(cipher(key), wrapped[_SALT_BYTES:], context)

    def _key(self, name: KeyName, version: int, salt: bytes) -> bytes:
        key = self._token.mac(self._material(name, version).decode(), _PURPOSE + salt)
        if key is None:
            self._material(name, version)  # it may have been destroyed just now
            raise Internal(
                f"Version {version} of the key {name} is not in the token any more; restore the token from its backup."
            )
        return key

    def _made(self, name: KeyName, number: int) -> bytes:
        self._sweep()
        label = f"{secrets.token_hex(8)}/{number} {name.ring}/{name.id}"[:_LABEL_CHARACTERS]
        with self._tables.writing() as connection:
            connection.execute("INSERT INTO leftover VALUES (?)", (label.encode(),))
        self._token.generate(label)
        return label.encode()

    def _look(self) -> None:
        labels = [row[0].decode() for row in self._tables.rows("SELECT material FROM version")]
        if labels and not self._token.holds_any(labels):
            raise StoreError(
                f"key_ring: the token {self._place.which} holds none of the keys that {self._file} tells of. Name the "
                "one that they were made in, or restore it. Where they are lost for good, so is what they sealed: move "
                "the file away to start without them."
            )

    def _sweep(self) -> None:
        """Remove from the token what is not to be there. Raises Unavailable; what is left is swept another time."""
        for row in self._tables.rows("SELECT label FROM leftover"):
            self._token.destroy(row[0].decode())
            with self._tables.writing() as connection:
                connection.execute("DELETE FROM leftover WHERE label = ?", (row[0],))
