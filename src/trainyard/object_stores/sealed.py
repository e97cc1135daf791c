"""Sealed objects read as what they hold: their bytes on the disk are more than their row says, behind a header.

Whoever reads through a store meets the content while the key is there, and ObjectLocked where it is not.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Final

from trainyard.core.errors import FailedPrecondition, Internal, NotFound
from trainyard.object_stores.bytes_kept import Bytes, Sight
from trainyard.objects import ObjectLocked, ObjectSeals, ReadAt, Reader, StoredObject

BEGINNING_BYTES: Final = 64
_PIECE_BYTES: Final = 1024 * 1024


class NoSeals:
    """A store in which nothing was ever sealed."""

    in_use = False

    def size_of(self, beginning: bytes) -> int | None:  # noqa: ARG002 - the promise's signature
        """None."""
        return None

    def owner_of(self, beginning: bytes) -> int | None:  # noqa: ARG002 - as above
        """None."""
        return None

    def opening(self, read: ReadAt, size: int) -> ReadAt:  # noqa: ARG002 - as above
        """Raises Internal: a file of another size than its row says was changed behind our back."""
        raise Internal("The file has another size than is written of it, and is no sealed one; restore it.")

    def sealed(self, owner: int, read: ReadAt, size: int) -> Iterator[bytes]:  # noqa: ARG002 - as above
        """Raises FailedPrecondition."""
        raise FailedPrecondition("This service was started without a key ring, so nothing can be sealed.")


class SealedReader:
    """See trainyard.objects.Reader; of the content, not of the sealed bytes."""

    def __init__(self, raw: Reader, read: ReadAt) -> None:
        """Take the raw reader over."""
        self._raw = raw
        self._read = read

    def read(self, offset: int, size: int) -> bytes:
        """Exactly that many."""
        data = self._read(offset, size)
        if len(data) != size:
            raise OSError(errno.EIO, "there is no more of it")
        return data

    def pieces(self, size: int) -> Iterator[bytes]:
        """The first `size` bytes, in order."""
        for offset in range(0, size, _PIECE_BYTES):
            yield self.read(offset, min(_PIECE_BYTES, size - offset))

    def close(self) -> None:
        """Let go of the raw reader."""
        self._raw.close()


def beginning(reader: Reader, size: int) -> bytes:
    """Enough of `size` bytes to tell whether they are sealed."""
    return reader.read(0, min(size, BEGINNING_BYTES))


def content_size(seals: ObjectSeals, kept: Bytes, where: tuple[str, str], sight: Sight) -> int:
    """How large an object is whose bytes nobody knows yet: sealed ones may have been moved by their path."""
    if seals.in_use:
        # Where it is gone or shorter by now, nobody has any use for this.
        with contextlib.suppress(NotFound, OSError):
            there, reader = kept.open(*where)
            with contextlib.closing(reader):
                if there.stamp == sight.stamp:
                    size = seals.size_of(beginning(reader, there.size))
                    return sight.size if size is None else size
    return sight.size


def opened(seals: ObjectSeals, known: StoredObject, size: int, reader: Reader) -> Reader:
    """A reader of the object's content, of which `reader` reads the `size` bytes on the disk.

    Raises ObjectLocked, and Internal where they are damaged; then `reader` is closed.
    """
    if size == known.size:
        return reader
    try:
        return SealedReader(reader, seals.opening(reader.read, size))
    except (NotFound, FailedPrecondition) as error:
        reader.close()
        raise ObjectLocked(f"The object {known.bucket}/{known.name} is sealed. {error.message}") from None
    except BaseException:
        reader.close()
        raise
