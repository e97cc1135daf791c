"""Objects sealed in frames, and read again by any range of them; see keyrings/frames.py for the form."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainyard.core.errors import Internal
from trainyard.keyrings import frames
from trainyard.keyrings.frames import DataKey, ReadAt


class Contents:
    """Keeps the promise of objects.ObjectSeals."""

    def __init__(self, key: DataKey, in_use: Callable[[], bool]) -> None:
        """`key` gives the data key of an owner, or raises as it does."""
        self._key = key
        self._in_use = in_use

    @property
    def in_use(self) -> bool:
        """See ObjectSeals."""
        return self._in_use()

    def size_of(self, beginning: bytes) -> int | None:
        """See ObjectSeals."""
        header = frames.header_in(beginning)
        return None if header is None else header.size

    def owner_of(self, beginning: bytes) -> int | None:
        """See ObjectSeals."""
        header = frames.header_in(beginning)
        return None if header is None else header.owner

    def opening(self, read: ReadAt, size: int) -> ReadAt:
        """See ObjectSeals."""
        header = frames.header_in(read(0, min(size, frames.HEADER_BYTES)))
        if header is None or size != header.bytes_in_all:
            raise Internal(
                "A sealed object is damaged: it is cut off, or no sealed one any more. Restore its file from a backup; "
                "what it held cannot be read otherwise."
            )
        return frames.opening(header, read, self._key(header.owner))

    def sealed(self, owner: int, read: ReadAt, size: int) -> Iterator[bytes]:
        """See ObjectSeals."""
        return frames.sealed(frames.new_header(owner, size), read, self._key(owner))
