"""A package is found wherever gs:// is, and whether it lies sealed in a bucket or as it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from trainyard.core.clock import MICROSECONDS
from trainyard.core.names import KeyName, Scope
from trainyard.executors.local.packages import PreparationFailed
from trainyard.executors.local.remote_packages import finder
from trainyard.keyring import lasting
from trainyard.keyrings.local.ring import open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.object_stores.directory import open_store
from trainyard.objects import Outputs, Target

SCOPE = Scope.of("p", "us-central1")
KEY = KeyName(SCOPE, "r", "k")
URI = "gs://b/out/task-1.0.tar.gz"


class Clock:
    """A clock that stands."""

    def now_us(self) -> int:
        """A time."""
        return 1_700_000_000 * MICROSECONDS

    def steady_us(self) -> int:
        """A time."""
        return MICROSECONDS


def test_a_sealed_package_is_opened_for_the_job(tmp_path: Path) -> None:
    """Under the name that pip wants; one that lies as it is, where it lies; and without the key with the sentence."""
    vault = DataVault(tmp_path / "keys", open_ring(tmp_path / "keys"))
    vault.create(KEY, 1)
    vault.admit(7, SCOPE, str(KEY))
    vault.expect_output(7, 7, "gs://b/out/", 0)
    with contextlib.closing(open_store(tmp_path, Clock())) as objects:
        objects.share_seals(vault.contents)
        objects.create_bucket("b", {})
        draft = objects.draft()
        draft.write(b"the package")
        objects.put(draft, Target("b", "out/task-1.0.tar.gz"))
        find = finder(tmp_path, None, objects)
        assert find(URI) == tmp_path / "buckets" / "b" / "out" / "task-1.0.tar.gz"
        objects.seal_below(Outputs("b", "out/", 0), lasting(7))
        found = find(URI)
        assert found.name == "task-1.0.tar.gz"
        assert found.read_bytes() == b"the package"
        assert find(URI) == found
        assert finder(tmp_path, None, None)(URI).read_bytes() != b"the package"
        with pytest.raises(PreparationFailed, match="does not exist"):
            find("gs://b/out/other.tar.gz")
        vault.destroy(KEY)
        with pytest.raises(PreparationFailed, match=r"can't be read now: .* is destroyed"):
            find(URI)


def test_packages_elsewhere_are_fetched(tmp_path: Path) -> None:
    """Whatever lies in the buckets of this machine."""
    with contextlib.closing(open_store(tmp_path / "elsewhere", Clock())) as objects:
        objects.create_bucket("b", {})
        draft = objects.draft()
        draft.write(b"the package")
        objects.put(draft, Target("b", "out/task-1.0.tar.gz"))
        found = finder(tmp_path, objects, objects)(URI)
        assert found.read_bytes() == b"the package"
        assert found.is_relative_to(tmp_path / "environments" / "packages")
