"""Objects in a store behind a URL: the same promise, but for readers, whose bytes somebody else keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store_suite import ObjectStoreSuite, content, put
from real_clock import RealClock

pytest.importorskip("obstore", reason="the extra `objects` is not installed")

from trainyard.core.errors import Unavailable
from trainyard.object_stores.kept import KeptObjects
from trainyard.object_stores.url import open_store
from trainyard.objects import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeptObjects]:
    """A store in memory; drafts and catalogue under tmp_path."""
    with contextlib.closing(open_store(tmp_path, RealClock(), "memory:///")) as opened:
        yield opened


class TestUrlObjects(ObjectStoreSuite):
    """The promise."""

    def test_an_open_reader_keeps_its_bytes(self, store: ObjectStore) -> None:
        """A reader whose object was replaced fails; it never mixes two contents."""
        put(store, "o", b"old bytes")
        _, reader = store.open("b", "o")
        put(store, "o", b"new bytes")
        with pytest.raises(OSError, match="not there any more"):
            reader.read(4, 5)
        assert content(store, "o") == b"new bytes"


def test_buckets_of_others_are_buckets(tmp_path: Path) -> None:
    """What somebody else put into a directory behind a URL is there, with metadata from its first look on."""
    (tmp_path / "remote" / "data").mkdir(parents=True)
    (tmp_path / "remote" / "data" / "o").write_bytes(b"bytes")
    with contextlib.closing(open_store(tmp_path / "own", RealClock(), f"file://{tmp_path}/remote")) as store:
        assert [each.name for each in store.buckets()] == ["data"]
        assert store.stat("data", "o").crc32c is not None
        assert content(store, "o", bucket="data") == b"bytes"
        put(store, "dir/p", b"more", bucket="data")
    assert (tmp_path / "remote" / "data" / "dir" / "p").read_bytes() == b"more"


@pytest.mark.parametrize("url", ["nonsense", "pigeon://loft"])
def test_what_is_no_store_is_told(tmp_path: Path, url: str) -> None:
    """With the URL in the sentence."""
    with pytest.raises(Unavailable, match=url):
        open_store(tmp_path, RealClock(), url)
