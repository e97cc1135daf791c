"""What every object store must keep. Subclass it, give a `store` fixture, and you have proved yours."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from trainyard.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from trainyard.objects import (
    ConditionNotMet,
    Conditions,
    HashMismatch,
    NotModified,
    ObjectHeld,
    ObjectStore,
    Query,
    StoredObject,
    Target,
)

ODD_NAMES = [
    "a",
    "a/",
    "a/b",
    "a//b",
    "a-b",
    "a0",
    "x/../y",
    "./z",
    ".%marked",
    "é ü:1",
    "back\\slash",
    "nul\x00byte",
    "%2e%2e/enc",
    "l" * 600,
    "p/" + "q" * 300 + "/r",
    "😀",
]


@contextlib.contextmanager
def second_file_system(first: Path) -> Iterator[Path]:
    """A directory to which nothing below `first` can be renamed; skips where there is none."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == first.stat().st_dev:
        pytest.skip("there is no second file system")
    own = Path(tempfile.mkdtemp(prefix="trainyard-test-", dir=other))
    try:
        yield own
    finally:
        shutil.rmtree(own)


def put(store: ObjectStore, name: str, data: bytes = b"x", bucket: str = "b", **target: Any) -> StoredObject:
    """Store some bytes."""
    draft = store.draft()
    draft.write(data)
    return store.put(draft, Target(bucket, name, **target))


def content(store: ObjectStore, name: str, generation: int | None = None, bucket: str = "b") -> bytes:
    """All bytes of an object."""
    stored, reader = store.open(bucket, name, generation)
    with contextlib.closing(reader):
        return reader.read(0, stored.size)


def names(store: ObjectStore, **query: Any) -> list[str]:
    """Names and prefixes of all pages, pages of `size` each."""
    found: list[str] = []
    after = ""
    while True:
        page = store.list("b", Query(after=after, **query))
        found += [*(each.name for each in page.objects), *page.prefixes]
        after = page.next_after
        if not after:
            return found


class ObjectStoreSuite:
    """The promise of trainyard.objects, one test a sentence."""

    @pytest.fixture(autouse=True)
    def bucket(self, store: ObjectStore) -> None:
        """Every test has an empty bucket b."""
        store.create_bucket("b", {})

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_any_name_comes_back(self, store: ObjectStore, name: str) -> None:
        """Bytes and digests of an object are those that were stored, whatever it is called."""
        data = name.encode() * 3
        stored = put(store, name, data)
        assert content(store, name) == data
        assert stored == store.stat("b", name)
        assert stored.crc32c == google_crc32c.value(data)
        assert stored.md5 == hashlib.md5(data).digest()
        assert names(store) == [name]
        store.delete("b", name)
        assert names(store) == []

    def test_odd_names_live_side_by_side(self, store: ObjectStore) -> None:
        """No name hides another, in whatever order they come and go, and all are listed in order."""
        for name in ODD_NAMES:
            put(store, name, name.encode())
        assert names(store) == sorted(ODD_NAMES)
        assert names(store, size=3) == sorted(ODD_NAMES)
        for gone in (*ODD_NAMES[1::2], *ODD_NAMES[::2]):
            assert content(store, gone) == gone.encode()
            store.delete("b", gone)
            with pytest.raises(NotFound):
                store.stat("b", gone)
        store.delete_bucket("b")

    def test_generations_grow(self, store: ObjectStore) -> None:
        """Each new content has a larger generation, also behind a deletion; the metageneration starts at 1."""
        first = put(store, "o", b"1")
        second = put(store, "o", b"2")
        store.delete("b", "o")
        third = put(store, "o", b"3")
        assert first.generation < second.generation < third.generation
        assert third.metageneration == 1
        with pytest.raises(NotFound):
            store.stat("b", "o", first.generation)

    def test_metadata_has_its_own_generation(self, store: ObjectStore) -> None:
        """A change of metadata leaves bytes and generation as they are."""
        before = put(store, "o", b"1", attributes={"contentType": "a/b"})
        after = store.update("b", "o", None, {"contentType": "c/d"})
        assert (after.generation, after.metageneration) == (before.generation, 2)
        assert store.stat("b", "o").attributes == {"contentType": "c/d"}
        assert content(store, "o") == b"1"

    def test_conditions_are_held_against_what_is_there(self, store: ObjectStore) -> None:
        """Of all preconditions, a met one lets the write through and an unmet one changes nothing."""
        none = Conditions(generation=0)
        old = put(store, "o", b"1", conditions=none)
        refused = [
            none,
            Conditions(generation=old.generation + 1),
            Conditions(generation_not=old.generation),
            Conditions(metageneration=2),
            Conditions(metageneration_not=1),
        ]
        for conditions in refused:
            with pytest.raises(ConditionNotMet):
                put(store, "o", b"2", conditions=conditions)
            with pytest.raises(ConditionNotMet):
                store.delete("b", "o", None, conditions)
            with pytest.raises(ConditionNotMet):
                store.update("b", "o", None, {}, conditions)
        assert store.stat("b", "o") == old
        met = Conditions(old.generation, 0, 1, 2)
        new = put(store, "o", b"2", conditions=met)
        store.delete("b", "o", None, Conditions(generation=new.generation))
        with pytest.raises(ConditionNotMet):
            put(store, "o", b"3", conditions=Conditions(generation_not=0))
        with pytest.raises(NotModified):
            Conditions(generation_not=7).check(7, 1, reading=True)

    def test_of_two_creators_one_wins(self, store: ObjectStore) -> None:
        """Eight threads that each ask for a new object make one between them."""
        won: list[int] = []
        lost: list[int] = []

        def create(number: int) -> None:
            try:
                put(store, "o", b"%d" % number, conditions=Conditions(generation=0))
                won.append(number)
            except ConditionNotMet:
                lost.append(number)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 7)
        assert content(store, "o") == b"%d" % won[0]

    def test_wrong_digests_store_nothing(self, store: ObjectStore) -> None:
        """What is not what its sender computed is refused, and the draft can still be put with the right ones."""
        draft = store.draft()
        draft.write(b"hello")
        for wrong in ({"crc32c": 1}, {"md5": b"\0" * 16}):
            with pytest.raises(HashMismatch):
                store.put(draft, Target("b", "o", **wrong))
        assert names(store) == []
        right = Target("b", "o", crc32c=google_crc32c.value(b"hello"), md5=hashlib.md5(b"hello").digest())
        store.put(draft, right)
        assert content(store, "o") == b"hello"

    def test_a_draft_is_not_seen(self, store: ObjectStore) -> None:
        """Neither before it is put nor after it was discarded."""
        draft = store.draft()
        draft.write(b"half")
        assert names(store) == []
        draft.discard()
        draft.discard()
        assert names(store) == []

    def test_kept_drafts_go_on(self, store: ObjectStore) -> None:
        """A kept draft is found again with its bytes and its note, until it is forgotten."""
        draft = store.draft()
        draft.write(b"one ")
        store.keep(draft, {"n": 1})
        again, note = store.kept(draft.id)
        assert note == {"n": 1}
        assert again is not None
        again.write(b"two")
        assert again.crc32c == google_crc32c.value(b"one two")
        assert again.read(2, 3) == b"e t"
        store.put(again, Target("b", "o"))
        store.keep(again, {"n": 2})
        assert store.kept(draft.id) == (None, {"n": 2})
        store.forget(draft.id)
        store.forget(draft.id)
        with pytest.raises(NotFound):
            store.kept(draft.id)
        assert content(store, "o") == b"one two"

    def test_an_open_reader_keeps_its_bytes(self, store: ObjectStore) -> None:
        """Who reads a generation reads it to the end, whatever becomes of the object."""
        put(store, "o", b"old bytes")
        _, reader = store.open("b", "o")
        put(store, "o", b"new")
        store.delete("b", "o")
        assert reader.read(4, 5) == b"bytes"
        reader.close()
        reader.close()

    def test_copies_are_objects_of_their_own(self, store: ObjectStore) -> None:
        """A copy has the bytes and digests of its source and lives on without it, also onto itself."""
        source = put(store, "o", b"bytes", attributes={"contentType": "a/b"})
        copy = store.copy(source, Target("b", "dir/copy", {"contentType": "c/d"}))
        assert (copy.crc32c, copy.md5, copy.size) == (source.crc32c, source.md5, source.size)
        itself = store.copy(source, Target("b", "o"))
        assert itself.generation > source.generation
        store.delete("b", "o")
        assert content(store, "dir/copy") == b"bytes"

    def test_holds_hold(self, store: ObjectStore) -> None:
        """A held object is neither replaced nor deleted, and its metadata can be changed."""
        put(store, "o", b"1", attributes={"temporaryHold": True})
        with pytest.raises(ObjectHeld):
            put(store, "o", b"2")
        with pytest.raises(ObjectHeld):
            store.delete("b", "o")
        store.update("b", "o", None, {})
        store.delete("b", "o")

    def test_versions_stay(self, store: ObjectStore) -> None:
        """In a versioned bucket what is replaced or deleted is still there by its generation."""
        store.update_bucket("b", {"versioning": {"enabled": True}})
        first, second = put(store, "o", b"1"), put(store, "o", b"2")
        store.delete("b", "o")
        third = put(store, "o", b"3")
        listed = store.list("b", Query(versions=True)).objects
        assert [each.generation for each in listed] == [each.generation for each in (first, second, third)]
        assert [each.deleted_us is None for each in listed] == [False, False, True]
        assert [content(store, "o", each.generation) for each in (first, second, third)] == [b"1", b"2", b"3"]
        assert names(store) == ["o"]
        assert names(store, versions=True, size=1) == ["o", "o", "o"]
        restored = store.copy(store.stat("b", "o", first.generation), Target("b", "o"))
        assert content(store, "o") == b"1"
        for each in (first, second, third, restored):
            store.delete("b", "o", each.generation)
        assert names(store, versions=True) == []
        store.delete_bucket("b")

    def test_pages_go_on_where_they_ended(self, store: ObjectStore) -> None:
        """For every page size, names and prefixes come once each and in order, with all kinds of bounds."""
        for name in ("a", "a/1", "a/2/x", "a/2/y", "b", "c/", "c/1", "d/e/f", "z"):
            put(store, name)
        for size in (1, 2, 3, 100):
            assert sorted(names(store, size=size, delimiter="/")) == ["a", "a/", "b", "c/", "d/", "z"]
            assert sorted(names(store, size=size, delimiter="/", prefix="a/")) == ["a/1", "a/2/"]
            assert sorted(names(store, size=size, delimiter="/", start="a/2/y", end="c/1")) == ["a/", "b", "c/"]
            assert names(store, size=size, start="a/2", end="c/1") == ["a/2/x", "a/2/y", "b", "c/"]
            assert sorted(names(store, size=size, delimiter="2")) == ["a", "a/1", "a/2", "b", "c/", "c/1", "d/e/f", "z"]
            assert names(store, size=size, glob="a/**") == ["a/1", "a/2/x", "a/2/y"]
            assert names(store, size=size, glob="?/{1,[e-f]}") == ["a/1", "c/1"]
        trailing = store.list("b", Query(delimiter="/", trailing_delimiter=True))
        assert "c/" in [each.name for each in trailing.objects]
        assert "c/" in trailing.prefixes

    def test_a_group_without_a_name_in_bounds_is_not_told(self, store: ObjectStore) -> None:
        """A prefix is listed only where one of its objects would be."""
        put(store, "g/5")
        assert names(store, delimiter="/", end="g/5") == []
        assert names(store, delimiter="/", start="g/6") == []
        assert names(store, delimiter="/", end="g/6") == ["g/"]
        assert names(store, delimiter="/", glob="x*") == []

    @pytest.mark.parametrize("query", [{"after": "?"}, {"after": "bm8="}, {"glob": "{a"}, {"glob": "[z-a]"}])
    def test_what_is_no_query_is_refused(self, store: ObjectStore, query: dict[str, str]) -> None:
        """A token that is not ours, a glob that is none."""
        put(store, "o")
        with pytest.raises(InvalidArgument):
            store.list("b", Query(**query))

    def test_buckets_come_and_go(self, store: ObjectStore) -> None:
        """Made once, changed under conditions, deleted only when empty, remembered as deleted until made again."""
        with pytest.raises(AlreadyExists):
            store.create_bucket("b", {})
        changed = store.update_bucket("b", {"labels": {"k": "v"}}, Conditions(metageneration=1))
        assert changed.metageneration == 2
        with pytest.raises(ConditionNotMet):
            store.update_bucket("b", {}, Conditions(metageneration=1))
        assert [each.name for each in store.buckets()] == ["b"]
        put(store, "o")
        with pytest.raises(FailedPrecondition):
            store.delete_bucket("b")
        store.delete("b", "o")
        store.delete_bucket("b")
        assert store.known_deleted("b")
        for call in (store.bucket, store.delete_bucket):
            with pytest.raises(NotFound):
                call("b")
        with pytest.raises(NotFound):
            put(store, "o")
        with pytest.raises(NotFound):
            store.list("b", Query())
        assert not store.create_bucket("b", {}).attributes
        assert not store.known_deleted("b")

    def test_large_objects_have_an_md5_only_when_asked(self, store: ObjectStore) -> None:
        """CRC32C always; MD5 of what is larger than 32 MiB where its sender gave one."""
        data = bytes(33 << 20)
        plain = put(store, "plain", data)
        assert plain.crc32c == google_crc32c.value(data)
        assert plain.md5 is None
        told = put(store, "told", data, md5=hashlib.md5(data).digest())
        assert told.md5 == hashlib.md5(data).digest()
        assert replace(told, name="plain", generation=0) != plain
