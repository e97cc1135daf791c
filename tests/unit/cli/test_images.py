"""`trainyard images` goes by the settings of the service whose data directory it is given."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from trainyard.cli.images import map_images
from trainyard.cli.problems import Problem


def mapped(directory: Path) -> int:
    return map_images(Namespace(data_dir=str(directory), image=["img:1"], format="text"))


def test_the_settings_of_the_service_are_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """settings.toml in its directory counts, and a variable goes before it."""
    monkeypatch.delenv("TRAINYARD_RUNTIME", raising=False)
    (tmp_path / "settings.toml").write_text('runtime = "podman"\n')
    assert mapped(tmp_path) == 0
    assert "img:1 runs in its image, which is pulled first" in capsys.readouterr().out
    monkeypatch.setenv("TRAINYARD_RUNTIME", "host")
    assert mapped(tmp_path) == 0
    assert "img:1 runs on this machine" in capsys.readouterr().out


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """The service does not start on such a file; nor is anything said as if it were not there."""
    (tmp_path / "settings.toml").write_text("runtime = \n")
    with pytest.raises(Problem, match=r"settings\.toml"):
        mapped(tmp_path)
