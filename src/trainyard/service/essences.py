"""What a job's spec says in the fields that never change, shared between jobs that say the same, and remembered by id.

Most jobs of a project are of a few shapes, and their specs are the largest thing that there is of them: whoever asks
about the specs of a whole project again and again reads them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.keyring import Opened
from trainyard.kind import Kind, ShowsSpec
from trainyard.service.wire import part_of

if TYPE_CHECKING:
    from trainyard.core.names import Scope
    from trainyard.store import Among, View

ESSENCE: Final = "essence"
"""Beside the store's columns: the spec's wire bytes with the kind's `fields_of_spec` alone."""

MOST_JOBS: Final = 250_000
"""That are remembered, of all scopes together: some 25 MB."""

MOST_SHAPES: Final = 4096
_OF_THE_BODY: Final = frozenset({"labels", "spec"})
_Row = tuple[Any, ...]


class Essences:
    """Remembers; one per service, for any thread."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._shapes: dict[bytes, bytes] = {}
        self._cleared = 0
        self._known: dict[tuple[str, Scope], Mapping[int, bytes]] = {}

    def columns(
        self, view: View, kind: Kind, among: Among, names: Sequence[str], *, in_order: bool
    ) -> Iterator[Sequence[_Row]]:
        """As View.columns, with ESSENCE among the names."""
        stored = [name for name in names if name != ESSENCE]
        at = names.index(ESSENCE)
        known = self._known.get((among.collection, among.scope))
        if known is not None and among.id is None and not _OF_THE_BODY.intersection(stored):
            yield from self._remembered(view, kind, among, (stored, at, known), in_order=in_order)
            return
        cleared = self._cleared
        fresh: dict[int, bytes] | None = {} if among.id is None and among.filter is None else None
        for part in view.columns(among, [*stored, "id", "spec"], in_order=in_order):
            essences = [self._of(kind, row[-1]) for row in part]
            if fresh is not None:
                told = zip(part, essences, strict=True)
                # What was sealed is not remembered: it must not outlive its key.
                fresh.update((row[-2], essence) for row, essence in told if not isinstance(row[-1], Opened))
                fresh = fresh if len(fresh) <= MOST_JOBS and self._cleared == cleared else None
            yield _put(part, essences, at, 2)
        if fresh is not None:
            self._remember((among.collection, among.scope), fresh)

    def _remembered(
        self, view: View, kind: Kind, among: Among, asked: tuple[list[str], int, Mapping[int, bytes]], *, in_order: bool
    ) -> Iterator[Sequence[_Row]]:
        stored, at, known = asked
        for part in view.columns(among, [*stored, "id"], in_order=in_order):
            essences = [known.get(row[-1]) for row in part]
            if None in essences:
                for place, (row, essence) in enumerate(zip(part, essences, strict=True)):
                    if essence is None:
                        one = next(iter(view.columns(replace(among, filter=None, id=row[-1]), ["spec"])))
                        essences[place] = self._of(kind, one[0][0])
            yield _put(part, essences, at, 1)

    def _of(self, kind: Kind, spec: bytes) -> bytes:
        try:
            essence = essence_of(kind, spec)
        except IndexError:  # it was damaged at rest; others stand beside it
            essence = b""
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
            self._cleared += 1
        return self._shapes.setdefault(essence, essence)

    def _remember(self, key: tuple[str, Scope], fresh: Mapping[int, bytes]) -> None:
        """Forget whole scopes, the longest known first, until there is room."""
        known = {other: found for other, found in self._known.items() if other != key}
        while known and sum(map(len, known.values())) + len(fresh) > MOST_JOBS:
            del known[next(iter(known))]
        self._known = {**known, key: fresh}


def essence_of(kind: Kind, spec: bytes) -> bytes:
    """The parts of a spec that its kind shows as they are; the kind is one that does."""
    assert isinstance(kind, ShowsSpec)
    return b"".join(part_of(spec, number) for number in _numbers(kind.message_name, kind.fields_of_spec))


@cache
def _numbers(message_name: str, names: frozenset[str]) -> tuple[int, ...]:
    fields = message_class(f"{API_PACKAGE}.{STORED_VERSION}.{message_name}").DESCRIPTOR.fields_by_name
    return tuple(sorted(fields[name].number for name in names))


def _put(part: Sequence[_Row], essences: Sequence[Any], at: int, behind: int) -> Sequence[_Row]:
    """The rows with their essences at that place, without the last `behind` values."""
    if len(part) and len(part[0]) == behind:
        return [(essence,) for essence in essences]
    return [(*row[:at], essence, *row[at:-behind]) for row, essence in zip(part, essences, strict=True)]
