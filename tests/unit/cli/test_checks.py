"""What `trainyard doctor` finds, in one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard.cli import checks
from trainyard.keyrings import holes


@pytest.mark.parametrize("good", [True, False])
def test_whether_output_can_be_sealed_while_jobs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    """As the file system says; where it cannot, with what that means and what to do. Nothing is left there."""
    monkeypatch.setattr(holes, "can_punch", lambda _: good)
    found = checks.sealing(tmp_path / "not" / "made" / "yet")
    assert (found.good, found.core) == (good, False)
    assert ("stays in the clear until they end" in found.found) is not good
    assert f"{tmp_path} cannot punch holes" in found.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says why."""

    def full(_: int) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(holes, "can_punch", full)
    assert checks.sealing(tmp_path).found == "could not be tried (No space left on device)"


@pytest.mark.parametrize(
    ("ring", "good", "found", "remedy"),
    [
        ("", True, "local, in {directory}/keys", ""),
        ("paper", False, "cannot be told", "TRAINYARD_KEY_RING is 'paper': "),
        ("pkcs11:token=a?module-path=/none.so&pin-source=/none", False, "cannot be used", "key_ring"),
    ],
)
def test_what_keeps_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ring: str, good: bool, found: str, remedy: str
) -> None:
    """As the settings say; one that cannot be used would keep the service from starting."""
    monkeypatch.setenv("TRAINYARD_KEY_RING", ring)
    finding = checks.key_ring(tmp_path)
    assert (finding.good, finding.core) == (good, not good)
    assert finding.found == found.format(directory=tmp_path)
    assert finding.remedy.startswith(remedy)
