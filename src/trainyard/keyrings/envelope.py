"""AES-256-GCM, and nothing else: what is opened is what was sealed, in the very place that it was sealed for."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from trainyard.core.errors import Internal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


def new_key() -> bytes:
    """A fresh key, from the system's source of randomness."""
    return secrets.token_bytes(KEY_BYTES)


def derived(key: bytes, purpose: bytes) -> bytes:
    """A key for one purpose alone (HMAC-SHA256 as a PRF, NIST SP 800-108)."""
    return hmac.digest(key, purpose, hashlib.sha256)


def cipher(key: bytes) -> AESGCM:
    """The cipher with this key; any thread may use it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - large, and only sealed jobs need it

    return AESGCM(key)


def seal(with_key: AESGCM, content: bytes, context: bytes) -> bytes:
    """A random nonce, the content encrypted, its tag. The context is not in it, but has to be the same to open it."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + with_key.encrypt(nonce, content, context)


def unseal(with_key: AESGCM, sealed: bytes, context: bytes) -> bytes:
    """What was sealed. Raises Internal where a bit of it, the context or the key is another."""
    return decrypt(with_key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)


def decrypt(with_key: AESGCM, nonce: bytes, content: bytes, context: bytes) -> bytes:
    """As `unseal`, with a nonce that is known."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above

    try:
        return with_key.decrypt(nonce, content, context)
    except (InvalidTag, ValueError):
        raise damaged() from None


def damaged() -> Internal:
    """The error for what is not as it was sealed."""
    return Internal(
        "Something that is sealed cannot be opened: it was damaged or changed on the disk, or its key is another. "
        "Restore it, and the directory of the keys, from one and the same backup."
    )
