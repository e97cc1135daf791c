"""Cloud Storage's semantics over plain bytes: generations, conditions, holds, versions and metadata, written once.

Bytes that somebody put there past the endpoint are an object like any other: it is met at the first look, with the
time of its change as generation, or the number after the last where that is larger.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from trainyard.core.clock import Clock
from trainyard.core.errors import AlreadyExists, FailedPrecondition, NotFound
from trainyard.core.object_paths import check_bucket, check_object
from trainyard.object_stores.bytes_kept import Bytes, Sight
from trainyard.object_stores.catalogue import Catalogue, Row
from trainyard.object_stores.digests import Digests, digests_of
from trainyard.object_stores.drafts import Drafts, KeptDraft
from trainyard.object_stores.listing import Lister
from trainyard.object_stores.sealed import NoSeals, SealedReader, content_size, opened
from trainyard.objects import (
    ANY,
    Bucket,
    Conditions,
    Draft,
    Listing,
    ObjectHeld,
    ObjectLocked,
    ObjectSeals,
    Query,
    Reader,
    StoredObject,
    Target,
    no_object,
)

_LOCKS: Final = 256


class KeptObjects:
    """See trainyard.objects.ObjectStore."""

    def __init__(self, kept: Bytes, catalogue: Catalogue, clock: Clock) -> None:
        """Over these bytes, with what the catalogue knows of them."""
        self._bytes = kept
        self._catalogue = catalogue
        self._clock = clock
        self._drafts = Drafts(kept, catalogue, clock)
        self._locks = [threading.RLock() for _ in range(_LOCKS)]
        self._lister = Lister(kept, catalogue, self.met)
        self._seals: ObjectSeals = NoSeals()

    def share_seals(self, seals: ObjectSeals) -> None:
        """Open by these what is sealed, from now on."""
        self._seals = seals

    def buckets(self) -> Sequence[Bucket]:
        """All that exist."""
        known = self._catalogue.buckets()
        return [known.get(name) or self.bucket(name) for name in self._bytes.buckets()]

    def bucket(self, name: str) -> Bucket:
        """One; what is met for the first time is written down."""
        made_us = self._bytes.made_us(check_bucket(name))
        known, _ = self._catalogue.bucket(name)
        if known is None:
            known = Bucket(name, made_us, made_us)
            self._catalogue.write_bucket(known)
        return known

    def known_deleted(self, name: str) -> bool:
        """Whether it was deleted through us and has not come back."""
        return self._catalogue.bucket(check_bucket(name))[1]

    def create_bucket(self, name: str, attributes: Mapping[str, Any]) -> Bucket:
        """Directory first: a bucket without a row is met as one without attributes."""
        with self._lock(name), contextlib.suppress(NotFound):
            self.bucket(name)
            raise AlreadyExists("Your previous request to create the named bucket succeeded and you already own it.")
        with self._lock(name):
            self._bytes.make_bucket(name)
            now = self._clock.now_us()
            made = Bucket(name, now, now, 1, attributes)
            self._catalogue.write_bucket(made)
        return made

    def update_bucket(self, name: str, attributes: Mapping[str, Any], conditions: Conditions = ANY) -> Bucket:
        """Replace what its owner set."""
        with self._lock(name):
            old = self.bucket(name)
            conditions.check(old.created_us, old.metageneration)
            new = replace(
                old, attributes=attributes, metageneration=old.metageneration + 1, updated_us=self._clock.now_us()
            )
            self._catalogue.write_bucket(new)
        return new

    def delete_bucket(self, name: str, conditions: Conditions = ANY) -> None:
        """Only where no object is left, noncurrent ones included."""
        with self._lock(name):
            old = self.bucket(name)
            conditions.check(old.created_us, old.metageneration)
            if self._catalogue.archived(name, "", "", 1) or not self._bytes.remove_bucket(name):
                raise FailedPrecondition("The bucket you tried to delete is not empty.", reason="conflict")
            self._catalogue.bury_bucket(name, self._clock.now_us())

    def stat(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        """With the CRC32C, computed now where nobody did and the object is not locked."""
        row, _ = self._find(bucket, name, generation)
        if row.object.crc32c is None:
            with contextlib.suppress(ObjectLocked):
                return self._digested(row)
        return row.object

    def open(self, bucket: str, name: str, generation: int | None = None) -> tuple[StoredObject, Reader]:
        """Row and bytes belong together: where the bytes change meanwhile, both are taken again."""
        while True:
            row, archived = self._find(bucket, name, generation)
            if archived:
                sight, reader = self._bytes.open_archived(bucket, name, row.object.generation)
                return row.object, opened(self._seals, row.object, sight.size, reader)
            sight, reader = self._bytes.open(bucket, name)
            if row.tells_of(sight.stamp):
                return row.object, opened(self._seals, row.object, sight.size, reader)
            reader.close()

    def list(self, bucket: str, query: Query) -> Listing:
        """See listing.py."""
        self.bucket(bucket)
        return self._lister.page(bucket, query)

    def draft(self) -> Draft:
        """See drafts.py."""
        return self._drafts.new()

    def keep(self, draft: Draft, state: Mapping[str, Any]) -> None:
        """See drafts.py."""
        self._drafts.keep(draft, state)

    def kept(self, draft_id: str) -> tuple[Draft | None, Mapping[str, Any]]:
        """See drafts.py."""
        return self._drafts.kept(draft_id)

    def forget(self, draft_id: str) -> None:
        """See drafts.py."""
        self._drafts.forget(draft_id)

    def put(self, draft: Draft, target: Target) -> StoredObject:
        """Everything is checked before anything is changed."""
        assert isinstance(draft, KeptDraft)
        bucket = self.bucket(target.bucket)
        draft.verify(target.crc32c, target.md5)
        digests = draft.digests()
        with self._lock(target.bucket, target.name):
            old = self._live(target.bucket, check_object(target.name))
            _check(old, target.conditions)
            _refuse_held(old)
            now = self._clock.now_us()
            rows = self._catalogue.rows(target.bucket, target.name)
            new = StoredObject(
                target.bucket, target.name, max(now, _newest(rows) + 1), draft.size, now, now,
                crc32c=digests.crc32c, md5=None if target.components else digests.md5, components=target.components,
                attributes=target.attributes,
            )  # fmt: skip
            kept = [old] if old is not None else []
            if old is not None and bucket.versioned:
                self._bytes.archive(target.bucket, target.name, old.object.generation)
                kept = [replace(old, object=replace(old.object, deleted_us=now))]
            gone = [row.object for row in rows if row.object.deleted_us is None and (not old or row.stamp != old.stamp)]

            def record(stamp: str) -> None:
                self._catalogue.write([*kept, Row(stamp, new)], gone)

            self._bytes.place(draft.loose, (target.bucket, target.name), new.generation, record)
            draft.placed = True
        return new

    def copy(self, source: StoredObject, target: Target) -> StoredObject:
        """The digests come along; where nobody has computed them, they are now. A copy of a sealed object is plain."""
        known, reader = self.open(source.bucket, source.name, source.generation)
        draft = self._drafts.new()
        try:
            with contextlib.closing(reader):
                if isinstance(reader, SealedReader):
                    for piece in reader.pieces(known.size):
                        draft.loose.write(piece)
                else:
                    self._bytes.copy(reader, known.size, draft.loose)
                if known.crc32c is None:
                    draft.adopt(digests_of(draft.loose.read, known.size))
                else:
                    draft.adopt(Digests.known(known.size, known.crc32c, known.md5))
            return self.put(draft, replace(target, components=known.components))
        finally:
            draft.discard()

    def update(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        attributes: Mapping[str, Any],
        conditions: Conditions = ANY,
    ) -> StoredObject:
        """A new metageneration of the same bytes."""
        with self._lock(bucket, name):
            row, _ = self._find(bucket, name, generation)
            _check(row, conditions)
            new = replace(
                row.object,
                attributes=attributes,
                metageneration=row.object.metageneration + 1,
                updated_us=self._clock.now_us(),
            )
            self._catalogue.write([replace(row, object=new)])
        return new

    def delete(self, bucket: str, name: str, generation: int | None = None, conditions: Conditions = ANY) -> None:
        """Bytes first, then what is known of them; a row without bytes tells of nothing."""
        with self._lock(bucket, name):
            row, archived = self._find(bucket, name, generation)
            _check(row, conditions)
            _refuse_held(row)
            if archived:
                self._remove_noncurrent(row.object)
                return
            keeping = generation is None and self.bucket(bucket).versioned
            if keeping:
                self._bytes.archive(bucket, name, row.object.generation)
                self._catalogue.write([replace(row, object=replace(row.object, deleted_us=self._clock.now_us()))])
            self._remove_live(bucket, name)

    def close(self) -> None:
        """Let go of the catalogue."""
        self._catalogue.close()

    def met(self, bucket: str, seen: Mapping[str, Sight], known: Mapping[str, Sequence[Row]]) -> Mapping[str, Row]:
        """The rows of what was seen; those that did not exist yet are written, all at once."""
        found: dict[str, Row] = {}
        new: list[Row] = []
        for name, sight in seen.items():
            rows = known.get(name, ())
            row = next((each for each in rows if each.tells_of(sight.stamp)), None)
            if row is None:
                generation = max(sight.changed_us, _newest(rows) + 1)
                size = content_size(self._seals, self._bytes, (bucket, name), sight)
                met = StoredObject(bucket, name, generation, size, sight.changed_us, sight.changed_us)
                row = Row(sight.stamp, met)
                new.append(row)
            found[name] = replace(row, object=replace(row.object, deleted_us=None))
        if new:
            self._catalogue.meet(new)
        return found

    def _live(self, bucket: str, name: str) -> Row | None:
        """What is there now."""
        sight = self._bytes.look(bucket, check_object(name))
        if sight is None:
            return None
        rows = self._catalogue.rows(bucket, name)
        if not any(row.tells_of(sight.stamp) for row in rows):
            with self._lock(bucket, name):
                sight = self._bytes.look(bucket, name)
                if sight is None:
                    return None
                return self.met(bucket, {name: sight}, {name: self._catalogue.rows(bucket, name)})[name]
        return self.met(bucket, {name: sight}, {name: rows})[name]

    def _find(self, bucket: str, name: str, generation: int | None) -> tuple[Row, bool]:
        """The row of the object or of one generation, and whether that is a noncurrent one."""
        live = self._live(check_bucket(bucket), name)
        if live is not None and generation in (None, live.object.generation):
            return live, False
        if generation is not None:
            for row in self._catalogue.rows(bucket, name):
                if row.object.generation == generation and row.object.deleted_us is not None:
                    return row, True
        self._bytes.made_us(bucket)  # a missing bucket is told before a missing object
        raise no_object(bucket, name)

    def _remove_live(self, bucket: str, name: str) -> None:
        """With the name's lock; noncurrent generations stay."""
        self._bytes.remove(bucket, name)
        rows = self._catalogue.rows(bucket, name)
        self._catalogue.write([], [each.object for each in rows if each.object.deleted_us is None])

    def _remove_noncurrent(self, known: StoredObject) -> None:
        self._bytes.remove_archived(known.bucket, known.name, known.generation)
        self._catalogue.write([], [known])

    def _digested(self, row: Row) -> StoredObject:
        """Read the bytes, and write their digests down where they are still the same."""
        stored, reader = self.open(row.object.bucket, row.object.name, row.object.generation)
        with contextlib.closing(reader):
            digests = digests_of(reader.read, stored.size)
        done = replace(stored, crc32c=digests.crc32c, md5=digests.md5)
        with self._lock(stored.bucket, stored.name):
            for each in self._catalogue.rows(stored.bucket, stored.name):
                if each.object.generation == stored.generation:
                    known = replace(each.object, crc32c=digests.crc32c, md5=digests.md5)
                    self._catalogue.write([replace(each, object=known)])
        return done

    def _lock(self, *what: str) -> threading.RLock:
        return self._locks[hash(what) % _LOCKS]


def _check(row: Row | None, conditions: Conditions) -> None:
    conditions.check(row.object.generation if row else 0, row.object.metageneration if row else 0)


def _refuse_held(row: Row | None) -> None:
    if row is not None and row.object.held:
        hold = "temporary" if row.object.attributes.get("temporaryHold") else "event-based"
        raise ObjectHeld(
            f"Object '{row.object.bucket}/{row.object.name}' is under active {hold} hold and cannot be deleted, "
            "overwritten or archived until hold is removed."
        )


def _newest(rows: Iterable[Row]) -> int:
    return max((row.object.generation for row in rows), default=0)
