"""A token that is about to lock, or has: SoftHSM never does, so these tokens are made up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainyard.keyrings.pkcs11.pin import SCHEMA, Pin
from trainyard.keyrings.pkcs11.place import Place
from trainyard.keyrings.tables import Tables
from trainyard.store import StoreError

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Of a token whose PIN is to be had."""
    (tmp_path / "pin").write_text("1234\n")
    (tmp_path / "pin").chmod(0o600)
    return Place("yard", "", Path("/hsm.so"), tmp_path / "pin")


class FakeToken:
    """One token of a library that has it alone; counts how often it is logged in to."""

    label, serial = "yard", b"17"
    slot = SimpleNamespace(
        get_mechanisms=lambda: {pkcs11.Mechanism.GENERIC_SECRET_KEY_GEN, pkcs11.Mechanism.SHA256_HMAC}
    )

    def __init__(self, flag: int = 0, answer: Exception | None = None) -> None:
        self.flags = pkcs11.TokenFlag.TOKEN_INITIALIZED | flag
        self.answer = answer
        self.logins = 0

    def open(self, **_: Any) -> None:
        self.logins += 1
        assert self.answer is not None
        raise self.answer

    def get_tokens(self) -> list[FakeToken]:
        return [self]

    def finalize(self) -> None:
        """As a library has it."""


@pytest.mark.parametrize(
    ("fake", "told", "logins"),
    [
        (FakeToken(pkcs11.TokenFlag.USER_PIN_FINAL_TRY), "one more PIN before it locks, which is not risked", 0),
        (FakeToken(pkcs11.TokenFlag.USER_PIN_LOCKED), r"takes no PIN of its user \(PinLocked\). Set one as its sec", 0),
        (FakeToken(answer=pkcs11.PinLocked()), r"takes no PIN of its user \(PinLocked\)", 1),
        (FakeToken(answer=pkcs11.UserPinNotInitialized()), r"takes no PIN of its user \(UserPinNotInitialized\)", 1),
        (FakeToken(answer=pkcs11.PinLenRange()), "is not the token's", 1),
        (FakeToken(answer=pkcs11.DeviceError()), r"token=yard of /hsm.so, .* cannot be used now \(DeviceError\)", 1),
    ],
)
def test_a_token_that_cannot_be_logged_in_to(
    place: Place, monkeypatch: pytest.MonkeyPatch, fake: FakeToken, told: str, logins: int
) -> None:
    """It is told what to do, and no try is spent that could be the last."""
    from trainyard.keyrings.pkcs11.token import Token

    monkeypatch.setattr(pkcs11, "lib", lambda _: fake)
    fake.logins = 0
    with pytest.raises(StoreError, match=told):
        Token(place, Pin(place.pin_file, Tables(place.pin_file.with_name("pkcs11.db"), SCHEMA)))
    assert fake.logins == logins
