"""Files sealed in frames: any range is read by opening the frames that it touches, and what was cut off is missed.

A header in the clear (MARK, owner, size in the clear, salt), then frames of 64 KiB, each sealed by AES-256-GCM with a
key that the header's salt makes this file's own, its number as nonce, and the header as context. An empty file has one
empty frame, so that no header stands unproved.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from trainyard.core.errors import Internal
from trainyard.keyring import FILE_MARK
from trainyard.keyrings.envelope import NONCE_BYTES, TAG_BYTES, cipher, decrypt, derived

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FRAME_BYTES: Final = 64 * 1024
_HEADER: Final = struct.Struct(">5sqQ16s")
HEADER_BYTES: Final = _HEADER.size
_SEALED_FRAME: Final = FRAME_BYTES + TAG_BYTES
DataKey = Callable[[int], bytes]
ReadAt = Callable[[int, int], bytes]
"""Offset and size in, bytes out."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a sealed file says of itself."""

    owner: int
    size: int
    salt: bytes

    def packed(self) -> bytes:
        """The bytes that the file begins with."""
        return _HEADER.pack(FILE_MARK, self.owner, self.size, self.salt)

    @property
    def frames(self) -> int:
        """How many there are."""
        return max(1, -(-self.size // FRAME_BYTES))

    @property
    def bytes_in_all(self) -> int:
        """How long the sealed file is."""
        return HEADER_BYTES + self.size + self.frames * TAG_BYTES


class Source(Protocol):
    """What is sealed, read once from its beginning."""

    def fileno(self) -> int:
        """Of a file of its size."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, fewer only at the end."""


def write(source: Source, target: BinaryIO, owner: int, key: bytes) -> None:
    """Seal a file that nobody writes to any more, as long as it is now. Raises OSError where it turns out shorter."""

    def following(_: int, wanted: int) -> bytes:
        content = source.read(wanted)
        if len(content) < wanted:
            raise OSError("the file became shorter while it was sealed")
        return content

    header = new_header(owner, os.fstat(source.fileno()).st_size)
    for piece in sealed(header, following, key):
        target.write(piece)


def new_header(owner: int, size: int) -> Header:
    """For a content of this size, with a salt of its own."""
    return Header(owner, size, secrets.token_bytes(16))


def sealed(header: Header, read: ReadAt, key: bytes) -> Iterator[bytes]:
    """The bytes of the sealed form in order, at most a frame at a time; `read` is asked for frames in order."""
    yield (packed := header.packed())
    sealing = _cipher(key, header)
    for number in range(header.frames):
        begin = number * FRAME_BYTES
        yield sealing.encrypt(_nonce(number), read(begin, min(FRAME_BYTES, header.size - begin)), packed)


def header_of(file: BinaryIO) -> Header:
    """The header of a sealed file that is whole; raises Internal where it is not."""
    file.seek(0)
    header = header_in(file.read(HEADER_BYTES))
    if header is not None and os.fstat(file.fileno()).st_size == header.bytes_in_all:
        return header
    raise Internal(
        f"{file.name} is damaged: it is cut off, or no sealed file at all. Restore it from a backup; what it held "
        "cannot be read otherwise."
    )


def header_in(beginning: bytes) -> Header | None:
    """The header that a file begins with, whole or not as the rest of it may be; None where it begins otherwise."""
    packed = beginning[:HEADER_BYTES]
    if len(packed) < HEADER_BYTES or not packed.startswith(FILE_MARK):
        return None
    return Header(*_HEADER.unpack(packed)[1:])


def read(file: BinaryIO, key: DataKey, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset` of what was sealed; `key` gives the data key of an owner. Raises Internal."""

    def read_at(begin: int, count: int) -> bytes:
        file.seek(begin)
        return file.read(count)

    header = header_of(file)
    return opening(header, read_at, key(header.owner))(offset, size)


def opening(header: Header, read: ReadAt, key: bytes) -> ReadAt:
    """Reads up to so many bytes from an offset of what was sealed; `read` reads the sealed form. Raises Internal."""
    cipher_of_it, context = _cipher(key, header), header.packed()

    def read_at(offset: int, size: int) -> bytes:
        end = min(offset + size, header.size)
        first = min(offset // FRAME_BYTES, header.frames - 1)
        begin = first * FRAME_BYTES
        found = []
        for number in range(first, max(first + 1, -(-end // FRAME_BYTES))):
            length = min(FRAME_BYTES, header.size - number * FRAME_BYTES) + TAG_BYTES
            frame = read(HEADER_BYTES + number * _SEALED_FRAME, length)
            found.append(decrypt(cipher_of_it, _nonce(number), frame, context))
        return b"".join(found)[max(0, offset - begin) : max(0, end - begin)]

    return read_at


def _cipher(key: bytes, header: Header) -> AESGCM:
    return cipher(derived(key, b"file" + header.salt))


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")
