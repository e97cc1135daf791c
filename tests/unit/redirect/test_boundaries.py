"""When google-auth asks Google where an account may go."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trainyard.redirect.boundaries import patch_lookup


class Credentials:
    """Of a version that asks."""

    def _is_regional_access_boundary_lookup_required(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("host", "asks"),
    [("127.0.0.1:8470/trainyard/v1/runs/ticket", False), ("metadata.google.internal", True), (None, True)],
)
def test_only_of_other_metadata_servers(monkeypatch: pytest.MonkeyPatch, host: str | None, asks: bool) -> None:
    """Accounts of Google's own machines are asked about as ever, whenever the variable is set."""
    ours = type("Credentials", (Credentials,), {})
    patch_lookup(SimpleNamespace(Credentials=ours))
    if host is None:
        monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
    else:
        monkeypatch.setenv("GCE_METADATA_HOST", host)
    assert ours()._is_regional_access_boundary_lookup_required() is asks


def test_a_version_that_does_not_ask_is_left_alone() -> None:
    """Nothing is added to it."""
    module = SimpleNamespace(Credentials=type("Credentials", (), {}))
    patch_lookup(module)
    assert not hasattr(module.Credentials, "_is_regional_access_boundary_lookup_required")
