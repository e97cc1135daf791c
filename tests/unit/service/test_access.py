"""Who calls: open to all, or to the holders of tokens whose hashes a private file lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard.core.errors import PermissionDenied, Unauthenticated
from trainyard.service.access import (
    BadTokenFile,
    Caller,
    OpenAccess,
    digest_of,
    new_token,
    read_tokens,
    require,
)


def token_file(directory: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path = directory / "tokens"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def test_open_access_asks_nothing() -> None:
    """Whoever reaches an open service may do everything, whatever credentials come along."""
    access = OpenAccess()
    assert access.identify("Bearer a-real-one", "key") == Caller()
    assert access.may(Caller(), "aiplatform.customJobs.create", "projects/p")


def test_a_token_lets_its_holder_in(tmp_path: Path) -> None:
    """A fresh token is known by its line; as bearer token or as API key; the line does not hold the token."""
    token, line = new_token("ann")
    assert token not in line
    access = read_tokens(token_file(tmp_path, f"# who may\n\n{new_token('bob')[1]}{line}"))
    assert access.identify(f"Bearer {token}") == Caller("ann")
    assert access.identify(f"bearer  {token} ") == Caller("ann")
    assert access.identify("", token) == Caller("ann")
    assert access.may(Caller("ann"), "aiplatform.customJobs.create", "projects/p")


def test_two_tokens_are_never_the_same() -> None:
    """Tokens are random."""
    assert new_token("ann")[0] != new_token("ann")[0]


@pytest.mark.parametrize(
    ("authorization", "api_key", "words", "reason"),
    [
        ("", "", "Request is missing required authentication credential.", "CREDENTIALS_MISSING"),
        ("Basic abc", "", "Request is missing required authentication credential.", "CREDENTIALS_MISSING"),
        ("Bearer ", "", "Request is missing required authentication credential.", "CREDENTIALS_MISSING"),
        ("Bearer wrong", "", "Request had invalid authentication credentials.", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ("", "wrong", "Request had invalid authentication credentials.", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ("Bearer \udcff", "", "Request had invalid authentication credentials.", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    ],
)
def test_others_stay_out(tmp_path: Path, authorization: str, api_key: str, words: str, reason: str) -> None:
    """Missing and wrong credentials are told apart, in the original's words."""
    access = read_tokens(token_file(tmp_path, new_token("ann")[1]))
    with pytest.raises(Unauthenticated) as caught:
        access.identify(authorization, api_key)
    assert caught.value.message.startswith(words)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no token"),
        ("# nothing but a comment\n", "holds no token"),
        ("ann not-a-hash\n", "Line 1 "),
        (f"ann {digest_of('t')}\nbob\n", "Line 2 "),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_token_file_that_is_none_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    """A file that lets nobody in, or that holds something else, stops the server with the reason."""
    with pytest.raises(BadTokenFile, match=words):
        read_tokens(token_file(tmp_path, text))


def test_a_missing_token_file_is_told(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(BadTokenFile, match="no-such-file"):
        read_tokens(tmp_path / "no-such-file")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_token_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """Group and others must have no access at all, and the error says how to mend it."""
    path = token_file(tmp_path, new_token("ann")[1], mode)
    with pytest.raises(BadTokenFile, match=f"chmod 600 {path}"):
        read_tokens(path)


class NobodyMay(OpenAccess):
    """Knows everyone, permits nothing."""

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        return False


def test_a_permission_is_required_only_where_there_is_one() -> None:
    """An operation without a permission needs none; any other is refused with its name."""
    require(NobodyMay(), Caller(), "", "projects/p")
    with pytest.raises(PermissionDenied, match=r"^Permission 'x\.y\.z' denied on resource"):
        require(NobodyMay(), Caller(), "x.y.z", "projects/p")
