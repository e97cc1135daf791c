"""The file of credentials: read strictly, changed as a whole, without a secret in it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainyard.credentials import (
    FILE_NAME,
    OLD_NAME,
    BadCredentialFile,
    Credential,
    CredentialFile,
    Form,
    Refused,
    digest_of,
    new_account,
    new_secret,
)

ANN = Credential("ann", Form.TOKEN, "user", ("p1", "p2"), 5, 9, digest_of("t"))
KEY = Credential("key", Form.API_KEY, "admin", (), 6, None, digest_of("k"))


def written(directory: Path, entries: Any, mode: int = 0o600, version: object = 1) -> CredentialFile:
    path = directory / FILE_NAME
    path.write_text(json.dumps({"version": version, "credentials": entries}))
    path.chmod(mode)
    return CredentialFile(directory)


def test_what_is_added_is_read(tmp_path: Path) -> None:
    """In order, with every field; the file is its owner's alone and changes its mark."""
    file = CredentialFile(tmp_path / "data")
    assert file.read() == ()
    assert file.mark() is None
    file.add(ANN)
    before = file.mark()
    file.add(KEY)
    assert file.mark() != before
    assert file.read() == (ANN, KEY)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.revoke("ann") == ANN
    assert file.read() == (KEY,)


def test_names_are_one_credentials_own(tmp_path: Path) -> None:
    """A name that is taken, and one that is not there, are refused by name."""
    file = CredentialFile(tmp_path)
    file.add(ANN)
    with pytest.raises(Refused, match="'ann' already"):
        file.add(replace(KEY, name="ann"))
    with pytest.raises(Refused, match="no credential named 'bob'"):
        file.revoke("bob")
    assert file.read() == (ANN,)


def test_hands_at_the_same_time_undo_nothing_of_each_other(tmp_path: Path) -> None:
    """Twenty commands at once: all twenty credentials are there."""
    threads = [
        threading.Thread(target=lambda name=f"n{n}": CredentialFile(tmp_path).add(replace(KEY, name=name)))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.name for each in CredentialFile(tmp_path).read()} == {f"n{n}" for n in range(20)}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """Group and others must have no access at all, and the error says how to mend it."""
    file = written(tmp_path, [], mode)
    with pytest.raises(BadCredentialFile, match=f"chmod 600 {file.path}"):
        file.read()


ENTRY = {"name": "a", "form": "token", "role": "user", "digest": "0" * 64}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([ENTRY, {**ENTRY, "role": "owner"}], "Entry 2 .*'owner' is not a role"),
        ([{**ENTRY, "form": "password"}], "Entry 1 .*password"),
        ([{**ENTRY, "digest": "x"}], "digest"),
        ([{**ENTRY, "name": 7}], "text"),
        ([{**ENTRY, "projects": [7]}], "text"),
        ([{**ENTRY, "surprise": 1}], "surprise"),
        ([{**ENTRY, "created_us": "x"}], "microseconds"),
        ([{**ENTRY, "expires_us": 1.5}], "microseconds"),
        ([{**ENTRY, "form": "service-account"}], "email"),
        ([{"name": "a"}], "Entry 1"),
        (["a"], "Entry 1"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_told_by_number(tmp_path: Path, entries: Any, words: str) -> None:
    """Nothing is skipped: a file that is wrong in one place lets nobody in."""
    with pytest.raises(BadCredentialFile, match=words):
        written(tmp_path, entries).read()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Another version, no JSON, no object, a directory."""
    with pytest.raises(BadCredentialFile, match="version 1"):
        written(tmp_path, [], version=2).read()
    file = CredentialFile(tmp_path)
    for text, words in (("{", "not JSON"), ("[]", "version"), ("\udcff", "not JSON")):
        file.path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(BadCredentialFile, match=words):
            file.read()
    file.path.unlink()
    file.path.mkdir()
    with pytest.raises(BadCredentialFile, match="cannot be read"):
        file.read()


def old(directory: Path, text: str | bytes, mode: int = 0o600) -> CredentialFile:
    path = directory / OLD_NAME
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return CredentialFile(directory)


def test_tokens_of_an_earlier_release_are_taken_over(tmp_path: Path) -> None:
    """Their holders stay let in, as admins; the old file goes; doubled names are told apart; and it is done once."""
    lines = f"# who may\n\nann {digest_of('t')}\nann {digest_of('u')}\n"
    file = old(tmp_path, lines)
    assert file.migrate(7) == 2
    first, second = file.read()
    assert (first.name, first.role, first.projects, first.digest) == ("ann", "admin", (), digest_of("t"))
    assert (second.name, second.digest) == ("ann-2", digest_of("u"))
    assert not (tmp_path / OLD_NAME).exists()
    assert file.migrate(8) == 0
    old(tmp_path, lines)
    assert file.migrate(9) == 0


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("ann not-a-hash\n", 0o600, "Line 1 "),
        (f"ann {digest_of('t')}\nbob\n", 0o600, "Line 2 "),
        (b"\xff\xfe", 0o600, "cannot be read"),
        ("", 0o644, "chmod 600"),
    ],
)
def test_an_old_file_that_is_none_is_left_alone(tmp_path: Path, text: str | bytes, mode: int, words: str) -> None:
    """The server does not start, and nothing has changed."""
    file = old(tmp_path, text, mode)
    with pytest.raises(BadCredentialFile, match=words):
        file.migrate(7)
    assert (tmp_path / OLD_NAME).exists()
    assert file.mark() is None


def test_secrets_are_random_and_not_kept() -> None:
    """Each form begins in its own way, so that a scanner for leaked secrets can find it."""
    token, first = new_secret(replace(ANN, digest=""))
    key, second = new_secret(replace(KEY, digest=""))
    assert token.startswith("ty_")
    assert key.startswith("tyk_")
    assert (digest_of(token), digest_of(key)) == (first.digest, second.digest)
    assert token not in repr(first)
    assert new_secret(ANN)[0] != token


def test_an_accounts_key_file_is_what_googles_clients_read() -> None:
    """google-auth loads it; the credential has only the public half."""
    from google.oauth2 import service_account

    file, credential = new_account(Credential("ci", Form.ACCOUNT, "user"), "p1", "https://localhost:8470")
    loaded = service_account.Credentials.from_service_account_info(file)
    assert loaded.service_account_email == credential.email == "ci@p1.iam.gserviceaccount.com"
    assert loaded.project_id == "p1"
    assert file["token_uri"] == "https://localhost:8470/token"
    assert "PRIVATE" not in credential.public_key
    assert file["private_key_id"] == credential.key_id
    with pytest.raises(Refused, match="lower-case"):
        new_account(Credential("Ci@x", Form.ACCOUNT, "user"), "p1", "")
