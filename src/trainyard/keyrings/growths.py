"""Files that are sealed while somebody else writes to them: at any moment only the newest part is in the clear.

What has grown is sealed beside the plain file first, durably, and only then punched out of it: its size and offsets
stay, its writer notices nothing. So each byte is in one of the two at any point, and whoever reads the plain file first
and asks after that for what was sealed by then never takes the zeros of a hole for content.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from trainyard.keyring import CannotBlank
from trainyard.keyrings.frames import DataKey
from trainyard.keyrings.growing import Growing
from trainyard.keyrings.holes import can_punch, punch

GROWING: Final = ".growing"
DRAFT: Final = ".sealing"
"""What the name of a sealed file ends with until it is whole; a crash may leave one, and the next try takes it."""
_PUNCHED_AT_LEAST: Final = 64 * 1024  # small pieces never free a block
_MOST_AT_A_LOOK: Final = 64 << 20  # other files wait for their turn meanwhile


@dataclass(slots=True)
class _Growth:
    """One file. Who changes it holds the lock; all that go on with a file share this, and so the lock and `growing`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    growing: Growing | None = None
    seen: int = 0  # its size at the look before
    blanked: int = 0  # up to here it is punched for certain
    quiet: bool = False  # all of that has reached the disk


class Growths:
    """The files of this process that are growing, by the paths of the plain ones."""

    def __init__(self, key: DataKey) -> None:
        """`key` gives the data key of an owner, or raises."""
        self._key = key
        self._known: dict[str, _Growth] = {}

    def look(self, owner: int, plain: str) -> bool:
        """Seal what was there at the look before and blank it; True: there is more, look again at once.

        What came since stays for now: who reads the end of the file will mostly find it there. May be repeated after
        any crash. Raises CannotBlank, OSError, Internal, and what the key raises.
        """
        try:
            size = os.stat(plain).st_size  # noqa: PTH116 - asked for every live stream, twice a second
        except FileNotFoundError:
            return False
        growth = self._known.setdefault(plain, _Growth())
        if growth.quiet and growth.blanked == size:
            return False
        with growth.lock, _opened(plain, os.O_RDWR) as source:
            if source is None:  # it was sealed whole just now
                self._known.pop(plain, None)
                return False
            stop = min(growth.seen, growth.blanked + _MOST_AT_A_LOOK)
            more, growth.seen = stop < growth.seen, size
            self._advance(growth, plain, source, owner, stop)
            if growth.blanked == size:  # sooner, it would bring to the disk what is blanked there again right after
                os.fdatasync(source)
                growth.quiet = True
        return more

    def mended(self, plain: str, offset: int, content: bytes) -> bytes | None:
        """What a reader that found `content` at `offset` should have found; None: nothing of it is sealed this way."""
        growth = self._known.get(plain)
        try:
            growing = (growth.growing if growth else None) or self._taken_up(plain)
            sealed = growing.read(offset, len(content)) if growing else b""
        except FileNotFoundError:  # it is sealed whole by now, or gone
            return None
        return sealed + content[len(sealed) :] if growing else None

    def complete(self, plain: str, keep: Callable[[Complete], None]) -> None:
        """Remove a file that nobody writes to any more, and what is sealed of it, once `keep` has all of it.

        Nothing where there is none; may be repeated after any crash. Raises OSError, Internal, and what key and `keep`
        raise.
        """
        growth = self._known.setdefault(plain, _Growth())
        with growth.lock:
            growing = self._current(growth, plain)
            with _opened(plain, os.O_RDONLY) as source:
                if source is not None:
                    keep(Complete(source, growing))
                    os.unlink(plain)  # noqa: PTH108 - paths are text in the log book
            with suppress(FileNotFoundError):
                os.unlink(f"{plain}{GROWING}")  # noqa: PTH108 - as above
            self._known.pop(plain, None)

    def forget(self, owners: Collection[int]) -> None:
        """Their keys are gone: nothing stays known of what was sealed by them."""
        for growth in list(self._known.values()):
            if (growing := growth.growing) is not None and growing.owner in owners:
                growth.growing = None  # who has the lock goes on with what it holds; all later ones ask for the key

    def _advance(self, growth: _Growth, plain: str, source: int, owner: int, stop: int) -> None:
        growing = self._current(growth, plain)
        if growing is None:
            if not stop:
                return
            if not can_punch(source):
                raise CannotBlank(plain)
            growing = growth.growing = Growing.begun(f"{plain}{GROWING}", f"{plain}{DRAFT}", owner, self._key)
        growing.grow(source, stop)
        if growth.blanked < growing.length:
            growth.quiet = False
            punch(source, growth.blanked // _PUNCHED_AT_LEAST * _PUNCHED_AT_LEAST, growing.length)
            growth.blanked = growing.length

    def _taken_up(self, plain: str) -> Growing | None:
        """What is sealed of it, by a process before or just now; None where nothing is."""
        if not os.path.exists(f"{plain}{GROWING}"):  # noqa: PTH110 - asked at every read of plain files, too
            return None
        growth = self._known.setdefault(plain, _Growth())
        with growth.lock:
            return self._current(growth, plain)

    def _current(self, growth: _Growth, plain: str) -> Growing | None:
        """What is sealed of the file, for one who has the lock; None where nothing is."""
        found = growth.growing
        if found is None:
            with suppress(FileNotFoundError):
                found = growth.growing = Growing(f"{plain}{GROWING}", self._key)
        return found


class Complete:
    """The whole content of a file, whatever of it is sealed already, to be read from its beginning to its end."""

    def __init__(self, descriptor: int, growing: Growing | None) -> None:
        """`descriptor` is the plain file's, and stays its owner's."""
        self._descriptor = descriptor
        self._growing = growing
        self._offset = 0

    def fileno(self) -> int:
        """The plain file's, for its size."""
        return self._descriptor

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        content = os.pread(self._descriptor, size, self._offset)
        sealed = self._growing.read(self._offset, len(content)) if self._growing else b""
        self._offset += len(content)
        return sealed + content[len(sealed) :]


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int | None]:
    """A descriptor; None where there is no such file."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
