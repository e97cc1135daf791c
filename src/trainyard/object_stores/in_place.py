"""Objects that are files are sealed in their place, and opened again: other bytes on the disk, and the same object.

The new bytes are written aside. Then the object's row gets their stamp beside the one of the bytes that are there, and
only then they are renamed into place: whenever a crash comes, the row tells of what lies there, in the one form or the
other. Which form that is, the bytes say themselves.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from trainyard.core.errors import Internal, NotFound, Unavailable
from trainyard.object_stores.catalogue import Row
from trainyard.object_stores.digests import Digests
from trainyard.object_stores.kept import KeptObjects
from trainyard.object_stores.sealed import SealedReader, beginning
from trainyard.objects import OpenedBelow, Outputs, StoredObject

if TYPE_CHECKING:
    from trainyard.core.clock import Clock
    from trainyard.object_stores.bytes_kept import Sight
    from trainyard.object_stores.catalogue import Catalogue
    from trainyard.object_stores.directory import DirectoryBytes, FileReader, LooseFile

_TRIES: Final = 3
_NAMES_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class _Bytes:
    """What is on the disk of an object, open."""

    seen: Sight
    reader: FileReader
    beginning: bytes


class _ChangedMeanwhile(Exception):
    """Somebody has put other bytes there, which stay."""


class ObjectsInPlace(KeptObjects):
    """See trainyard.objects.ObjectStore and SealsInPlace."""

    def __init__(self, kept: DirectoryBytes, catalogue: Catalogue, clock: Clock) -> None:
        """Over files."""
        super().__init__(kept, catalogue, clock)
        self._files = kept
        self._closing = False
        self._changers = 0  # threads that change forms just now
        self._quiet = threading.Condition()

    def close(self) -> None:
        """Whoever changes forms stops at the next piece; then let go of the catalogue."""
        self._closing = True
        with self._quiet:
            self._quiet.wait_for(lambda: not self._changers)
        super().close()

    def seal_below(self, outputs: Outputs, owner: int) -> None:
        """See SealsInPlace."""
        failures: list[OSError] = []
        with self._changing():
            for name in self._names(outputs.bucket, outputs.prefix):
                with _noting(failures):
                    seen = self._files.look(outputs.bucket, name)
                    if seen is not None and seen.touched_us >= outputs.since_us:
                        self._change(outputs.bucket, name, owner)
            for row in self._noncurrent(outputs):
                with _noting(failures):
                    self._change_noncurrent(row, owner)
            for path in self._files.nameless(outputs.bucket, outputs.prefix):
                with _noting(failures):
                    self._change_nameless(outputs.bucket, path, owner, outputs.since_us)
        if failures:
            raise failures[0]

    def open_below(self, bucket: str, prefix: str, may_open: Callable[[int], bool]) -> OpenedBelow:
        """See SealsInPlace."""
        found: Counter[str] = Counter()

        def open_one(looked: AbstractContextManager[_Bytes | None], change: Callable[[], None]) -> None:
            owner = self._owner(looked)
            if owner is None:
                return
            if not may_open(owner):
                found["locked"] += 1
                return
            try:
                change()
                found["opened"] += 1
            except Internal:
                found["damaged"] += 1

        with self._changing():
            for name in self._names(bucket, prefix):
                open_one(self._bytes_of(bucket, name), partial(self._change, bucket, name, None))
            for path in self._files.nameless(bucket, prefix):
                open_one(self._nameless(bucket, path), partial(self._change_nameless, bucket, path, None))
        return OpenedBelow(**found)

    def any_sealed(self, bucket: str, prefix: str, most: int) -> bool:
        """See SealsInPlace."""
        with self._changing():
            names = islice(self._names(bucket, prefix), most)
            return any(self._owner(self._bytes_of(bucket, name)) is not None for name in names)

    def remove_below(self, outputs: Outputs, until_us: int | None) -> None:
        """See SealsInPlace. Holds do not count: what was to be unreadable must not stay."""

        def in_time(seen_us: int) -> bool:
            return until_us is None or seen_us <= until_us

        failures: list[OSError] = []
        with self._changing():
            for row in self._noncurrent(outputs):
                if in_time(row.object.created_us):
                    self._remove_noncurrent(row.object)
            for name in self._names(outputs.bucket, outputs.prefix):
                with _noting(failures), self._lock(outputs.bucket, name):
                    seen = self._files.look(outputs.bucket, name)
                    if seen is None or seen.touched_us < outputs.since_us or not in_time(seen.changed_us):
                        continue
                    self._remove_live(outputs.bucket, name)
            for path in self._files.nameless(outputs.bucket, outputs.prefix):
                with _noting(failures), self._nameless(outputs.bucket, path) as there:
                    if there and there.seen.touched_us >= outputs.since_us and in_time(there.seen.changed_us):
                        self._files.remove_path(outputs.bucket, path)
        if failures:
            raise failures[0]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """While it lasts, the store stays open."""
        with self._quiet:
            self._changers += 1
        try:
            yield
        finally:
            with self._quiet:
                self._changers -= 1
                self._quiet.notify_all()

    def _names(self, bucket: str, prefix: str) -> Iterator[str]:
        """Objects below the prefix; none where the bucket is gone."""
        for name in self._files.names(bucket, prefix, prefix, ""):
            self._go_on()
            yield name

    def _noncurrent(self, outputs: Outputs) -> Iterator[Row]:
        """Rows of noncurrent generations that were made since."""
        start = ""
        while names := self._catalogue.archived(outputs.bucket, start, outputs.prefix, _NAMES_AT_ONCE):
            for name in names:
                self._go_on()
                for row in self._catalogue.rows(outputs.bucket, name):
                    if row.object.deleted_us is not None and row.object.created_us >= outputs.since_us:
                        yield row
            start = names[-1] + "\x00"

    def _go_on(self) -> None:
        if self._closing:
            raise Unavailable("The service is being stopped; it goes on with this when it is up again.")

    def _change(self, bucket: str, name: str, owner: int | None) -> None:
        """Seal an object by a data key, or open it (None). Raises OSError where it changes all the time."""
        _persist(lambda: self._tried(bucket, name, owner), f"gs://{bucket}/{name}")

    def _tried(self, bucket: str, name: str, owner: int | None) -> bool:
        """Whether the object is gone or in the wanted form now; False where somebody has changed it meanwhile."""
        row = self._live(bucket, name)
        with self._bytes_of(bucket, name) as there:
            if row is None or there is None:
                return True
            if not row.tells_of(there.seen.stamp):
                return False
            digests = Digests() if row.object.crc32c is None and owner is not None else None
            with self._aside(there.reader) as loose:
                if not self._written(loose, there, owner, digests):
                    return True
                with self._lock(bucket, name):
                    return self._placed(loose, row.object, there.seen, digests)

    def _placed(self, loose: LooseFile, known: StoredObject, seen: Sight, digests: Digests | None) -> bool:
        """Put it into the place of what was `seen`; False where that is not there any more. With the name's lock."""
        rows = self._catalogue.rows(known.bucket, known.name)
        row = next((each for each in rows if each.object.generation == known.generation), None)
        if self._files.look(known.bucket, known.name) != seen or row is None or not row.tells_of(seen.stamp):
            return False
        same = row.object if digests is None else replace(row.object, crc32c=digests.crc32c, md5=digests.md5)

        def record(stamp: str) -> None:
            self._catalogue.write([Row(f"{seen.stamp} {stamp}", same)])
            if self._files.look(known.bucket, known.name) != seen:  # the disk has taken its time
                raise _ChangedMeanwhile

        try:
            self._files.place(loose, (known.bucket, known.name), seen.changed_us, record)
        except _ChangedMeanwhile:
            return False
        return True

    def _change_noncurrent(self, row: Row, owner: int) -> None:
        """Seal one generation. Nobody looks at a stamp of it: its size tells in which form it is."""
        known = row.object
        try:
            seen, reader = self._files.open_archived(known.bucket, known.name, known.generation)
        except NotFound:
            return
        with contextlib.closing(reader), self._aside(reader) as loose:
            there = _Bytes(seen, reader, beginning(reader, seen.size))
            if self._written(loose, there, owner, None):
                with self._lock(known.bucket, known.name):
                    rows = self._catalogue.rows(known.bucket, known.name)
                    if any(each.object.generation == known.generation for each in rows):
                        self._files.place_archived(loose, known.bucket, known.name, known.generation)

    def _change_nameless(self, bucket: str, path: tuple[str, ...], owner: int | None, since_us: int = 0) -> None:
        """Seal or open a file that is no object: nothing is known of it that could be parted from it."""
        _persist(lambda: self._tried_nameless(bucket, path, owner, since_us), f"{'/'.join(path)!r} in {bucket}")

    def _tried_nameless(self, bucket: str, path: tuple[str, ...], owner: int | None, since_us: int) -> bool:
        with self._nameless(bucket, path) as there:
            if there is None or there.seen.touched_us < since_us:
                return True
            seen = there.seen

            def last_look() -> None:
                with self._nameless(bucket, path) as now:
                    if now is None or now.seen != seen:
                        raise _ChangedMeanwhile

            with self._aside(there.reader) as loose, contextlib.suppress(_ChangedMeanwhile):
                if self._written(loose, there, owner, None):
                    self._files.place_path(loose, bucket, path, seen.changed_us, last_look)
                return True
        return False

    def _written(self, loose: LooseFile, there: _Bytes, owner: int | None, digests: Digests | None) -> bool:
        """Write the other form aside; False where the bytes are in the wanted one."""
        form = self._opened(there) if owner is None else self._sealed(there, owner, digests)
        if form is None:
            return False
        for piece in form:
            self._go_on()
            loose.write(piece)
        loose.flush()  # here it may take long; from the last look at what is there to the rename it must not
        return True

    def _sealed(self, there: _Bytes, owner: int, digests: Digests | None) -> Iterator[bytes] | None:
        if self._seals.owner_of(there.beginning) is not None:
            return None

        def read(offset: int, size: int) -> bytes:
            piece = there.reader.read(offset, size)
            if digests is not None:
                digests.add(piece)
            return piece

        return self._seals.sealed(owner, read, there.seen.size)

    def _opened(self, there: _Bytes) -> Iterator[bytes] | None:
        size = self._seals.size_of(there.beginning)
        if size is None:
            return None
        return SealedReader(there.reader, self._seals.opening(there.reader.read, there.seen.size)).pieces(size)

    def _owner(self, looked: AbstractContextManager[_Bytes | None]) -> int | None:
        """Whose data key seals it; None where it is in the clear, or may not be read: we have sealed no such file."""
        with contextlib.suppress(PermissionError), looked as there:
            return None if there is None else self._seals.owner_of(there.beginning)
        return None

    def _bytes_of(self, bucket: str, name: str) -> AbstractContextManager[_Bytes | None]:
        """The bytes that are there now; None where there are none."""
        return _opened(lambda: self._files.open(bucket, name))

    def _nameless(self, bucket: str, path: tuple[str, ...]) -> AbstractContextManager[_Bytes | None]:
        """Those of a file that is no object."""
        return _opened(lambda: self._files.open_path(bucket, path))

    @contextlib.contextmanager
    def _aside(self, reader: FileReader) -> Iterator[LooseFile]:
        """A new file where nobody sees it, for whom the old one is; gone at the end unless it was placed."""
        loose = self._files.loose(secrets.token_urlsafe(24))
        try:
            loose.liken(reader.fd)
            yield loose
        finally:
            loose.discard()


def _persist(tried: Callable[[], bool], what: str) -> None:
    for _ in range(_TRIES):
        if tried():
            return
    raise OSError(f"{what} is written to again and again, and cannot be sealed or opened so.")


@contextlib.contextmanager
def _opened(take: Callable[[], tuple[Sight, FileReader]]) -> Iterator[_Bytes | None]:
    try:
        seen, reader = take()
    except NotFound:
        yield None
        return
    with contextlib.closing(reader):
        yield _Bytes(seen, reader, beginning(reader, seen.size))


@contextlib.contextmanager
def _noting(failures: list[OSError]) -> Iterator[None]:
    """One file that cannot be read or written keeps no other in the clear; a disk without room does."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        failures.append(error)
