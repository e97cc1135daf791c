"""Files sealed in frames: any range is read by opening the frames that it touches, and what was cut off is missed.

A header in the clear (MARK, owner, size in the clear, salt), then frames of 64 KiB, each sealed by AES-256-GCM with a
key that the header's salt makes this file's own, its number as nonce, and the header as context. An empty file has one
empty frame, so that no header stands unproved.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from trainyard.core.errors import Internal
from trainyard.keyrings.envelope import NONCE_BYTES, TAG_BYTES, cipher, decrypt, derived

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FRAME_BYTES: Final = 64 * 1024
_MARK: Final = b"\0TYF1"
_HEADER: Final = struct.Struct(">5sqQ16s")
_SEALED_FRAME: Final = FRAME_BYTES + TAG_BYTES
DataKey = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Header:
    """What a sealed file says of itself."""

    owner: int
    size: int
    salt: bytes

    def packed(self) -> bytes:
        """The bytes that the file begins with."""
        return _HEADER.pack(_MARK, self.owner, self.size, self.salt)

    @property
    def frames(self) -> int:
        """How many there are."""
        return max(1, -(-self.size // FRAME_BYTES))

    @property
    def bytes_in_all(self) -> int:
        """How long the sealed file is."""
        return _HEADER.size + self.size + self.frames * TAG_BYTES


def write(source: BinaryIO, target: BinaryIO, owner: int, key: bytes) -> None:
    """Seal a file that nobody writes to any more, as long as it is now. Raises OSError where it turns out shorter."""
    header = Header(owner, os.fstat(source.fileno()).st_size, secrets.token_bytes(16))
    packed, sealing = header.packed(), _cipher(key, header)
    target.write(packed)
    for number in range(header.frames):
        wanted = min(FRAME_BYTES, header.size - number * FRAME_BYTES)
        content = source.read(wanted)
        if len(content) < wanted:
            raise OSError("the file became shorter while it was sealed")
        target.write(sealing.encrypt(_nonce(number), content, packed))


def header_of(file: BinaryIO) -> Header:
    """The header of a sealed file that is whole; raises Internal where it is not."""
    file.seek(0)
    packed = file.read(_HEADER.size)
    if len(packed) == _HEADER.size and packed.startswith(_MARK):
        header = Header(*_HEADER.unpack(packed)[1:])
        if os.fstat(file.fileno()).st_size == header.bytes_in_all:
            return header
    raise Internal(
        f"{file.name} is damaged: it is cut off, or no sealed file at all. Restore it from a backup; what it held "
        "cannot be read otherwise."
    )


def read(file: BinaryIO, key: DataKey, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset` of what was sealed; `key` gives the data key of an owner. Raises Internal."""
    header = header_of(file)
    end = min(offset + size, header.size)
    opening, context = _cipher(key(header.owner), header), header.packed()
    found = []
    first = min(offset // FRAME_BYTES, header.frames - 1)
    for number in range(first, max(first + 1, -(-end // FRAME_BYTES))):
        file.seek(_HEADER.size + number * _SEALED_FRAME)
        found.append(decrypt(opening, _nonce(number), file.read(_SEALED_FRAME), context))
    begin = first * FRAME_BYTES
    return b"".join(found)[max(0, offset - begin) : max(0, end - begin)]


def _cipher(key: bytes, header: Header) -> AESGCM:
    return cipher(derived(key, b"file" + header.salt))


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")
