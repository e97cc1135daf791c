"""Packages that do not lie in the buckets as they are: elsewhere, or sealed. Each generation is fetched once, whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trainyard.core.errors import ApiError, NotFound
from trainyard.core.object_paths import object_path
from trainyard.executors.local.packages import PreparationFailed, locate, parts_of
from trainyard.keyring import FILE_MARK
from trainyard.objects import ObjectStore

_CHUNK: Final = 8 * 1024 * 1024


def finder(data_dir: Path, elsewhere: ObjectStore | None, opens: ObjectStore | None) -> Callable[[str], Path]:
    """What gives the file of a package's URI: in the buckets of this machine, or out of the object store `elsewhere`.

    `opens` is asked for what lies sealed in the buckets. Blocks; raises as RemotePackages.
    """
    kept = data_dir / "environments" / "packages"
    if elsewhere is not None:
        return RemotePackages(elsewhere, kept)

    def find(uri: str) -> Path:
        path = locate(uri, data_dir / "buckets")
        if opens is None:
            return path
        with path.open("rb") as file:
            is_sealed = file.read(len(FILE_MARK)) == FILE_MARK
        return RemotePackages(opens, kept)(uri) if is_sealed else path

    return find


class RemotePackages:
    """Finds the local copy of a `gs://bucket/object` URI; made where there is none yet."""

    def __init__(self, objects: ObjectStore, kept: Path) -> None:
        """Copies lie under `kept`; one that another process makes at the same time is as good."""
        self._objects = objects
        self._kept = kept

    def __call__(self, uri: str) -> Path:
        """The copy's file, under the object's own last name. Blocks. Raises PreparationFailed, OSError."""
        bucket, name = parts_of(uri)
        file_name = name.rpartition("/")[2]
        if object_path(name)[-1] != file_name:
            raise PreparationFailed(f"The package {uri} ends in what can't be a file's name; name it as pip would.")
        try:
            stored, reader = self._objects.open(bucket, name)
        except NotFound:
            raise PreparationFailed(f"The package {uri} does not exist; upload it and submit again.") from None
        except ApiError as error:
            raise PreparationFailed(f"The package {uri} can't be read now: {error.message}", internal=True) from None
        with contextlib.closing(reader):
            digest = hashlib.sha256(f"{bucket}/{name}".encode()).hexdigest()[:32]
            path = self._kept / f"{digest}-{stored.generation}" / file_name
            if path.exists():
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.parent / f".{uuid.uuid4().hex}"
            try:
                with draft.open("wb") as file:
                    for offset in range(0, stored.size, _CHUNK):
                        file.write(reader.read(offset, min(_CHUNK, stored.size - offset)))
                    file.flush()
                    os.fsync(file.fileno())
                draft.rename(path)
            finally:
                draft.unlink(missing_ok=True)
        return path
