"""How podman keeps images is bettered where nothing can be lost by it, and told where something could."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainyard.executors.local.image_storage import storage


class Podman:
    """Podman without root as it was observed: its database goes before its configuration, and the default is vfs."""

    def __init__(self, home: Path, *, overlay_works: bool = True, **held: Any) -> None:
        """A podman that was asked before, and so has a database."""
        self.path = home / ".config/containers/storage.conf"
        self._database = home / "storage/libpod/bolt_state.db"
        self._database.parent.mkdir(parents=True)
        self._database.write_text("vfs")
        self._works = overlay_works
        self._held = {"images": 0, "containers": 0, "volumes": "", "pods": "", "rootless": True, **held}

    def __call__(self, *words: str) -> str | None:
        """What it prints."""
        if words[0] != "info":
            found: str | None = self._held["volumes" if words[0] == "volume" else "pods"]
            return found
        if not self._database.exists():
            asked = self.path.exists() and 'driver = "overlay"' in self.path.read_text()
            if asked and not self._works:
                return None
            self._database.write_text("overlay" if asked else "vfs")
        store = {
            "graphDriverName": self._database.read_text(),
            "configFile": str(self.path),
            "graphRoot": str(self._database.parent.parent),
            "imageStore": {"number": self._held["images"]},
            "containerStore": {"number": self._held["containers"]},
        }
        return json.dumps({"store": store, "host": {"security": {"rootless": self._held["rootless"]}}})


def test_an_empty_store_becomes_overlay(tmp_path: Path) -> None:
    """The configuration is written, the database that would overrule it goes, and it is said where."""
    podman = Podman(tmp_path)
    kept = storage(podman)
    assert kept.driver == "overlay"
    assert str(podman.path) in kept.found
    assert storage(podman).found == "overlay"


@pytest.mark.parametrize(
    "held",
    [{"images": 1}, {"containers": 1}, {"volumes": "v"}, {"pods": "p"}, {"volumes": None}, {"rootless": False}],
)
def test_what_podman_holds_is_left_alone(tmp_path: Path, held: dict[str, Any]) -> None:
    """With anything in it, or run by root, nothing is changed; the way out is told with its price."""
    podman = Podman(tmp_path, **held)
    kept = storage(podman)
    assert kept.driver == "vfs"
    assert "podman system reset" in kept.remedy
    assert not podman.path.exists()


def test_a_configuration_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    """Somebody has chosen already."""
    podman = Podman(tmp_path)
    podman.path.parent.mkdir(parents=True)
    podman.path.write_text("# mine\n")
    assert storage(podman).driver == "vfs"
    assert podman.path.read_text() == "# mine\n"


def test_where_overlay_does_not_work_all_is_as_before(tmp_path: Path) -> None:
    """The configuration goes again, and podman works as it did."""
    podman = Podman(tmp_path, overlay_works=False)
    assert storage(podman).driver == "vfs"
    assert not podman.path.exists()
    assert json.loads(podman("info") or "")["store"]["graphDriverName"] == "vfs"


def test_where_nothing_can_be_written_nothing_is_promised(tmp_path: Path) -> None:
    """The place of the configuration is taken by a file: told as it is."""
    podman = Podman(tmp_path)
    (tmp_path / ".config").write_text("")
    assert storage(podman).driver == "vfs"


def test_where_the_database_stays_the_configuration_goes_again(tmp_path: Path) -> None:
    """It could not be removed: what was written for nothing is not left behind."""
    podman = Podman(tmp_path)
    (tmp_path / "storage/db.sql").mkdir()
    assert storage(podman).driver == "vfs"
    assert not podman.path.exists()


def test_a_podman_that_says_nothing(tmp_path: Path) -> None:
    """No answer is no driver."""
    assert storage(lambda *_: None).found == "podman did not say"
    assert not list(tmp_path.iterdir())
