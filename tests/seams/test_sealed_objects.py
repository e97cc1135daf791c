"""Objects sealed in their place: the promise holds for them, no crash parts them from what is known, and keys count."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from object_store_suite import ObjectStoreSuite, content, names, put, second_file_system
from real_clock import RealClock

from trainyard.core.errors import Internal, Unavailable
from trainyard.core.names import KeyName, Scope
from trainyard.keyring import lasting
from trainyard.keyrings.contents import Contents
from trainyard.keyrings.frames import FRAME_BYTES
from trainyard.keyrings.local.ring import open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.object_stores import tree
from trainyard.object_stores.bytes_kept import Sight
from trainyard.object_stores.directory import DirectoryBytes, FileReader, LooseFile, open_store
from trainyard.object_stores.in_place import ObjectsInPlace
from trainyard.objects import Draft, ObjectLocked, OpenedBelow, Outputs, Query, ReadAt, StoredObject, Target

SCOPE = Scope.of("p", "us-central1")
KEY, OTHER = KeyName(SCOPE, "r", "k"), KeyName(SCOPE, "r", "other")
OWNER, STRANGER = lasting(7), lasting(8)
ALL = Outputs("b", "", 0)
WORDS = b"words that nobody may read at rest"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[DataVault]:
    """Keys with what they may seal: OWNER's outputs by one of them, STRANGER's by the other."""
    with contextlib.closing(DataVault(tmp_path / "keys", open_ring(tmp_path / "keys"))) as opened:
        for owner, key in ((7, KEY), (8, OTHER)):
            opened.create(key, 1)
            opened.admit(owner, SCOPE, str(key))
            opened.expect_output(owner, owner, "gs://b/", 0)
        yield opened


def opened(directory: Path, vault: DataVault) -> ObjectsInPlace:
    """The store as a process that starts finds it."""
    store = open_store(directory, RealClock())
    store.share_seals(vault.contents)
    return store


@pytest.fixture
def store(tmp_path: Path, vault: DataVault) -> Iterator[ObjectsInPlace]:
    """A store with a bucket b."""
    with contextlib.closing(opened(tmp_path, vault)) as found:
        found.create_bucket("b", {})
        yield found


@pytest.fixture
def bucket(store: ObjectsInPlace, tmp_path: Path) -> Path:
    """The directory of the bucket."""
    return tmp_path / "buckets" / "b"


def at_rest(directory: Path, what: bytes = WORDS) -> list[str]:
    """Files below it that can be read."""
    found = (Path(folder, name) for folder, _, files in os.walk(directory) for name in files)
    return [path.name for path in found if what in path.read_bytes()]


class TestObjectsThatAreSealed(ObjectStoreSuite):
    """The whole promise, each object sealed as soon as it is there."""

    @pytest.fixture
    def store(self, tmp_path: Path, vault: DataVault) -> Iterator[ObjectsInPlace]:
        """A store that seals whatever it is given."""

        class AtOnce(ObjectsInPlace):
            def put(self, draft: Draft, target: Target) -> StoredObject:
                stored = super().put(draft, target)
                self.seal_below(Outputs(target.bucket, "", 0), OWNER)
                return stored

        kept = open_store(tmp_path, RealClock())
        found = AtOnce(DirectoryBytes(tmp_path / "buckets", tmp_path / "objects"), kept._catalogue, RealClock())
        found.share_seals(vault.contents)
        with contextlib.closing(found):
            yield found


def test_sealed_it_is_the_same_object(store: ObjectsInPlace, bucket: Path) -> None:
    """Everything that is known of it stays, and its file has nothing of it, whoever wrote it; it is sealed once."""
    mine = put(store, "mine", WORDS, attributes={"contentType": "a/b", "metadata": {"k": "v"}})
    (bucket / "dir").mkdir()
    (bucket / "dir" / "theirs").write_bytes(WORDS * 9000)
    (bucket / "dir" / "theirs").chmod(0o750)
    os.utime(bucket / "dir" / "theirs", ns=(1, 1_600_000_000_123_456_000))
    theirs = store.list("b", Query(prefix="dir/")).objects[0]
    store.seal_below(ALL, OWNER)
    assert at_rest(bucket) == []
    assert store.stat("b", "mine") == mine
    sealed = store.stat("b", "dir/theirs")
    assert sealed.crc32c is not None
    assert (sealed.generation, sealed.size, sealed.updated_us) == (
        theirs.generation, theirs.size, theirs.updated_us
    )  # fmt: skip
    assert content(store, "mine") == WORDS
    assert content(store, "dir/theirs") == WORDS * 9000
    status = (bucket / "dir" / "theirs").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o750, 1_600_000_000_123_456_000)
    before = (bucket / "mine").read_bytes()
    store.seal_below(ALL, OWNER)
    store.seal_below(ALL, STRANGER)
    assert (bucket / "mine").read_bytes() == before


def test_ranges_of_a_sealed_object(store: ObjectsInPlace) -> None:
    """Within, across and at the ends of frames; more than there is is an error as with any file."""
    data = bytes(range(256)) * (2 * FRAME_BYTES // 256) + b"tail"
    put(store, "o", data)
    store.seal_below(ALL, OWNER)
    stored, reader = store.open("b", "o")
    assert stored.size == len(data)
    for offset in (0, 1, FRAME_BYTES - 1, FRAME_BYTES, 2 * FRAME_BYTES, len(data) - 1):
        for size in (0, 1, 4, FRAME_BYTES):
            if offset + size <= len(data):
                assert reader.read(offset, size) == data[offset : offset + size]
    with pytest.raises(OSError, match="no more"):
        reader.read(len(data) - 1, 2)
    reader.close()


def test_what_lay_there_before_and_elsewhere_is_not_touched(store: ObjectsInPlace, bucket: Path) -> None:
    """Only files changed since, and only below the prefix; other permissions make an old one a changed one."""
    put(store, "out/old", WORDS)
    time.sleep(0.02)  # the kernel's clock for files goes by ticks
    since = Outputs("b", "out/", RealClock().now_us())
    time.sleep(0.02)
    put(store, "out/new", WORDS)
    put(store, "output", WORDS)
    store.seal_below(since, OWNER)
    assert at_rest(bucket) == ["output", "old"]
    (bucket / "out" / "preserved").write_bytes(WORDS)
    os.utime(bucket / "out" / "preserved", (1, 1))
    store.seal_below(since, OWNER)
    assert at_rest(bucket) == ["output", "old"], "a copy that kept the time of its original was written all the same"


@pytest.mark.parametrize("owned", [True, False])
def test_opened_for_a_program_it_is_as_before(store: ObjectsInPlace, bucket: Path, owned: bool) -> None:
    """In the clear by its path, and the same object; what is another's stays sealed and is counted."""
    stored = put(store, "a/b", WORDS)
    put(store, "a", b"beside")
    store.seal_below(ALL, OWNER if owned else STRANGER)
    assert at_rest(bucket) == []
    assert store.any_sealed("b", "a", 2)
    assert not store.any_sealed("b", "a", 0)
    assert not store.any_sealed("b", "b", 2)
    found = store.open_below("b", "a", OWNER.__eq__)
    assert found == (OpenedBelow(opened=2) if owned else OpenedBelow(locked=2))
    assert at_rest(bucket) == (["b"] if owned else [])
    assert store.any_sealed("b", "a", 2) != owned
    assert store.stat("b", "a/b") == stored
    assert content(store, "a/b") == WORDS
    store.seal_below(ALL, OWNER)
    assert at_rest(bucket) == []
    assert store.stat("b", "a/b") == stored


class Crash(Exception):
    """Stands for the end of the process at this point."""


def _before_the_row(patch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise Crash

    patch.setattr(DirectoryBytes, "place", crash)


def _between_row_and_rename(patch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise Crash

    patch.setattr(tree, "move_in", crash)


def _after_the_rename(patch: pytest.MonkeyPatch) -> None:
    real = tree.move_in

    def crash(*given: object) -> None:
        real(*given)  # type: ignore[arg-type]  # handed through
        raise Crash

    patch.setattr(tree, "move_in", crash)


@pytest.mark.parametrize("point", [_before_the_row, _between_row_and_rename, _after_the_rename])
@pytest.mark.parametrize("opening", [False, True])
def test_a_crash_leaves_the_same_object(
    tmp_path: Path, vault: DataVault, monkeypatch: pytest.MonkeyPatch, point: Callable[[pytest.MonkeyPatch], None],
    opening: bool,
) -> None:  # fmt: skip
    """At whatever point, sealing or opening it: one generation, its metadata, its content; the next try ends it."""
    store = opened(tmp_path, vault)
    store.create_bucket("b", {})
    stored = put(store, "o", WORDS, attributes={"metadata": {"k": "v"}})

    def change() -> None:
        if opening:
            store.open_below("b", "", OWNER.__eq__)
        else:
            store.seal_below(ALL, OWNER)

    if opening:
        store.seal_below(ALL, OWNER)
    with monkeypatch.context() as patch:
        point(patch)
        with pytest.raises(Crash):
            change()
    for _ in range(2):
        store = opened(tmp_path, vault)
        assert store.stat("b", "o") == stored
        assert content(store, "o") == WORDS
        assert store.list("b", Query(versions=True)).objects == [stored]
        assert list((tmp_path / "objects" / "drafts").iterdir()) == []
        change()
    assert at_rest(tmp_path / "buckets") == (["o"] if opening else [])
    assert store.stat("b", "o") == stored


def test_without_the_key_it_is_known_and_not_read(store: ObjectsInPlace, vault: DataVault, bucket: Path) -> None:
    """Listing, metadata, replacing and deleting go on; reading says which key is missing, and copying reads."""
    put(store, "o", WORDS)
    (bucket / "theirs").write_bytes(WORDS)
    store.seal_below(ALL, OWNER)
    (bucket / "moved").write_bytes((bucket / "o").read_bytes())  # by its path, without us
    vault.all_sealed(7)
    vault.output_sealed(7)
    vault.set_enabled(KEY, enabled=False)
    assert [(one.name, one.size) for one in store.list("b", Query()).objects] == [
        ("moved", 34),
        ("o", 34),
        ("theirs", 34),
    ]
    assert store.stat("b", "theirs").crc32c == store.stat("b", "o").crc32c, (
        "what nobody knew is learnt while it is sealed"
    )
    assert store.stat("b", "moved").crc32c is None
    for name in ("o", "moved"):
        with pytest.raises(ObjectLocked, match=rf"The object b/{name} is sealed\. The key .* is disabled"):
            store.open("b", name)
        with pytest.raises(ObjectLocked):
            store.copy(store.stat("b", name), Target("b", "copy"))
    store.update("b", "o", None, {"contentType": "a/b"})
    put(store, "o", b"new")
    store.delete("b", "moved")
    assert names(store) == ["o", "theirs"]
    vault.destroy(OTHER)
    put(store, "p", WORDS)
    with pytest.raises(Exception, match="is destroyed"):
        store.seal_below(ALL, STRANGER)
    assert content(store, "p") == WORDS


def test_the_catalogue_can_be_made_anew(tmp_path: Path, vault: DataVault, store: ObjectsInPlace) -> None:
    """From the files alone, sealed ones have their size, their time and their content."""
    stored = put(store, "o", WORDS)
    store.seal_below(ALL, OWNER)
    store.close()
    for file in (tmp_path / "objects").glob("catalogue.db*"):
        file.unlink()
    again = opened(tmp_path, vault)
    found = again.stat("b", "o")
    assert (found.size, found.crc32c, found.generation) == (stored.size, stored.crc32c, stored.generation)
    assert content(again, "o") == WORDS
    again.close()


@pytest.mark.parametrize("damage", ["bit", "cut", "header"])
def test_a_damaged_one_is_an_error_and_hides_no_other(store: ObjectsInPlace, bucket: Path, damage: str) -> None:
    """Reading it says so; listing, and reading others, go on."""
    put(store, "o", WORDS * 5000)
    put(store, "other", WORDS)
    store.seal_below(ALL, OWNER)
    file = bucket / "o"
    changed = bytearray(file.read_bytes())
    if damage == "cut":
        del changed[-20:]
    else:
        changed[20 if damage == "header" else 100_000] ^= 1
    file.write_bytes(changed)
    assert names(store) == ["o", "other"]
    with pytest.raises(Internal):
        content(store, "o")
    with pytest.raises(Internal):
        store.stat("b", "o")
    assert content(store, "other") == WORDS
    store.seal_below(ALL, OWNER)
    assert store.open_below("b", "", OWNER.__eq__) == OpenedBelow(opened=1, damaged=1)
    store.delete("b", "o")
    assert names(store) == ["other"]


def test_one_file_that_cannot_be_read_keeps_no_other_in_the_clear(
    store: ObjectsInPlace, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are sealed, then it is told; and opened again for a program."""
    for name in ("a", "b", "c"):
        put(store, name, WORDS)
    real = DirectoryBytes.open

    def refused(self: DirectoryBytes, bucket: str, name: str) -> object:
        if name == "b":
            raise PermissionError(13, "Permission denied", name)
        return real(self, bucket, name)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryBytes, "open", refused)
        with pytest.raises(PermissionError):
            store.seal_below(ALL, OWNER)
        assert at_rest(bucket) == ["b"]
        assert store.open_below("b", "", OWNER.__eq__) == OpenedBelow(opened=2)


def test_files_that_are_no_objects_are_sealed_too(store: ObjectsInPlace, bucket: Path) -> None:
    """Programs write them by their path, and find them there again; links are not followed."""
    top = os.fsencode(bucket / "out")
    odd = [b"line\nend", b"no-text-\xff", b".%marked", b"/".join([b"n" * 250] * 5)]
    for each in odd:
        path = Path(os.fsdecode(top + b"/" + each))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WORDS)
    outside = bucket.parent.parent / "outside"
    outside.write_bytes(WORDS)
    (bucket / "out" / "link").symlink_to(outside)
    assert names(store) == []
    for _ in range(2):
        store.seal_below(Outputs("b", "out/", 0), OWNER)
        assert at_rest(bucket) == ["link"]
    assert store.open_below("b", "out/", STRANGER.__eq__) == OpenedBelow(locked=4)
    assert store.open_below("b", "out/", OWNER.__eq__) == OpenedBelow(opened=4)
    assert len(at_rest(bucket)) == 5
    store.seal_below(Outputs("b", "out/", RealClock().now_us() + 1_000_000), OWNER)
    assert len(at_rest(bucket)) == 5
    store.remove_below(Outputs("b", "out/", 0), 0)
    assert len(at_rest(bucket)) == 5
    store.remove_below(Outputs("b", "out/", 0), None)
    assert at_rest(bucket) == ["link"]
    assert outside.read_bytes() == WORDS


def test_noncurrent_generations_made_since_are_sealed(store: ObjectsInPlace, tmp_path: Path) -> None:
    """Those from before stay as they are; each is read as ever, and removed with the others."""
    store.update_bucket("b", {"versioning": {"enabled": True}})
    old = put(store, "o", b"from before")
    time.sleep(0.01)
    since = Outputs("b", "", RealClock().now_us())
    made = [put(store, "o", WORDS + bytes([n])) for n in range(3)]
    store.delete("b", "o")
    for _ in range(2):
        store.seal_below(since, OWNER)
        assert at_rest(tmp_path / "objects") + at_rest(tmp_path / "buckets") == []
    assert len(at_rest(tmp_path / "objects", b"from before")) == 1
    assert content(store, "o", old.generation) == b"from before"
    for number, one in enumerate(made):
        assert content(store, "o", one.generation) == WORDS + bytes([number])
        assert store.stat("b", "o", one.generation).crc32c == one.crc32c
    store.remove_below(since, None)
    assert [one.generation for one in store.list("b", Query(versions=True)).objects] == [old.generation]


def test_what_cannot_be_sealed_any_more_is_removed(store: ObjectsInPlace, bucket: Path) -> None:
    """What was written since and before the end, even where a hold is on it; nothing else."""
    put(store, "before", WORDS)
    time.sleep(0.02)
    since = Outputs("b", "", RealClock().now_us())
    time.sleep(0.02)
    put(store, "out", WORDS)
    put(store, "held", WORDS, attributes={"temporaryHold": True})
    until_us = RealClock().now_us()
    time.sleep(0.02)
    put(store, "after", WORDS)
    store.remove_below(since, until_us)
    assert names(store) == ["after", "before"]
    assert sorted(at_rest(bucket)) == ["after", "before"]


def test_one_file_that_cannot_be_removed_keeps_no_other(
    store: ObjectsInPlace, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are gone, then it is told."""
    for name in ("a", "b", "c", "line\nend", "other\nend"):
        (bucket / name).write_bytes(WORDS)
    real, real_path = DirectoryBytes.remove, DirectoryBytes.open_path

    def kept(self: DirectoryBytes, bucket: str, name: str) -> None:
        if name == "a":
            raise PermissionError(13, "Permission denied", name)
        real(self, bucket, name)

    def closed(self: DirectoryBytes, bucket: str, path: tuple[str, ...]) -> tuple[Sight, FileReader]:
        if path == ("line\nend",):
            raise PermissionError(13, "Permission denied", path[0])
        return real_path(self, bucket, path)

    monkeypatch.setattr(DirectoryBytes, "remove", kept)
    monkeypatch.setattr(DirectoryBytes, "open_path", closed)
    with pytest.raises(PermissionError, match="'a'"):
        store.remove_below(ALL, None)
    assert sorted(at_rest(bucket)) == ["a", "line\nend"]


def test_what_is_written_to_all_the_time_is_not_sealed_half(
    store: ObjectsInPlace, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer's bytes stay, and it is told; what is written once meanwhile is sealed as it is then."""
    file = bucket / "busy"
    file.write_bytes(WORDS)
    real, turns = ObjectsInPlace._written, [WORDS + b"+" * n for n in (3, 2, 1)]

    def meanwhile(*given: object) -> bool:
        written: bool = real(*given)  # type: ignore[arg-type]  # handed through
        if turns:
            file.write_bytes(turns.pop())
        return written

    monkeypatch.setattr(ObjectsInPlace, "_written", meanwhile)
    with pytest.raises(OSError, match="again and again"):
        store.seal_below(ALL, OWNER)
    assert file.read_bytes() == WORDS + b"+++"
    turns.append(WORDS + b"!")
    store.seal_below(ALL, OWNER)
    assert at_rest(bucket) == []
    assert content(store, "busy") == WORDS + b"!"


def test_a_large_object_does_not_hold_up_the_end(store: ObjectsInPlace, bucket: Path) -> None:
    """Who seals it stops between two pieces; it stays as it was, and nothing is left aside."""
    put(store, "o", WORDS * 10_000)

    class Ending(Contents):
        def sealed(self, owner: int, read: ReadAt, size: int) -> Iterator[bytes]:
            for piece in super().sealed(owner, read, size):
                store._closing = True
                yield piece

    store.share_seals(Ending(lambda _: bytes(32), lambda: True))
    with pytest.raises(Unavailable, match="being stopped"):
        store.seal_below(ALL, OWNER)
    assert at_rest(bucket) == ["o"]
    assert list((bucket.parent.parent / "objects" / "drafts").iterdir()) == []


def test_who_seals_stops_when_the_store_closes(tmp_path: Path, vault: DataVault) -> None:
    """It says that it goes on later, and the store waits for it."""
    store = opened(tmp_path, vault)
    store.create_bucket("b", {})
    put(store, "o", WORDS)
    store.close()
    with pytest.raises(Unavailable, match="being stopped"):
        store.seal_below(ALL, OWNER)
    again = opened(tmp_path, vault)
    again.seal_below(ALL, OWNER)
    assert content(again, "o") == WORDS
    again.close()


def test_a_file_that_is_no_object_keeps_what_is_written_meanwhile(
    store: ObjectsInPlace, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for objects: the writer's bytes stay, and are sealed as they are then; one that is removed stays away."""
    real = ObjectsInPlace._written
    turns: list[Callable[[], object]] = []

    def meanwhile(*given: object) -> bool:
        written: bool = real(*given)  # type: ignore[arg-type]  # handed through
        if turns:
            turns.pop()()
        return written

    monkeypatch.setattr(ObjectsInPlace, "_written", meanwhile)
    file = bucket / "line\nend"
    file.write_bytes(WORDS)
    turns.append(lambda: file.write_bytes(WORDS + b" and newer ones"))
    store.seal_below(ALL, OWNER)
    assert at_rest(bucket) == []
    store.open_below("b", "", OWNER.__eq__)
    assert file.read_bytes() == WORDS + b" and newer ones"
    turns.append(file.unlink)
    store.seal_below(ALL, OWNER)
    assert list(bucket.iterdir()) == []


def test_a_busy_file_keeps_no_other_in_the_clear(
    store: ObjectsInPlace, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written to all the time by others is told of once the rest is sealed."""
    for name in ("a", "line\nend", "z"):
        (bucket / name).write_bytes(WORDS)
    real = ObjectsInPlace._written

    def meanwhile(self: ObjectsInPlace, loose: object, there: object, *rest: object) -> bool:
        written: bool = real(self, loose, there, *rest)  # type: ignore[arg-type]  # handed through
        for name in ("a", "line\nend"):
            with (bucket / name).open("ab") as file:
                file.write(b"+")
        return written

    monkeypatch.setattr(ObjectsInPlace, "_written", meanwhile)
    with pytest.raises(OSError, match="again and again"):
        store.seal_below(ALL, OWNER)
    assert sorted(at_rest(bucket)) == ["a", "line\nend"]


@pytest.fixture
def far_store(tmp_path: Path, vault: DataVault) -> Iterator[ObjectsInPlace]:
    """One whose buckets are on another file system than what is on its way."""
    with second_file_system(tmp_path) as own:
        (tmp_path / "objects").mkdir()
        (tmp_path / "objects" / "drafts").symlink_to(own)
        with contextlib.closing(opened(tmp_path, vault)) as found:
            found.create_bucket("b", {})
            yield found


def test_on_another_file_system_permissions_stay_and_nothing_is_left(
    tmp_path: Path, vault: DataVault, far_store: ObjectsInPlace
) -> None:
    """Files of jobs are as open or closed as before, objects or not; what a crash left half moved goes at the start."""
    bucket = tmp_path / "buckets" / "b"
    modes = {"private": 0o600, "shared": 0o666, "line\nend": 0o660}
    for name, mode in modes.items():
        (bucket / name).write_bytes(WORDS)
        (bucket / name).chmod(mode)
    far_store.seal_below(ALL, OWNER)
    assert at_rest(bucket) == []
    assert {path.name: path.stat().st_mode & 0o777 for path in bucket.iterdir()} == modes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "move_in", killed_while_moving(tree.move_in))
        with pytest.raises(Crash):
            far_store.open_below("b", "", OWNER.__eq__)
    assert at_rest(bucket) != []
    with contextlib.closing(opened(tmp_path, vault)) as again:
        assert at_rest(bucket) == []
        assert again.open_below("b", "", OWNER.__eq__) == OpenedBelow(opened=3)
    assert {path.name: path.stat().st_mode & 0o777 for path in bucket.iterdir()} == modes


def killed_while_moving(real: Callable[..., None]) -> Callable[..., None]:
    """A rename that can't cross, and then, with the copy across, the end: nothing is tidied up any more."""

    def move_in(source: Path, root: Path, bucket: str, parts: Sequence[str]) -> None:
        if source.parent == root / bucket:
            os.link(source, source.with_name(f"{source.name}-kept"))
            raise Crash
        real(source, root, bucket, parts)

    return move_in


@pytest.mark.parametrize("name", ["object", "line\nend"])
def test_what_is_written_while_the_sealed_form_reaches_the_disk_stays(
    store: ObjectsInPlace, bucket: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A disk takes its time: who writes in it has written, and the next turn seals it."""
    real, file, turns = LooseFile.seal, bucket / name, [WORDS + b" and newer ones"]
    file.write_bytes(WORDS)

    def slowly(self: LooseFile, time_us: int) -> Sight:
        if turns:
            file.write_bytes(turns.pop())
        return real(self, time_us)

    monkeypatch.setattr(LooseFile, "seal", slowly)
    store.seal_below(ALL, OWNER)
    assert at_rest(bucket) == []
    assert store.open_below("b", "", OWNER.__eq__) == OpenedBelow(opened=1)
    assert file.read_bytes() == WORDS + b" and newer ones"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_stays_its_owner_s(store: ObjectsInPlace, bucket: Path) -> None:
    """An image's own user goes on with a checkpoint that was sealed and opened again."""
    for name in ("object", "line\nend"):
        (bucket / name).write_bytes(WORDS)
        os.chown(bucket / name, 1234, 4321)
        (bucket / name).chmod(0o640)

    def owners() -> set[tuple[int, int, int]]:
        return {(found.st_uid, found.st_gid, found.st_mode & 0o777) for found in map(os.stat, bucket.iterdir())}

    store.seal_below(ALL, OWNER)
    assert at_rest(bucket) == []
    assert owners() == {(1234, 4321, 0o640)}
    store.open_below("b", "", OWNER.__eq__)
    assert owners() == {(1234, 4321, 0o640)}
