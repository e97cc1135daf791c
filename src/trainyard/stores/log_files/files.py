"""The bytes of a stream, wherever they lie: in the file that an agent writes, or in the sealed one that replaced it.

A sealed file is there before the plain one goes, and both say the same: a reader that misses the one finds the other.
While a sealed job writes, only the newest is in the plain file; the rest is blank there and sealed beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from trainyard.core.errors import ApiError
from trainyard.core.log_files import STREAMS, read_directory_name
from trainyard.keyring import SEALED, Seals

_Done = TypeVar("_Done")


class Files:
    """Reads by path and range; opened anew each time, so replicas hold no descriptors."""

    def __init__(self, seals: Seals | None = None) -> None:
        """Without `seals` nothing was ever sealed."""
        self._seals = seals

    def size(self, path: str) -> int:
        """Its size now; 0 where there is no such file."""
        try:
            return os.stat(path).st_size  # noqa: PTH116 - asked for every live replica at every poll; Path costs thrice
        except FileNotFoundError:
            return self._sealed_size(path)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes, none where there is no such file. Raises as Seals.read_file."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return self._read_sealed(path, offset, size)
        try:
            return self.read_open(descriptor, path, offset, size)
        finally:
            os.close(descriptor)

    def read_open(self, descriptor: int, path: str, offset: int, size: int) -> bytes:
        """As `read`, by a descriptor of the plain file: read first, and only then asked what of it was sealed."""
        content = os.pread(descriptor, size, offset)
        if content and self._seals is not None and self._seals.in_use:
            return self._seals.mended(path, offset, content)
        return content

    def tail(self, path: str, most: int) -> bytes:
        """Its last bytes; none where there is no such file. Raises as Seals.read_file."""
        return self.read(path, max(0, self.size(path) - most), most)

    def exists(self, path: str) -> bool:
        """Whether it has been made, sealed or not."""
        return os.path.exists(path) or os.path.exists(f"{path}{SEALED}")  # noqa: PTH110 - as above

    def open(self, path: str) -> OpenFile:
        """One file for reading it whole. Raises FileNotFoundError."""
        try:
            return OpenFile(self, path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            if not self.exists(path):
                raise
            return OpenFile(self, path, None)

    def seal_growth(self, directory: str, owner: int) -> bool:
        """Seal what the streams in a job's directory have grown by; see Seals.seal_growth."""
        if self._seals is None:
            return False
        seals = self._seals
        return any(_all(lambda stream: seals.seal_growth(owner, stream), _streams(directory)))

    def seal(self, directory: Path, owner: int) -> None:
        """Seal the streams of every incarnation in a job's directory; nobody writes there any more. May be repeated."""
        if self._seals is not None:
            seals = self._seals
            _all(lambda stream: seals.seal_file(owner, stream), _streams(str(directory)))

    def _sealed_size(self, path: str) -> int:
        if self._seals is not None and self._seals.in_use:
            with suppress(FileNotFoundError):
                return self._seals.size_of(path)
        return 0

    def _read_sealed(self, path: str, offset: int, size: int) -> bytes:
        if self._seals is not None and self._seals.in_use:
            with suppress(FileNotFoundError):
                return self._seals.read_file(path, offset, size)
        return b""


def _streams(directory: str) -> list[str]:
    """Paths of what the incarnations in a job's directory have printed, or may have."""
    return [
        f"{directory}/{name}/{stream}"
        for name in sorted(names(directory))
        if read_directory_name(name) is not None
        for stream in STREAMS
    ]


def _all(work: Callable[[str], _Done], streams: Iterable[str]) -> list[_Done]:
    """Do it to all of them; one that fails holds up no other, and is told then."""
    done: list[_Done] = []
    failed: Exception | None = None
    for stream in streams:
        try:
            done.append(work(stream))
        except (ApiError, OSError) as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return done


def names(directory: str) -> list[str]:
    """What is in it; nothing where there is no such directory."""
    try:
        return os.listdir(directory)  # noqa: PTH208 - at every poll for every live replica; Path costs thrice
    except (FileNotFoundError, NotADirectoryError):
        return []


class OpenFile:
    """A file that is being sent: one that is sealed meanwhile goes on to be read where it is."""

    def __init__(self, files: Files, path: str, descriptor: int | None) -> None:
        """Takes over the descriptor; None: it is sealed already."""
        self._files = files
        self._path = path
        self._descriptor = descriptor
        self.size = files.size(path) if descriptor is None else os.fstat(descriptor).st_size

    def __enter__(self) -> Self:
        """Closed at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from the offset."""
        if self._descriptor is not None:
            return self._files.read_open(self._descriptor, self._path, offset, size)
        return self._files.read(self._path, offset, size)
