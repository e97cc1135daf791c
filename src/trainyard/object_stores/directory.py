"""Objects as plain files, `<data>/buckets/<bucket>/<object path>`: what a job writes there is an object at once.

Bytes on their way lie in `<data>/objects/drafts`, noncurrent generations in `<data>/objects/versions`; neither is in
the visible tree.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from trainyard.core.clock import Clock
from trainyard.core.errors import InvalidArgument, NotFound
from trainyard.core.object_paths import DRAFT, check_bucket, object_path
from trainyard.object_stores import tree, walk
from trainyard.object_stores.bytes_kept import Loose, Sight
from trainyard.object_stores.catalogue import Catalogue
from trainyard.object_stores.in_place import ObjectsInPlace
from trainyard.objects import Reader, no_bucket, no_object
from trainyard.whole_files import sync_directory

_COPY_BYTES: Final = 64 * 1024 * 1024
_NEAR: Final = f"{DRAFT}near-"


def open_store(data_dir: Path, clock: Clock) -> ObjectsInPlace:
    """The object store of a data directory. Raises Unavailable."""
    catalogue = Catalogue(data_dir / "objects" / "catalogue.db")
    return ObjectsInPlace(DirectoryBytes(data_dir / "buckets", data_dir / "objects"), catalogue, clock)


class FileReader:
    """The bytes of an open file."""

    def __init__(self, fd: int) -> None:
        """Take the descriptor over."""
        self.fd = fd

    def read(self, offset: int, size: int) -> bytes:
        """Exactly that many; raises OSError where somebody has made the file shorter."""
        data = os.pread(self.fd, size, offset)
        while len(data) < size:
            more = os.pread(self.fd, size - len(data), offset + len(data))
            if not more:
                raise OSError(errno.EIO, "the file has become shorter while it was read")
            data += more
        return data

    def close(self) -> None:
        """Let go of it; may be repeated."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class LooseFile:
    """A file in the drafts directory."""

    def __init__(self, path: Path, size: int | None) -> None:
        """Made new, or opened and cut to `size`."""
        self.path = path
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if size is None else 0)
        self._fd = os.open(path, flags, 0o666)
        if size is not None:
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)

    def write(self, data: bytes) -> None:
        """All of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def flush(self) -> None:
        """To the disk."""
        os.fsync(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly that many."""
        return FileReader(self._fd).read(offset, size)

    def seal(self, time_us: int) -> Sight:
        """Durable with its time of change set; the stamp that it keeps when it is moved."""
        os.utime(self._fd, ns=(time_us * 1000, time_us * 1000))
        self.flush()
        return sight(os.fstat(self._fd))

    def liken(self, fd: int) -> None:
        """Give it the permissions of another file, and its owner where we may: an image's own user, say."""
        found = os.fstat(fd)
        with contextlib.suppress(PermissionError):
            os.fchown(self._fd, found.st_uid, found.st_gid)
        os.fchmod(self._fd, found.st_mode & 0o777)

    def take(self, fd: int, size: int) -> None:
        """Append the first `size` bytes of another file, in the kernel."""
        offset = 0
        while offset < size:
            count = os.copy_file_range(fd, self._fd, min(size - offset, _COPY_BYTES), offset_src=offset)
            if not count:
                raise OSError(errno.EIO, "the file has become shorter while it was copied")
            offset += count

    def placed(self) -> None:
        """The file has another name now."""
        self._close()

    def discard(self) -> None:
        """Remove it, unless it has been placed."""
        if self._fd >= 0:
            self._close()
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def __del__(self) -> None:
        """A kept file is let go of, never removed."""
        if getattr(self, "_fd", -1) >= 0:
            self._close()


class DirectoryBytes:
    """See trainyard.object_stores.bytes_kept.Bytes."""

    def __init__(self, root: Path, own: Path) -> None:
        """Buckets lie in `root`, what nobody should see in `own`."""
        self._root = root
        self._drafts = own / "drafts"
        self._versions = own / "versions"
        for path in (root, self._drafts, self._versions):
            path.mkdir(parents=True, exist_ok=True)
        self._discard_near()

    def buckets(self) -> Sequence[str]:
        """The directories whose names can be a bucket's."""
        with os.scandir(self._root) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and _may_be_bucket(e.name))

    def made_us(self, bucket: str) -> int:
        """By the directory's times."""
        try:
            with tree.directory(self._root, (check_bucket(bucket),)) as fd:
                found = os.fstat(fd)
        except OSError as error:
            if tree.absent(error):
                raise no_bucket() from None
            raise
        return min(found.st_ctime_ns, found.st_mtime_ns) // 1000

    def make_bucket(self, bucket: str) -> None:
        """A directory."""
        (self._root / check_bucket(bucket)).mkdir(exist_ok=True)
        sync_directory(self._root)

    def remove_bucket(self, bucket: str) -> bool:
        """Empty directories in it are nothing."""
        top = self._root / bucket
        for path, _, _ in os.walk(top, topdown=False):
            try:
                Path(path).rmdir()
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                return False
        shutil.rmtree(self._versions / bucket, ignore_errors=True)
        sync_directory(self._root)
        return True

    def look(self, bucket: str, name: str) -> Sight | None:
        """By the file's status."""
        parts = (check_bucket(bucket), *object_path(name))
        try:
            with tree.directory(self._root, parts[:-1]) as fd:
                found = tree.status(fd, parts[-1])
        except OSError as error:
            if tree.absent(error):
                return None
            raise
        return sight(found[1]) if found else None

    def open(self, bucket: str, name: str) -> tuple[Sight, FileReader]:
        """The file that is there now; it stays readable when another takes its place."""
        fd = tree.open_file(self._root, (check_bucket(bucket), *object_path(name)))
        if fd is None:
            raise no_object(bucket, name)
        return sight(os.fstat(fd)), FileReader(fd)

    def names(self, bucket: str, start: str, prefix: str, delimiter: str) -> Iterator[str]:
        """By walking."""
        return walk.names(self._root / check_bucket(bucket), start, prefix, delimiter)

    def nameless(self, bucket: str, prefix: str) -> Iterator[tuple[str, ...]]:
        """Paths of files that are no objects."""
        return walk.nameless(self._root / check_bucket(bucket), prefix)

    def open_path(self, bucket: str, path: tuple[str, ...]) -> tuple[Sight, FileReader]:
        """One of them. Raises NotFound."""
        fd = tree.open_file(self._root, (bucket, *path))
        if fd is None:
            raise no_object(bucket, "/".join(path))
        return sight(os.fstat(fd)), FileReader(fd)

    def remove_path(self, bucket: str, path: tuple[str, ...]) -> None:
        """Remove one of them."""
        tree.remove(self._root, bucket, path)

    def loose(self, loose_id: str, size: int | None = None) -> LooseFile:
        """A draft; raises NotFound where an earlier one is gone."""
        try:
            return LooseFile(self._drafts / loose_id, size)
        except FileNotFoundError:
            raise NotFound(f"No such upload: {loose_id}") from None

    def loose_ids(self) -> Sequence[str]:
        """All in the drafts directory."""
        return [path.name for path in self._drafts.iterdir()]

    def place(self, loose: Loose, where: tuple[str, str], time_us: int, record: Callable[[str], None]) -> str:
        """Seal, record, and move in: the row is there before the bytes are."""
        assert isinstance(loose, LooseFile)
        bucket, name = where
        return self._move_in(loose, (bucket, *object_path(name)), time_us, record)

    def place_path(
        self, loose: LooseFile, bucket: str, path: tuple[str, ...], time_us: int, last_look: Callable[[], None]
    ) -> None:
        """Put other bytes in the place of a file that is no object, whole and durable, unless `last_look` raises."""
        self._move_in(loose, (bucket, *path), time_us, lambda _: last_look())

    def _move_in(self, loose: LooseFile, place: tuple[str, ...], time_us: int, record: Callable[[str], None]) -> str:
        stamp = loose.seal(time_us).stamp
        record(stamp)
        try:
            tree.move_in(loose.path, self._root, place[0], place[1:])
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            stamp = self._move_across(loose, place, time_us, record)
        loose.placed()
        return stamp

    def _move_across(
        self, loose: LooseFile, place: tuple[str, ...], time_us: int, record: Callable[[str], None]
    ) -> str:
        """The bucket lies on another file system: copy there under a name that is no object's, then move in."""
        near = LooseFile(self._root / place[0] / f"{_NEAR}{loose.path.name}", None)
        try:
            source = os.open(loose.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                near.liken(source)
                for offset in range(0, size := os.fstat(source).st_size, _COPY_BYTES):
                    near.write(os.pread(source, min(_COPY_BYTES, size - offset), offset))
            finally:
                os.close(source)
            stamp = near.seal(time_us).stamp
            record(stamp)
            tree.move_in(near.path, self._root, place[0], place[1:])
            near.placed()
        finally:
            near.discard()
        loose.path.unlink()
        return stamp

    def _discard_near(self) -> None:
        """What a crash has left half moved, in the clear maybe, where nobody sees it."""
        here = self._drafts.stat().st_dev
        for bucket in self.buckets():
            # A mount of today may be read only, or broken; that is its users' trouble.
            with contextlib.suppress(OSError):
                if (self._root / bucket).stat().st_dev != here:
                    for path in (self._root / bucket).glob(f"{_NEAR}*"):
                        path.unlink()

    def copy(self, source: Reader, size: int, loose: Loose) -> None:
        """In the kernel; file systems that share blocks share them."""
        assert isinstance(source, FileReader) and isinstance(loose, LooseFile)  # noqa: PT018 - both are ours
        loose.take(source.fd, size)

    def remove(self, bucket: str, name: str) -> None:
        """The file, and directories that are empty without it."""
        tree.remove(self._root, check_bucket(bucket), object_path(name))

    def archive(self, bucket: str, name: str, generation: int) -> None:
        """A second name of the same file."""
        seen, reader = self.open(bucket, name)
        path = self._version(bucket, name, generation)
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(reader), contextlib.suppress(FileExistsError):
            try:
                # The descriptor makes os.link follow the link in /proc; an absolute path does not look at it otherwise.
                os.link(f"/proc/self/fd/{reader.fd}", path, src_dir_fd=reader.fd, follow_symlinks=True)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy_aside(reader, seen.size, path)
            sync_directory(path.parent)

    def _copy_aside(self, reader: FileReader, size: int, path: Path) -> None:
        """The bucket lies on another file system, where its files cannot have a second name here."""
        spare = LooseFile(self._drafts / f"{path.name}.archive", None)
        try:
            for offset in range(0, size, _COPY_BYTES):
                spare.write(reader.read(offset, min(_COPY_BYTES, size - offset)))
            spare.flush()
            spare.path.rename(path)
            spare.placed()
        finally:
            spare.discard()

    def open_archived(self, bucket: str, name: str, generation: int) -> tuple[Sight, FileReader]:
        """By name and generation."""
        try:
            fd = os.open(self._version(bucket, name, generation), tree.FILE)
        except FileNotFoundError:
            raise no_object(bucket, name) from None
        return sight(os.fstat(fd)), FileReader(fd)

    def place_archived(self, loose: LooseFile, bucket: str, name: str, generation: int) -> None:
        """Put other bytes in the place of a noncurrent generation's, whole and durable."""
        path = self._version(bucket, name, generation)
        loose.flush()
        loose.path.rename(path)
        loose.placed()
        sync_directory(path.parent)

    def remove_archived(self, bucket: str, name: str, generation: int) -> None:
        """The file."""
        path = self._version(bucket, name, generation)
        path.unlink(missing_ok=True)

    def _version(self, bucket: str, name: str, generation: int) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._versions / check_bucket(bucket) / f"{digest}-{generation}"


def sight(found: os.stat_result) -> Sight:
    """A file's status as a sight: other bytes have another inode, another size or another time of change."""
    stamp = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
    touched_us = max(found.st_ctime_ns, found.st_mtime_ns) // 1000
    return Sight(stamp, found.st_size, found.st_mtime_ns // 1000, touched_us)


def _may_be_bucket(name: str) -> bool:
    try:
        check_bucket(name)
    except InvalidArgument:
        return False
    return True
