"""Keys in a PKCS#11 token, SoftHSM's here: the promise, and what a token can do to it."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from key_ring_suite import NAME, OTHER, KeyRingSuite, OpenRingAgain
from soft_token import LIBRARY, PIN, SoftToken, soft_token

from trainyard.core.errors import FailedPrecondition, Internal, Unavailable
from trainyard.keyring import KeyState
from trainyard.keyrings.local.ring import open_ring as open_local_ring
from trainyard.keyrings.pkcs11 import ring as module
from trainyard.keyrings.pkcs11.ring import TokenKeyRing
from trainyard.store import StoreError


class Crash(Exception):
    """Stands for the end of the process at this point."""


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    """A fresh one."""
    return soft_token(tmp_path / "hsm", monkeypatch)


@pytest.fixture
def open_ring(tmp_path: Path, token: SoftToken) -> Iterator[OpenRingAgain]:
    """In the token; a process has one at a time, as a service does."""
    with ExitStack() as stack:

        def opened() -> TokenKeyRing:
            stack.close()
            return stack.enter_context(closing(module.open_ring(tmp_path / "keys", token.uri)))

        yield opened


def labels(token: SoftToken) -> list[str]:
    """Of the secret keys in the token, of which each is one that does not leave it."""
    import pkcs11

    library = pkcs11.lib(str(LIBRARY))
    library.reinitialize()  # which ends what a ring has open
    try:
        with library.get_token(token_label="yard").open(user_pin=PIN) as session:
            found = list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}))
            for key in found:
                assert key[pkcs11.Attribute.ALWAYS_SENSITIVE]
                assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
                assert key[pkcs11.Attribute.LOCAL]
            return sorted(key[pkcs11.Attribute.LABEL].partition("/")[2] for key in found)
    finally:
        library.finalize()


class TestTokenKeyRing(KeyRingSuite):
    """The promise."""


def test_the_token_has_what_there_is_and_nothing_else(open_ring: OpenRingAgain, token: SoftToken) -> None:
    """Each version is one key that the token made and keeps; destroyed ones are gone from it."""
    ring = open_ring()
    ring.create(NAME, 1)
    ring.create(OTHER, 1)
    ring.add_version(NAME, 2)
    assert labels(token) == ["1 ring/key", "1 ring/other", "2 ring/key"]
    ring.keep_newest(NAME)
    assert labels(token) == ["1 ring/other", "2 ring/key"]
    ring.destroy(OTHER)
    assert labels(token) == ["2 ring/key"]
    ring.destroy(NAME)
    assert labels(token) == []
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in (token.directory.parent / "keys").iterdir())


@pytest.mark.parametrize("step", ["generate", "destroy", "after generate", "after destroy"])
def test_what_a_crash_left_is_removed(
    open_ring: OpenRingAgain, token: SoftToken, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whatever step of whatever change was the last one: the token has what the ring knows, and it works on."""
    from trainyard.keyrings.pkcs11.token import Token

    ring = open_ring()
    ring.create(NAME, 1)
    wrapped = ring.wrap(NAME, b"content", b"")
    verb = step.rpartition(" ")[2]
    real = getattr(Token, verb)

    def killed(self: Token, label: str) -> None:
        if step.startswith("after"):
            real(self, label)
        raise Crash

    changes = [lambda: ring.create(OTHER, 2), lambda: ring.add_version(NAME, 2)]
    if verb == "destroy":
        ring.create(OTHER, 2)
        ring.add_version(NAME, 2)
        changes = [lambda: ring.keep_newest(NAME), lambda: ring.destroy(OTHER)]
    for change in changes:
        with monkeypatch.context() as patch:
            patch.setattr(Token, verb, killed)
            with pytest.raises(Crash):
                change()
        ring = open_ring()
    expected = ["1 ring/key"] if verb == "generate" else ["2 ring/key"]
    assert labels(token) == expected
    if verb == "generate":
        assert ring.find(OTHER) is None
        assert ring.unwrap(NAME, *wrapped, b"") == b"content"
        assert ring.add_version(NAME, 3).versions == (1, 2)
        ring.create(OTHER, 3)
    else:
        key = ring.find(OTHER)
        assert key is not None
        assert key.state is KeyState.DESTROYED
        with pytest.raises(Internal, match="Version 1"):
            ring.unwrap(NAME, *wrapped, b"")
    assert ring.unwrap(NAME, *ring.wrap(NAME, b"more", b""), b"") == b"more"


def test_a_token_that_is_pulled_out_is_told_and_comes_back(open_ring: OpenRingAgain, token: SoftToken) -> None:
    """Each call says what to do; nothing is taken for done that was not; back in, it works without a restart."""
    ring = open_ring()
    ring.create(NAME, 1)
    ring.create(OTHER, 1)
    wrapped = ring.wrap(NAME, b"content", b"")
    pulled = token.directory / "pocket"
    token.tokens.rename(pulled)
    for ask in (
        lambda: ring.wrap(NAME, b"", b""),
        lambda: ring.unwrap(NAME, *wrapped, b""),
        lambda: ring.add_version(NAME, 2),
        lambda: ring.create(NAME.__class__(NAME.scope, "ring", "new"), 2),
        lambda: ring.destroy(OTHER),
        lambda: ring.destroy(OTHER),
    ):
        with pytest.raises(Unavailable, match="key_ring: "):
            ask()
    with pytest.raises(FailedPrecondition, match="is destroyed"):
        ring.wrap(OTHER, b"", b"")  # from the moment it was asked for
    pulled.rename(token.tokens)
    assert ring.unwrap(NAME, *wrapped, b"") == b"content"
    assert [key.versions for key in ring.listed()] == [(1,), ()]
    ring.destroy(OTHER)
    assert labels(token) == ["1 ring/key"]
    assert ring.unwrap(NAME, *wrapped, b"") == b"content"  # its session was ended by that look at the token


def test_a_token_that_is_pulled_out_before_a_start_stops_it(open_ring: OpenRingAgain, token: SoftToken) -> None:
    """So does another one in its place, without the keys; what is to be removed from the right one still is."""
    ring, pocket = open_ring(), token.directory / "pocket"
    ring.create(NAME, 1)
    ring.create(OTHER, 1)
    token.tokens.rename(pocket)
    with pytest.raises(Unavailable):
        ring.destroy(OTHER)
    with pytest.raises(StoreError, match="key_ring: the PKCS#11 library"):
        open_ring()
    token.tokens.mkdir()
    with pytest.raises(StoreError, match=r"no tokens of .* are token=yard; there are: none"):
        open_ring()
    token.initialize()
    with pytest.raises(StoreError, match=r"holds none of the keys that .*pkcs11.db tells of"):
        open_ring()
    shutil.rmtree(token.tokens)
    pocket.rename(token.tokens)
    assert [key.versions for key in open_ring().listed()] == [(1,), ()]
    assert labels(token) == ["1 ring/key"]


def test_a_key_that_was_removed_in_the_token_is_told(open_ring: OpenRingAgain, token: SoftToken) -> None:
    """The others go on; it is not said that anything is damaged."""
    import pkcs11

    ring = open_ring()
    ring.create(NAME, 1)
    ring.create(OTHER, 1)
    wrapped = ring.wrap(OTHER, b"content", b"")
    ring.close()
    library = pkcs11.lib(str(LIBRARY))
    with library.get_token(token_label="yard").open(rw=True, user_pin=PIN) as session:
        for key in session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}):
            if key[pkcs11.Attribute.LABEL].endswith("other"):
                key.destroy()
    library.finalize()
    ring = open_ring()
    with pytest.raises(Internal, match=r"Version 1 of the key .*other is not in the token any more"):
        ring.unwrap(OTHER, *wrapped, b"")
    assert ring.unwrap(NAME, *ring.wrap(NAME, b"x", b""), b"") == b"x"


def test_a_wrong_pin_is_tried_once(open_ring: OpenRingAgain, token: SoftToken) -> None:
    """However often it is started; the right one in the file, or the same one touched, is tried again."""
    open_ring().create(NAME, 1)
    token.write_pin("0000")
    with pytest.raises(StoreError, match=r"is not the token's.*Write the right one"):
        open_ring()
    assert "USER_PIN_COUNT_LOW" in token.flags()
    token.log_in()  # which makes the token forget
    assert "USER_PIN_COUNT_LOW" not in token.flags()
    for _ in range(3):
        with pytest.raises(StoreError, match="was refused by the token before, and is not tried again"):
            open_ring()
    assert "USER_PIN_COUNT_LOW" not in token.flags()
    token.write_pin("9999")
    with pytest.raises(StoreError, match="is not the token's"):
        open_ring()
    token.write_pin(PIN)
    assert len(open_ring().listed()) == 1


def test_a_pin_that_goes_wrong_while_the_service_runs_is_tried_once(open_ring: OpenRingAgain, token: SoftToken) -> None:
    """Whoever opens the session anew because it broke does not lock the token."""
    ring = open_ring()
    ring.create(NAME, 1)
    token.write_pin("0000")
    labels(token)  # ends the session
    for sentence in ("is not the token's", "was refused by the token before", "was refused by the token before"):
        with pytest.raises(Unavailable, match=sentence):
            ring.wrap(NAME, b"", b"")
        token.log_in()
    assert "USER_PIN_COUNT_LOW" not in token.flags()
    token.write_pin(PIN)
    assert ring.unwrap(NAME, *ring.wrap(NAME, b"x", b""), b"") == b"x"


def test_a_pin_file_that_cannot_be_used_is_told(open_ring: OpenRingAgain, token: SoftToken) -> None:
    """Not there, open to others, empty, no text."""
    token.pin_file.chmod(0o640)
    with pytest.raises(StoreError, match=r"is open to others \(mode 0640\): chmod 600"):
        open_ring()
    for content, told in ((b"\n", "is empty"), (b"\xff\xfe", "cannot be read")):
        token.pin_file.write_bytes(content)
        token.pin_file.chmod(0o600)
        with pytest.raises(StoreError, match=told):
            open_ring()
    token.pin_file.unlink()
    with pytest.raises(
        StoreError, match=r"key_ring: the PIN cannot be read from .*pin .*name another file by pin-source"
    ):
        open_ring()


def test_what_is_set_wrongly_is_told(tmp_path: Path, token: SoftToken) -> None:
    """A library that is not there or is none, a label that no token has, or two have; each with the way out."""
    for wrong, right, told in (
        (str(tmp_path / "none.so"), str(LIBRARY), r"the PKCS#11 library .*none.so cannot be used .*module-path"),
        ("/proc/self/exe", str(LIBRARY), r"the PKCS#11 library /proc/self/exe cannot be used"),
        (
            "token=yards",
            "token=yard",
            r"no tokens of .* are token=yards; there are: token=yard;serial=[0-9a-f]+. Connect",
        ),
    ):
        with pytest.raises(StoreError, match=told):
            module.open_ring(tmp_path / "keys", token.uri.replace(right, wrong))
    token.initialize()
    with pytest.raises(StoreError, match=r"2 tokens of .*name exactly one by token= and serial="):
        module.open_ring(tmp_path / "keys", token.uri)
    serial = token.slots().partition("Serial number:")[2].split()[0]
    module.open_ring(tmp_path / "keys", token.uri.replace("token=yard", f"token=yard;serial={serial}")).close()
    module.open_ring(tmp_path / "keys", token.uri.replace("token=yard", f"serial={serial}")).close()


def test_a_token_without_what_keys_need_is_told(
    open_ring: OpenRingAgain, token: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the names of the mechanisms."""
    token.configure("slots.mechanisms = -CKM_MD5,CKM_SHA256_HMAC")
    with pytest.raises(StoreError, match="token=yard has no CKM_SHA256_HMAC, which keys need"):
        open_ring()


def test_a_look_at_the_token_takes_no_pin(token: SoftToken) -> None:
    """It finds what a start would, but for a wrong PIN, which it leaves to the start to find out once."""
    token.write_pin("0000")
    assert (
        module.look(token.uri) == f"the token token=yard of {LIBRARY} is there, its PIN in {token.pin_file} (not tried)"
    )
    assert "USER_PIN_COUNT_LOW" not in token.flags()
    token.pin_file.unlink()
    with pytest.raises(StoreError, match="the PIN cannot be read"):
        module.look(token.uri)
    token.configure("slots.mechanisms = -CKM_MD5,CKM_SHA256_HMAC")
    with pytest.raises(StoreError, match="token=yard has no CKM_SHA256_HMAC"):
        module.look(token.uri)


def test_a_directory_keeps_to_its_ring(tmp_path: Path, open_ring: OpenRingAgain, token: SoftToken) -> None:
    """The other one, by mistake or on purpose, is refused with what to do, and takes no key away."""
    open_ring().create(NAME, 1)
    with pytest.raises(StoreError, match=r"key_ring is local, but .* keys in the ring pkcs11.*Set key_ring as it was"):
        open_local_ring(tmp_path / "keys")
    assert len(open_ring().listed()) == 1
    open_local_ring(tmp_path / "other").create(NAME, 1)
    with pytest.raises(StoreError, match=r"key_ring is pkcs11, but .* in the ring local, as .*ring.db says"):
        module.open_ring(tmp_path / "other", token.uri)


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where python-pkcs11 is not installed."""
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(StoreError, match=r"pip install 'trainyard\[pkcs11\]'"):
        module.open_ring(tmp_path / "keys", "pkcs11:token=a?module-path=/b&pin-source=/c")
