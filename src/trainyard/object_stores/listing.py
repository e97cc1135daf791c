"""Pages of a bucket: names in order, grouped by a delimiter, each page going on exactly where the last one ended."""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from trainyard.core.errors import InvalidArgument
from trainyard.core.object_paths import after_all
from trainyard.object_stores.bytes_kept import Bytes, Sight
from trainyard.object_stores.catalogue import Catalogue, Row
from trainyard.object_stores.globs import glob_matcher
from trainyard.objects import Listing, Query, StoredObject

Meet = Callable[[str, Mapping[str, Sight], Mapping[str, Sequence[Row]]], Mapping[str, Row]]
_ARCHIVED_AT_ONCE: Final = 500


@dataclass(slots=True)
class _Page:
    """What a page holds so far; `after` is where the next one goes on."""

    names: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    start: str = ""
    full: bool = False

    def __len__(self) -> int:
        return len(self.names) + len(self.prefixes)


class Lister:
    """Lists what the bytes' keeper has, with what the catalogue knows."""

    def __init__(self, kept: Bytes, catalogue: Catalogue, meet: Meet) -> None:
        """`meet` gives the rows of what is seen, making those that do not exist yet."""
        self._bytes = kept
        self._catalogue = catalogue
        self._meet = meet

    def page(self, bucket: str, query: Query) -> Listing:
        """One page; raises InvalidArgument on a token that is not ours or a glob that is none."""
        start, generation = _opened(query.after)
        page = self._names(bucket, query, max(query.start, query.prefix, start))
        objects = self._objects(bucket, page.names, query.versions)
        if generation:
            objects = [each for each in objects if each.name != start or each.generation > generation]
        if query.versions and len(objects) > query.size:
            last = objects[query.size - 1]
            return Listing(objects[: query.size], [], _token(last.name, last.generation))
        return Listing(objects, page.prefixes, _token(page.start) if page.full else "")

    def _names(self, bucket: str, query: Query, start: str) -> _Page:
        page = _Page()
        matches = glob_matcher(query.glob) if query.glob else None
        past: str | None = ""
        for name in self._from(bucket, query, start):
            if past and name < past:
                continue
            if query.end and name >= query.end:
                break
            if len(page) >= query.size:
                page.full = True
                break
            group = _group(name, query)
            if group:
                if not self._shown(bucket, query, group, start):
                    continue
                page.prefixes.append(group)
                past = page.start = after_all(group) or ""
                if query.trailing_delimiter and self._bytes.look(bucket, group):
                    page.names.append(group)
                if not past:
                    break
            elif matches is None or matches(name):
                page.names.append(name)
                page.start = name + "\x00"
        return page

    def _from(self, bucket: str, query: Query, start: str) -> Iterator[str]:
        delimiter = "" if query.glob or query.versions else query.delimiter
        live = self._bytes.names(bucket, start, query.prefix, delimiter)
        if not query.versions:
            return live
        return (name for name, _ in groupby(heapq.merge(live, self._archived(bucket, start, query.prefix))))

    def _archived(self, bucket: str, start: str, prefix: str) -> Iterator[str]:
        while names := self._catalogue.archived(bucket, start, prefix, _ARCHIVED_AT_ONCE):
            yield from names
            start = names[-1] + "\x00"

    def _shown(self, bucket: str, query: Query, group: str, start: str) -> bool:
        """Whether something of the group lies before the end, and matches the glob."""
        if not query.glob and not query.end.startswith(group):
            return True
        matches = glob_matcher(query.glob) if query.glob else None
        for name in self._bytes.names(bucket, max(start, group), group, ""):
            if query.end and name >= query.end:
                return False
            if matches is None or matches(name):
                return True
        return False

    def _objects(self, bucket: str, names: Sequence[str], versions: bool) -> list[StoredObject]:
        seen = {name: sight for name in names if (sight := self._bytes.look(bucket, name)) is not None}
        known = self._catalogue.rows_of(bucket, names)
        live = self._meet(bucket, seen, known)
        if not versions:
            return [live[name].object for name in names if name in live]
        found: list[StoredObject] = []
        for name in names:
            current = [live[name].object] if name in live else []
            stamp = live[name].stamp if name in live else ""
            old = [row.object for row in known.get(name, ()) if row.object.deleted_us and row.stamp != stamp]
            found += sorted([*old, *current], key=lambda each: each.generation)
        return found


def _group(name: str, query: Query) -> str:
    """What the name is rolled up into; empty where it stands for itself."""
    if not query.delimiter:
        return ""
    at = name.find(query.delimiter, len(query.prefix))
    return "" if at < 0 else name[: at + len(query.delimiter)]


def _token(start: str, generation: int = 0) -> str:
    return base64.urlsafe_b64encode(f"{generation} {start}".encode()).decode()


def _opened(token: str) -> tuple[str, int]:
    """Where a page starts, and the generation of that name that it starts behind."""
    if not token:
        return "", 0
    try:
        generation, _, start = base64.b64decode(token, b"-_", validate=True).decode().partition(" ")
        return start, int(generation)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidArgument(f"Invalid pageToken: {token!r}") from None
