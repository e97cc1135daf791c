"""Packages out of an object store that is no directory of this machine: each generation is fetched once, whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from pathlib import Path
from typing import Final

from trainyard.core.errors import ApiError, NotFound
from trainyard.core.object_paths import object_path
from trainyard.executors.local.packages import PreparationFailed, parts_of
from trainyard.objects import ObjectStore

_CHUNK: Final = 8 * 1024 * 1024


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
