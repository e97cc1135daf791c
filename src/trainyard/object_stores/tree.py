"""A walk through a bucket's directory that no name and no symbolic link leads out of.

Every step opens one component below the directory that is open already, and never follows a link: a path is no text
that somebody else may read differently. Links inside a bucket are not objects, wherever they lead.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from trainyard.core.errors import FailedPrecondition, InvalidArgument
from trainyard.core.object_paths import DRAFT, SELF

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_EXCHANGE: Final = 2
_TRIES: Final = 16
_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def absent(error: OSError) -> bool:
    """Whether the error says that nothing of ours is there (a link is nothing of ours)."""
    return error.errno in _ABSENT


@contextlib.contextmanager
def directory(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """A descriptor of the directory at `parts` below the root. Raises OSError; see `absent`."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            inner = os.open(part, DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def status(fd: int, name: str) -> tuple[str, os.stat_result] | None:
    """The regular file that holds the object `name` of the open directory: its own name there, and its status."""
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            inner = os.open(name, DIRECTORY, dir_fd=fd)
            try:
                found = os.stat(SELF, dir_fd=inner, follow_symlinks=False)
                name = f"{name}/{SELF}"
            finally:
                os.close(inner)
    except OSError as error:
        if absent(error):
            return None
        raise
    return (name, found) if stat.S_ISREG(found.st_mode) else None


def open_file(root: Path, parts: Sequence[str]) -> int | None:
    """A descriptor of the object's file for reading; None where there is none."""
    try:
        with directory(root, parts[:-1]) as fd:
            inner = os.open(parts[-1], FILE, dir_fd=fd)
        found = os.fstat(inner)
        if stat.S_ISREG(found.st_mode):
            return inner
        os.close(inner)
        return open_file(root, (*parts, SELF)) if stat.S_ISDIR(found.st_mode) and parts[-1] != SELF else None
    except OSError as error:
        if absent(error) or error.errno == errno.ENXIO:
            return None
        raise


def move_in(source: Path, root: Path, bucket: str, parts: Sequence[str]) -> None:
    """Put a file of ours in the object's place, at once, directories made on the way; durable when it returns.

    Raises FailedPrecondition where something that is no object is in the way, and OSError.
    """
    for _ in range(_TRIES):
        try:
            made = _make_way(root, bucket, parts[:-1])
            with directory(root, (bucket, *parts[:-1])) as fd:
                with _alone(fd):
                    _replace(source, fd, parts[-1])
                os.fsync(fd)
        except (FileNotFoundError, NotADirectoryError):
            continue  # somebody removed an emptied directory, or the file in the way, meanwhile
        for depth in made:
            with contextlib.suppress(FileNotFoundError), directory(root, (bucket, *parts[:depth])) as fd:
                os.fsync(fd)
        return
    raise OSError(errno.EBUSY, "the directory is removed again and again", "/".join(parts))


def _make_way(root: Path, bucket: str, parts: Sequence[str]) -> list[int]:
    """Make the directories; the depths of those that have a new entry."""
    made: list[int] = []
    with contextlib.ExitStack() as open_ones:
        fd = open_ones.enter_context(directory(root, (bucket,)))
        for depth, part in enumerate(parts):
            inner = _enter(fd, part)
            if inner is None:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o777, dir_fd=fd)
                    made.append(depth)
                inner = _enter(fd, part)
                if inner is None:
                    raise FileNotFoundError(errno.ENOENT, "removed again", part)
            open_ones.callback(os.close, inner)
            fd = inner
    return made


def _enter(fd: int, part: str) -> int | None:
    """The directory `part`, a file of that name turned into the object inside of it; None where there is nothing."""
    try:
        return os.open(part, DIRECTORY, dir_fd=fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
    if not stat.S_ISREG(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
        raise FailedPrecondition(f"{part!r} is in the way and is neither a file nor a directory; remove it.")
    _turn_into_directory(fd, part)
    return os.open(part, DIRECTORY, dir_fd=fd)


@contextlib.contextmanager
def _alone(fd: int) -> Iterator[None]:
    """Within it nobody else of ours renames, removes or turns files in the open directory."""
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def _turn_into_directory(fd: int, part: str) -> None:
    """The file `part` becomes `part/.%%self` in one step: it is seen before and after, never not.

    Raises FileNotFoundError where the file changed meanwhile; the caller looks again.
    """
    spare = f"{DRAFT}{os.urandom(8).hex()}"
    with _alone(fd):
        if not stat.S_ISREG(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
            raise FileNotFoundError(errno.ENOENT, "somebody was faster", part)
        os.mkdir(spare, 0o777, dir_fd=fd)
        try:
            os.link(part, f"{spare}/{SELF}", src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
            linked = os.stat(f"{spare}/{SELF}", dir_fd=fd, follow_symlinks=False)
            _exchange(fd, spare, part)
            if not os.path.samestat(os.stat(spare, dir_fd=fd, follow_symlinks=False), linked):
                _exchange(fd, spare, part)  # a job has put something else there in this very moment
                raise FileNotFoundError(errno.ENOENT, "changed meanwhile", part)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{spare}/{SELF}", dir_fd=fd)
            os.rmdir(spare, dir_fd=fd)
            raise
        os.unlink(spare, dir_fd=fd)  # the other name of the file, now inside
    os.fsync(fd)


def _exchange(fd: int, one: str, other: str) -> None:
    """Swap two names of a directory at once (renameat2, Linux 3.15)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(fd, os.fsencode(one), fd, os.fsencode(other), _EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), other)


def _replace(source: Path, fd: int, name: str) -> None:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        found = None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidArgument("The name is too long for this file system.") from None
        raise
    if found is not None and stat.S_ISDIR(found.st_mode):
        inner = os.open(name, DIRECTORY, dir_fd=fd)
        try:
            _rename(source, inner, SELF)
            os.fsync(inner)
        finally:
            os.close(inner)
        return
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise FailedPrecondition(f"{name!r} is in the way and is not a file; remove it.")
    _rename(source, fd, name)


def _rename(source: Path, fd: int, name: str) -> None:
    try:
        os.rename(source, name, dst_dir_fd=fd)
    except IsADirectoryError:
        raise FileNotFoundError(errno.ENOENT, "became a directory meanwhile", name) from None


def remove(root: Path, bucket: str, parts: Sequence[str]) -> None:
    """Remove the object's file durably, and the directories that are empty without it."""
    try:
        with directory(root, (bucket, *parts[:-1])) as fd:
            with _alone(fd):
                found = status(fd, parts[-1])
                if found is None:
                    return
                if found[0] == parts[-1]:
                    os.unlink(found[0], dir_fd=fd)
                else:
                    parts = (*parts, SELF)
                    _unlink_in(fd, found[0])
            os.fsync(fd)
    except OSError as error:
        if absent(error):
            return
        raise
    _prune(root, bucket, parts[:-1])


def _unlink_in(fd: int, path: str) -> None:
    outer, _, name = path.partition("/")
    inner = os.open(outer, DIRECTORY, dir_fd=fd)
    try:
        os.unlink(name, dir_fd=inner)
        os.fsync(inner)
    finally:
        os.close(inner)


def _prune(root: Path, bucket: str, parts: Sequence[str]) -> None:
    """Remove emptied directories from the innermost on; one that is in use again stays."""
    for depth in range(len(parts) - 1, -1, -1):
        try:
            with directory(root, (bucket, *parts[:depth])) as fd:
                os.rmdir(parts[depth], dir_fd=fd)
        except OSError:
            return  # not empty, or gone already: an empty directory more is no object more
