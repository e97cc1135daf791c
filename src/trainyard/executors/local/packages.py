"""A Python package is what is in it: the same code packed again, or under another name, has the same fingerprint."""

from __future__ import annotations

import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from trainyard.core.errors import InvalidArgument
from trainyard.core.object_paths import check_bucket, check_object, object_files

_CHUNK = 1 << 20
# What reading a file that is no archive, or a damaged one, may raise. A file that can't be read at all raises again.
_NO_ARCHIVE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


class PreparationFailed(Exception):
    """The place of a replica could not be made; the message says why and how to go on.

    `internal`: the fault is this machine's, and another attempt may find it mended.
    """

    def __init__(self, message: str, *, internal: bool = False) -> None:
        """Keep both."""
        super().__init__(message)
        self.internal = internal


def locate(uri: str, buckets: Path) -> Path:
    """The file of a `gs://bucket/object` URI; raises PreparationFailed where there is none.

    Only gs:// is read (the contract's rule): anything else would let a job name any file of this machine.
    """
    places = object_files(buckets, *parts_of(uri))
    inside = buckets.resolve()
    for path in places:
        if path.is_file() and path.resolve() == inside / path.relative_to(buckets):  # no link leads it elsewhere
            return path
    raise PreparationFailed(
        f"The package {uri} does not exist; it was looked for at {places[0]}. Upload it to the bucket and submit again."
    )


def parts_of(uri: str) -> tuple[str, str]:
    """Bucket and object of a `gs://bucket/object` URI; raises PreparationFailed."""
    scheme, found, rest = uri.partition("gs://")
    bucket, slash, name = rest.partition("/")
    try:
        if scheme or not found or not slash:
            raise InvalidArgument("no bucket and object")
        return check_bucket(bucket), check_object(name)
    except InvalidArgument as error:
        raise PreparationFailed(f"The package {uri!r} is not of the form gs://bucket/object: {error.message}") from None


def fingerprint(path: Path) -> str:
    """Hex sha256 over names and contents of an archive's members, whatever their order in time and packing.

    The official client packs the same script anew for every job; times, owners and compression do not count.
    A file that is no archive counts by its bytes.
    """
    digest = hashlib.sha256()
    try:
        members = list(_members(path))
    except _NO_ARCHIVE:
        with path.open("rb") as file:
            return _hash(file)
    for name, content in sorted(members):
        digest.update(f"{len(name)} {name} {content}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _members(path: Path) -> Iterator[tuple[str, str]]:
    """(name and kind, hash of content) of every member; a directory has none."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for info in packed.infolist():
                with packed.open(info) as file:
                    yield f"{info.filename} {info.external_attr >> 16}", _hash(file)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            held = _hash(content) if content else ""
            yield f"{member.name} {member.mode} {member.type!r} {member.linkname}", held


def _hash(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
