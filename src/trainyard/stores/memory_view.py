"""All jobs at one moment, of the store in memory: a copy of what there was."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from trainyard.core.filters import matches
from trainyard.core.jobs import Change, Job, ReplicaRecord
from trainyard.core.names import Scope
from trainyard.store import COLUMNS, Among
from trainyard.stores.memory_files import File

_PART = 1000
_T = TypeVar("_T")


class MemoryView:
    """Keeps the promise of View over a copy of what there was."""

    def __init__(self, files: list[File]) -> None:
        """Look at these."""
        self._files = sorted(files, key=lambda file: -file.job.id)

    def scopes(self, collection: str) -> tuple[Scope, ...]:
        """See View."""
        return tuple(sorted({file.job.name.scope for file in self._files if file.job.name.collection == collection}))

    def find(self, job_id: int) -> Job | None:
        """See View."""
        return next((file.job for file in self._files if file.job.id == job_id), None)

    def jobs(self, among: Among) -> Iterator[Sequence[Job]]:
        """See View."""
        return _in_parts(file.job for file in self._among(among))

    def columns(
        self,
        among: Among,
        names: Sequence[str],
        *,
        in_order: bool = True,  # noqa: ARG002 - the promise's signature
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """See View."""
        return _in_parts(tuple(COLUMNS[name](file.job) for name in names) for file in self._among(among))

    def tally(self, among: Among, names: Sequence[str]) -> Iterator[Sequence[tuple[Any, ...]]]:
        """See View."""
        counted = Counter(tuple(COLUMNS[name](file.job) for name in names) for file in self._among(among))
        return _in_parts((*combination, count) for combination, count in counted.items())

    def changes(self, among: Among) -> Iterator[Sequence[tuple[int, Change]]]:
        """See View."""
        return _in_parts((file.job.id, change) for file in self._among(among) for change in file.changes)

    def replica_records(self, among: Among) -> Iterator[Sequence[tuple[int, ReplicaRecord]]]:
        """See View."""
        return _in_parts((file.job.id, record) for file in self._among(among) for record in file.records)

    def close(self) -> None:
        """See View."""
        self._files = []

    def _among(self, among: Among) -> Iterator[File]:
        for file in self._files:
            job = file.job
            here = job.name.scope == among.scope and job.name.collection == among.collection
            if here and among.id in (None, job.id) and (among.filter is None or matches(among.filter, job)):
                yield file


def _in_parts(values: Iterator[_T]) -> Iterator[Sequence[_T]]:
    while part := tuple(itertools.islice(values, _PART)):
        yield part
