"""`trainyard tokens`: credentials made, listed and revoked on a data directory, each act written down."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from trainyard.cli.main import main
from trainyard.credentials import CredentialFile, Form, digest_of


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that does not exist yet."""
    path = tmp_path / "data"
    monkeypatch.setenv("TRAINYARD_DATA_DIR", str(path))
    monkeypatch.delenv("TRAINYARD_ENDPOINT", raising=False)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    return path


def tokens(*arguments: str) -> int:
    return main(["tokens", *arguments])


def test_a_token_is_printed_once(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout alone, for `$(trainyard tokens create ci)`; the file knows its hash, the audit log its name."""
    assert tokens("create", "ci") == 0
    printed = capsys.readouterr()
    token = printed.out.strip()
    (credential,) = CredentialFile(data).read()
    assert (credential.digest, credential.role, credential.projects) == (digest_of(token), "user", ())
    assert credential.expires_us is None
    assert "shown only now" in printed.err
    line = json.loads((data / "audit.log").read_text())
    assert (line["what"], line["resource"], line["result"]) == ("tokens.create", "ci", "OK")
    assert line["who"].startswith("trainyard tokens by ")
    everything = b"".join(path.read_bytes() for path in data.iterdir())
    assert token.encode() not in everything


def test_every_flag_counts(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Role, projects, form and time."""
    flags = ("--role", "viewer", "--project", "p1", "--project", "12", "--as", "api-key", "--expires", "30d")
    before = time.time_ns() // 1000
    assert tokens("create", "k", *flags) == 0
    (credential,) = CredentialFile(data).read()
    assert (credential.role, credential.projects, credential.form) == ("viewer", ("p1", "12"), Form.API_KEY)
    assert credential.expires_us is not None
    assert 0 <= credential.expires_us - before - 30 * 86400 * 10**6 < 60 * 10**6
    assert capsys.readouterr().out.startswith("tyk_")


def test_a_key_file_is_its_owners_alone(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written where it is asked for, once; what is there is not overwritten, and then nothing is made."""
    out = tmp_path / "key.json"
    made = ("--as", "service-account", "--out", str(out), "--endpoint", "https://train.example.com/")
    assert tokens("create", "ci", *made) == 0
    assert capsys.readouterr().out == ""
    key = json.loads(out.read_text())
    assert out.stat().st_mode & 0o777 == 0o600
    assert key["token_uri"] == "https://train.example.com/token"
    assert key["client_email"] == "ci@demo.iam.gserviceaccount.com"
    assert tokens("create", "again", *made) == 1
    assert "nothing was made" in capsys.readouterr().err
    assert json.loads(out.read_text()) == key
    assert [each.name for each in CredentialFile(data).read()] == ["ci"]
    assert tokens("create", "p", "--as", "service-account", "--project", "p9") == 0
    assert json.loads(capsys.readouterr().out)["project_id"] == "p9"


def test_the_list_shows_no_secret(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names, forms, roles, projects and times; as a table or as JSON."""
    tokens("create", "ann", "--project", "p1", "--expires", "5m")
    tokens("create", "bob", "--role", "admin")
    secret = capsys.readouterr().out.split()[0]
    assert tokens("list") == 0
    table = capsys.readouterr().out
    assert [line.split()[:4] for line in table.splitlines()[1:]] == [
        ["ann", "token", "user", "p1"], ["bob", "token", "admin", "all"],
    ]  # fmt: skip
    assert tokens("list", "--format", "json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["expires"] == "never" for each in listed] == [False, True]
    assert digest_of(secret) not in table + json.dumps(listed)


def test_what_is_over_is_said_to_be(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A credential whose time has come stays in the list until it is revoked."""
    from dataclasses import replace

    tokens("create", "ann")
    file = CredentialFile(data)
    file.add(replace(file.revoke("ann"), expires_us=1))
    capsys.readouterr()
    tokens("list", "--format", "value(expires)")
    assert capsys.readouterr().out.strip().endswith("(over)")


def test_revoking_is_for_good(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name is free again, and the audit log remembers."""
    tokens("create", "ann")
    assert tokens("revoke", "ann") == 0
    assert CredentialFile(data).read() == ()
    assert tokens("revoke", "ann") == 1
    assert "no credential named 'ann'" in capsys.readouterr().err
    assert [json.loads(line)["what"] for line in (data / "audit.log").read_text().splitlines()] == [
        "tokens.create", "tokens.revoke",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("create", "-x-"), 2, "required: NAME"),
        (("create", "a b"), 2, "can't be a name"),
        (("create", "ann", "--project", "No!"), 2, "neither a project id nor a project number"),
        (("create", "ann", "--expires", "soon"), 2, "one looks like 90m"),
        (("create", "ann", "--expires", "0d"), 2, "one looks like 90m"),
        (("create", "Ann", "--as", "service-account"), 1, "lower-case"),
        (("create", "taken"), 1, "already"),
        (("list", "--format", "nonsense"), 2, "none of json"),
    ],
)
def test_what_cannot_be_is_said(
    arguments: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence and an exit code; nothing is made."""
    tokens("create", "taken")
    if words == "required: NAME":  # argparse itself says it
        with pytest.raises(SystemExit, match="2"):
            tokens(*arguments)
    else:
        assert tokens(*arguments) == code
    assert words in capsys.readouterr().err


def test_a_spoilt_file_stays_as_it_is(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, and not written over."""
    data.mkdir()
    (data / "credentials.json").write_text("{")
    (data / "credentials.json").chmod(0o600)
    assert tokens("create", "ann") == 1
    assert "not JSON" in capsys.readouterr().err
    assert (data / "credentials.json").read_text() == "{"


def test_tokens_of_an_earlier_release_come_along(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever command comes first takes them over."""
    data.mkdir()
    (data / "tokens").write_text(f"old {digest_of('t')}\n")
    (data / "tokens").chmod(0o600)
    assert tokens("create", "new") == 0
    assert [each.name for each in CredentialFile(data).read()] == ["old", "new"]
    assert "took over 1 tokens" in capsys.readouterr().err


def test_a_directory_that_cannot_be_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The operating system's reason, and what stands in the way."""
    assert tokens("create", "ann", "--data-dir", "/dev/null/x") == 1
    assert "can't be changed" in capsys.readouterr().err


def test_an_account_for_jobs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An e-mail of any form, who may act as it, and where its real credentials lie, whatever the directory."""
    key = tmp_path / "google.json"
    key.write_text("{}")
    flags = ("--email", "1-compute@developer.example", "--actor", "ann", "--actor", "ci@p1", "--google-credentials")
    assert tokens("create", "Default", "--as", "service-account", *flags, str(key)) == 0
    assert json.loads(capsys.readouterr().out)["client_email"] == "1-compute@developer.example"
    (credential,) = CredentialFile(data).read()
    assert (credential.actors, credential.google) == (("ann", "ci@p1"), str(key))
    assert tokens("list", "--format", "json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["actors"], listed["google"]) == ("ann,ci@p1", str(key))
    assert tokens("create", "again", "--as", "service-account", "--email", "1-compute@developer.example") == 1
    assert "there is an account 1-compute@developer.example already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--email", "a@b"), "--email is for accounts"),
        (("--actor", "ann"), "--actor is for accounts"),
        (("--google-credentials", "/k"), "--google-credentials is for accounts"),
        (("--as", "service-account", "--email", "nobody"), "no e-mail address"),
        (("--as", "service-account", "--google-credentials", "/no/such/file"), "can't be read"),
    ],
)
def test_what_no_account_can_have_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], words: str
) -> None:
    """In words, and nothing is made."""
    assert tokens("create", "x", *flags) == 2
    assert words in capsys.readouterr().err
    assert CredentialFile(data).read() == ()
