"""What bytes are worth: the CRC32C of every object, and the MD5 where somebody may want it.

MD5 runs at a tenth of CRC32C's speed, so a large object gets one only when its sender names one. Objects without an
MD5 are nothing new to clients: the original's composed objects have none either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import google_crc32c

MOST_MD5_BYTES: Final = 32 * 1024 * 1024
_CHUNK: Final = 1024 * 1024


class Digests:
    """Running CRC32C and MD5 of bytes in order."""

    def __init__(self) -> None:
        """Of nothing yet."""
        self.crc32c = 0
        self.size = 0
        self.always_md5 = False
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, data: bytes) -> None:
        """The next bytes."""
        self.crc32c = google_crc32c.extend(self.crc32c, data)
        if self._with_md5():
            self._md5.update(data)
        self.size += len(data)

    @property
    def md5(self) -> bytes | None:
        """None where the bytes were too many."""
        return self._md5.digest() if self._with_md5() else None

    @classmethod
    def known(cls, size: int, crc32c: int, md5: bytes | None) -> Digests:
        """Those of bytes that were read before; nothing can be added."""
        return _Known(size, crc32c, md5)

    def _with_md5(self) -> bool:
        return self.always_md5 or self.size <= MOST_MD5_BYTES


class _Known(Digests):
    """Digests that came from elsewhere."""

    def __init__(self, size: int, crc32c: int, md5: bytes | None) -> None:
        super().__init__()
        self.size = size
        self.crc32c = crc32c
        self._known_md5 = md5

    @property
    def md5(self) -> bytes | None:
        """As it was found."""
        return self._known_md5


def digests_of(read: Callable[[int, int], bytes], size: int, *, md5: bool = False) -> Digests:
    """The digests of `size` bytes that `read(offset, size)` gives; `md5`: also of many."""
    digests = Digests()
    digests.always_md5 = md5
    for offset in range(0, size, _CHUNK):
        digests.add(read(offset, min(_CHUNK, size - offset)))
    return digests
