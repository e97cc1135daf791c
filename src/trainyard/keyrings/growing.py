"""What is sealed of a file that somebody else still writes to: it grows by segments, and each is durable or not there.

A header in the clear (MARK, owner, salt) and an empty content sealed, which proves it; then segments: the length of the
content in the clear, then that content, sealed by AES-256-GCM with a key that the salt makes this file's own, and with
header and offset as context. A segment that a crash has cut off or left without its bytes is one that was never there.
"""

from __future__ import annotations

import os
import secrets
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from trainyard.core.errors import Internal
from trainyard.keyrings.envelope import NONCE_BYTES, TAG_BYTES, cipher, derived, seal, unseal
from trainyard.keyrings.frames import DataKey
from trainyard.whole_files import sync_directory

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEGMENT_BYTES: Final = 64 * 1024
_AT_ONCE: Final = 256 * SEGMENT_BYTES  # what becomes durable together
_MARK: Final = b"\0TYG1"
_HEADER: Final = struct.Struct(">5sq16s")
_LENGTH: Final = struct.Struct(">I")
_MORE: Final = NONCE_BYTES + TAG_BYTES
_FIRST: Final = _HEADER.size + _MORE


class Growing:
    """The sealed part of one file; one thread at a time may `grow` it, any may `read` it meanwhile."""

    def __init__(self, path: str, key: DataKey) -> None:
        """The one that is there. Raises FileNotFoundError, Internal where it is damaged, and what `key` raises."""
        self._path = path
        self.length = 0  # of what is sealed, in the clear
        self._end = _FIRST  # of the last segment, in the file
        self._offsets, self._places = array("Q", [0]), array("Q", [_FIRST])  # a segment in every SEGMENT_BYTES
        with open(path, "rb") as file:  # noqa: PTH123 - paths are text in the log book
            self._header = file.read(_HEADER.size)
            if len(self._header) < _HEADER.size or not self._header.startswith(_MARK):
                raise Internal(f"{path} is damaged; what it held cannot be read. Restore it from a backup.")
            self.owner: int = _HEADER.unpack(self._header)[1]
            self._cipher = _cipher(key(self.owner), self._header)
            unseal(self._cipher, file.read(_MORE), self._header)
            self._take_up(file)

    @classmethod
    def begun(cls, path: str, draft: str, owner: int, key: DataKey) -> Growing:
        """A new one with nothing in it, its name durable; `draft` was its name before. Raises OSError, and as `key`."""
        header = _HEADER.pack(_MARK, owner, secrets.token_bytes(16))
        with open(draft, "wb", opener=private) as file:
            file.write(header + seal(_cipher(key(owner), header), b"", header))
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path)  # noqa: PTH104 - as above
        sync_directory(Path(path).parent)
        return cls(path, key)

    def grow(self, source: int, stop: int) -> None:
        """Seal what the descriptor `source` has behind `length`, up to `stop`; durable when it returns.

        Raises OSError, after which nothing more is sealed than before or a part of it is.
        """
        with open(self._path, "r+b") as file:  # noqa: PTH123 - as above
            while self.length < stop:
                file.truncate(self._end)  # nothing of what a crash, or a full disk, has left half done
                file.seek(self._end)
                added = self._added(file, source, min(stop, self.length + _AT_ONCE))
                file.flush()
                os.fsync(file.fileno())
                for length in added:
                    self._count(length)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` of what is sealed. Raises FileNotFoundError where it is gone, Internal."""
        stop = min(offset + size, self.length)
        if offset >= stop:
            return b""
        near = bisect_right(self._offsets, offset) - 1
        first = at = self._offsets[near]
        found = []
        with open(self._path, "rb") as file:  # noqa: PTH123 - as above
            file.seek(self._places[near])
            while at < stop:
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size).ljust(_LENGTH.size, b"\0"))
                if at + length <= offset and length:
                    file.seek(length + _MORE, os.SEEK_CUR)
                    first = at + length
                else:
                    found.append(unseal(self._cipher, file.read(length + _MORE), self._context(at)))
                at += length
        return b"".join(found)[offset - first : stop - first]

    def _added(self, file: BinaryIO, source: int, stop: int) -> list[int]:
        """Write segments up to `stop`; their lengths."""
        at, added = self.length, []
        while at < stop and (content := os.pread(source, min(SEGMENT_BYTES, stop - at), at)):
            file.write(_LENGTH.pack(len(content)) + seal(self._cipher, content, self._context(at)))
            added.append(len(content))
            at += len(content)
        if at < stop:
            raise OSError(f"{self._path}: what is sealed into it became shorter meanwhile")
        return added

    def _count(self, length: int) -> None:
        """One more segment is there; who reads meanwhile finds the place of all that `length` covers."""
        if self.length - self._offsets[-1] >= SEGMENT_BYTES:
            self._places.append(self._end)
            self._offsets.append(self.length)
        self._end += _LENGTH.size + length + _MORE
        self.length += length

    def _take_up(self, file: BinaryIO) -> None:
        """Count the segments of a process before; of what it wrote last, a power cut may have left any part."""
        lengths = array("I", _lengths(file, self._end, os.fstat(file.fileno()).st_size))
        certain = sum(lengths) - _AT_ONCE
        for length in lengths:
            if self.length + length > certain and not self._is_whole(file, length):
                return
            self._count(length)

    def _is_whole(self, file: BinaryIO, length: int) -> bool:
        file.seek(self._end + _LENGTH.size)
        try:
            unseal(self._cipher, file.read(length + _MORE), self._context(self.length))
        except Internal:
            return False
        return True

    def _context(self, offset: int) -> bytes:
        return self._header + offset.to_bytes(8, "big")


def private(path: str, flags: int) -> int:
    """For open(): a new file is its owner's alone."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _lengths(file: BinaryIO, place: int, end: int) -> Iterator[int]:
    """What segments from `place` on say of their length, as far as the file goes."""
    while place + _LENGTH.size <= end:
        (length,) = _LENGTH.unpack(os.pread(file.fileno(), _LENGTH.size, place))
        place += _LENGTH.size + length + _MORE
        if not 0 < length <= SEGMENT_BYTES or place > end:
            return
        yield length


def _cipher(key: bytes, header: bytes) -> AESGCM:
    return cipher(derived(key, b"growing" + header))
