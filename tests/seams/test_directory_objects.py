"""Objects as plain files: the promise, and that files which nobody put there through us are objects too."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store_suite import ObjectStoreSuite, content, names, put, second_file_system
from real_clock import RealClock

from trainyard.core.errors import FailedPrecondition, NotFound, Unavailable
from trainyard.object_stores.directory import open_store
from trainyard.object_stores.kept import KeptObjects
from trainyard.objects import Target


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeptObjects]:
    """A fresh store under tmp_path."""
    with contextlib.closing(open_store(tmp_path, RealClock())) as opened:
        yield opened


class TestDirectoryObjects(ObjectStoreSuite):
    """The promise."""


@pytest.fixture
def bucket(store: KeptObjects, tmp_path: Path) -> Path:
    """The directory of a bucket b."""
    store.create_bucket("b", {})
    return tmp_path / "buckets" / "b"


def test_objects_are_plain_files_at_once(store: KeptObjects, bucket: Path) -> None:
    """What was put is there as a file with the same bytes, and nothing beside it."""
    put(store, "dir/model.txt", b"weights")
    assert (bucket / "dir" / "model.txt").read_bytes() == b"weights"
    assert [path.name for path in bucket.rglob("*")] == ["dir", "model.txt"]
    store.delete("b", "dir/model.txt")
    assert list(bucket.iterdir()) == []


def test_files_of_jobs_are_objects_at_once(store: KeptObjects, bucket: Path) -> None:
    """A file written into the directory is an object: listed, read, digested, changed, deleted."""
    (bucket / "out").mkdir()
    (bucket / "out" / "metrics.json").write_bytes(b"{}")
    assert names(store) == ["out/metrics.json"]
    assert content(store, "out/metrics.json") == b"{}"
    met = store.stat("b", "out/metrics.json")
    assert met.crc32c is not None
    assert met == store.stat("b", "out/metrics.json")
    store.update("b", "out/metrics.json", met.generation, {"contentType": "application/json"})
    (bucket / "out" / "metrics.json").write_bytes(b'{"a": 1}')
    changed = store.stat("b", "out/metrics.json")
    assert changed.generation > met.generation
    assert (changed.size, changed.attributes, changed.metageneration) == (8, {}, 1)
    store.delete("b", "out/metrics.json")
    assert not (bucket / "out").exists()


def test_a_file_put_back_with_an_old_time_is_a_newer_generation(store: KeptObjects, bucket: Path) -> None:
    """Whatever time a file has, other bytes are a larger generation."""
    first = put(store, "o", b"12345678")
    (bucket / "o").write_bytes(b"87654321")
    os.utime(bucket / "o", (1, 1))
    assert store.stat("b", "o").generation > first.generation


def test_directories_of_people_are_buckets(store: KeptObjects, tmp_path: Path) -> None:
    """A directory with a bucket's name is one, also when it was deleted before; others are not."""
    store.create_bucket("b1", {})
    store.delete_bucket("b1")
    for name in ("b1", "b2", "Not-A-Bucket"):
        (tmp_path / "buckets" / name).mkdir()
    (tmp_path / "buckets" / "file").write_text("")
    assert [each.name for each in store.buckets()] == ["b1", "b2"]
    assert put(store, "o", bucket="b1").generation


def test_empty_directories_are_nothing(store: KeptObjects, bucket: Path) -> None:
    """They are not listed, and a bucket of them can be deleted."""
    (bucket / "a" / "b").mkdir(parents=True)
    assert names(store, delimiter="/") == []
    store.delete_bucket("b")
    assert not bucket.exists()


@pytest.mark.parametrize("name", ["link", "dir/secret", "dir/sub/new", "deep/up/secret"])
def test_links_lead_nowhere(store: KeptObjects, bucket: Path, tmp_path: Path, name: str) -> None:
    """Through a link nothing is read, listed, written or deleted, wherever it leads."""
    (tmp_path / "outside").mkdir()
    secret = tmp_path / "outside" / "secret"
    secret.write_text("secret")
    (bucket / "link").symlink_to(secret)
    (bucket / "dir").symlink_to(tmp_path / "outside")
    (bucket / "deep").mkdir()
    (bucket / "deep" / "up").symlink_to("../../../outside")
    assert names(store) == []
    for call in (store.stat, store.open, store.delete):
        with pytest.raises(NotFound):
            call("b", name)
    with pytest.raises(FailedPrecondition):
        put(store, name, b"evil")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]
    assert secret.read_text() == "secret"


def test_a_bucket_that_is_a_link_is_none(store: KeptObjects, tmp_path: Path) -> None:
    """A link among the buckets is not followed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "buckets" / "evil").symlink_to(tmp_path / "outside")
    assert list(store.buckets()) == []
    with pytest.raises(NotFound):
        store.bucket("evil")
    with pytest.raises(NotFound):
        store.stat("evil", "secret")


def test_what_is_no_file_is_no_object(store: KeptObjects, bucket: Path) -> None:
    """Pipes neither hang a reader nor give way to a writer; names that are not UTF-8 are passed over."""
    os.mkfifo(bucket / "pipe")
    Path(os.fsdecode(os.fsencode(bucket) + b"/\xff\xfe")).write_text("x")
    (bucket / ".%zz").write_text("nobody's")
    assert names(store) == []
    with pytest.raises(NotFound):
        store.open("b", "pipe")
    with pytest.raises(FailedPrecondition):
        put(store, "pipe")
    with pytest.raises(FailedPrecondition):
        put(store, "pipe/below")


def test_everything_survives_a_restart(store: KeptObjects, tmp_path: Path, bucket: Path) -> None:
    """Objects, metadata, kept drafts and deleted buckets are as they were; drafts that nobody kept are gone."""
    stored = put(store, "o", b"1", attributes={"metadata": {"k": "v"}})
    kept, lost = store.draft(), store.draft()
    kept.write(b"acknowledged")
    store.keep(kept, {"n": 1})
    kept.write(b" and not acknowledged")
    lost.write(b"lost")
    store.close()
    del kept.loose
    with contextlib.closing(open_store(tmp_path, RealClock())) as again:
        assert again.stat("b", "o") == stored
        draft, note = again.kept(kept.id)
        assert draft is not None
        assert note == {"n": 1}
        assert draft.size == len(b"acknowledged")
        assert [path.name for path in (tmp_path / "objects" / "drafts").iterdir()] == [kept.id]
        again.put(draft, Target("b", "late"))
        assert content(again, "late") == b"acknowledged"


def test_without_its_catalogue_a_bucket_is_what_its_files_are(store: KeptObjects, tmp_path: Path, bucket: Path) -> None:
    """Losing the catalogue loses types and metadata, never bytes nor generations."""
    stored = put(store, "o", b"bytes", attributes={"contentType": "a/b"})
    store.close()
    for path in (tmp_path / "objects").glob("catalogue.db*"):
        path.unlink()
    with contextlib.closing(open_store(tmp_path, RealClock())) as again:
        found = again.stat("b", "o")
        assert (found.generation, found.crc32c, found.attributes) == (stored.generation, stored.crc32c, {})


def test_a_damaged_catalogue_is_told(tmp_path: Path) -> None:
    """The store does not open over noise, and says what to do."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "catalogue.db").write_bytes(b"noise" * 1000)
    with pytest.raises(Unavailable, match="put it aside"):
        open_store(tmp_path, RealClock())


def test_a_crash_between_row_and_bytes_is_a_crash_before(
    store: KeptObjects, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the row of a new object was written and its bytes were not moved in, the old object is there as it was."""
    old = put(store, "o", b"old", attributes={"contentType": "a/b"})

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trainyard.object_stores.tree.move_in", crash)
        with pytest.raises(KeyboardInterrupt):
            put(store, "o", b"new")
    assert store.stat("b", "o") == old
    assert content(store, "o") == b"old"
    assert put(store, "o", b"newer").generation > old.generation


def test_buckets_on_another_file_system_are_served(tmp_path: Path) -> None:
    """Where a rename cannot cross, bytes are copied over, and only whole files are seen."""
    with second_file_system(tmp_path) as own:
        (tmp_path / "objects").mkdir()
        (tmp_path / "objects" / "drafts").symlink_to(own)
        with contextlib.closing(open_store(tmp_path, RealClock())) as store:
            store.create_bucket("b", {})
            stored = put(store, "a/o", b"far")
            assert content(store, "a/o") == b"far"
            assert store.stat("b", "a/o") == stored
            assert names(store) == ["a/o"]
            assert list(own.iterdir()) == []


def test_many_threads_on_the_same_names(store: KeptObjects, bucket: Path) -> None:
    """Objects, directories of their names and deletions in a crowd: every reader sees one whole content."""
    from concurrent.futures import ThreadPoolExecutor

    def work(seed: int) -> None:
        for turn in range(120):
            name = ("a", "a/b", "a/b/c", "d")[(seed + turn) % 4]
            match (seed * 7 + turn) % 3:
                case 0:
                    put(store, name, b"%03d" % seed * 1000)
                case 1:
                    with contextlib.suppress(NotFound):
                        data = content(store, name)
                        assert data == data[:3] * 1000
                case _:
                    with contextlib.suppress(NotFound):
                        store.delete("b", name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    for name in names(store):
        store.delete("b", name)
    store.delete_bucket("b")


def test_who_meets_an_object_late_changes_nothing_of_it(store: KeptObjects, bucket: Path) -> None:
    """A list that saw a job's file before it had a row, and writes one after it was changed, leaves the change."""
    (bucket / "o").write_bytes(b"weights")
    seen = store._bytes.look("b", "o")
    assert seen is not None
    changed = store.update("b", "o", None, {"contentType": "text/plain"})
    assert store.met("b", {"o": seen}, {})["o"].object.generation == changed.generation
    assert store.stat("b", "o").attributes == {"contentType": "text/plain"}


def test_no_acknowledged_object_is_lost_to_a_directory_of_its_name(store: KeptObjects, bucket: Path) -> None:
    """While `a/b` comes and goes beside it, `a` is always what was last put there."""
    from concurrent.futures import ThreadPoolExecutor

    def come_and_go() -> None:
        for _ in range(150):
            put(store, "a/b")
            store.delete("b", "a/b")

    def replace() -> None:
        for turn in range(150):
            put(store, "a", b"%d" % turn)
            assert content(store, "a") == b"%d" % turn
            if turn % 5 == 0:
                store.delete("b", "a")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(come_and_go), pool.submit(replace)]:
            done.result()
    assert content(store, "a") == b"149"


def test_noncurrent_ones_are_found_by_every_prefix(store: KeptObjects) -> None:
    """A prefix may be empty or end in the last character that there is."""
    store.create_bucket("b", {"versioning": {"enabled": True}})
    last = "\U0010ffff"
    for name in ("a", "b/1", "b/2", "c", f"{last}x", f"{last}{last}"):
        put(store, name)
        store.delete("b", name)

    def found(prefix: str) -> list[str]:
        return list(store._catalogue.archived("b", "", prefix, 10))

    assert found("") == ["a", "b/1", "b/2", "c", f"{last}x", f"{last}{last}"]
    assert found("b/") == ["b/1", "b/2"]
    assert found(last) == [f"{last}x", f"{last}{last}"]
    assert found("d") == []
