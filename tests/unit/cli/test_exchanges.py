"""What is kept of an exchange holds no secret and says all the rest; files come back as they went in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainyard.cli.exchanges import MOST_KEPT_BYTES, REMOVED, Cleaner, Exchange, Folder, Message, body_bytes
from trainyard.cli.problems import Problem

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJtZSJ9.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("Authorization", "Bearer abc.def")], b""),
        ([("X-Goog-Api-Key", "SEKRET")], b""),
        ([("Cookie", "sid=SEKRET")], b""),
        ([("Set-Cookie", "sid=SEKRET; Path=/")], b""),
        ([("X-Goog-Encryption-Key", "SEKRET")], b""),
        ([("Location", "http://h/upload?upload_id=SEKRET&x=1")], b""),
        ([], json.dumps({"access_token": "SEKRET", "in": [{"private_key": KEY, "client_secret": "SEKRET"}]}).encode()),
        ([], json.dumps({"env": [{"name": "HF_TOKEN", "value": "SEKRET"}]}).encode()),
        ([], json.dumps({"args": [f"--header=Bearer {JWT}", f"--key={KEY}"]}).encode()),
        ([], json.dumps({"uri": "https://s/b/o?X-Goog-Signature=SEKRET&X-Goog-Credential=SEKRET"}).encode()),
        ([("Content-Type", "application/x-www-form-urlencoded")], b"g=j&assertion=SEKRET&refresh_token=SEKRET"),
        ([], f"plain text with {JWT}".encode()),
    ],
)  # fmt: skip
def test_no_secret_is_kept(headers: list[tuple[str, str]], body: bytes) -> None:
    """Not in a header, a field, an environment value, an argument, a URL or a form."""
    kept = Cleaner().message(headers, body)
    text = json.dumps([kept.headers, kept.body])
    assert REMOVED in text
    for secret in ("SEKRET", "abc.def", "MIIE", JWT.partition(".")[2]):
        assert secret not in text


def test_what_is_no_secret_stays() -> None:
    """Page tokens, key names, token types and addresses of people, unless asked to take those out."""
    body: dict[str, Any] = {
        "nextPageToken": "abc",
        "pageToken": "abc",
        "kmsKeyName": "k",
        "tokenUri": "u",
        "env": [{"name": "EPOCHS", "value": "3"}],
        "serviceAccount": "me@example.com",
        "none": None,
    }
    raw = json.dumps(body).encode()
    assert Cleaner().message([], raw).body == body
    assert Cleaner(emails=True).message([], raw).body["serviceAccount"] == REMOVED
    assert Cleaner().pairs([("pageToken", "a"), ("key", "b"), ("filter", "c")]) == [
        ["pageToken", "a"],
        ["key", REMOVED],
        ["filter", "c"],
    ]


@pytest.mark.parametrize("body", [b"", b'{"a": [1, "\xc3\xa9"]}', b"words", b"\xff\x00\x01", b"[" * 5000])
def test_a_body_comes_back(body: bytes) -> None:
    """JSON as the same value, everything else as the same bytes."""
    kept = Cleaner().message([], body)
    again = body_bytes(kept)
    assert json.loads(again) == json.loads(body) if kept.form == "json" else again == body


def test_a_huge_body_is_told_by_size_and_digest() -> None:
    """And cannot be sent again."""
    kept = Cleaner().message([], b"x" * (MOST_KEPT_BYTES + 1))
    assert kept.body["omitted"] == MOST_KEPT_BYTES + 1
    with pytest.raises(Problem, match="was not recorded"):
        body_bytes(kept)


def test_files_are_readable_and_come_back(tmp_path: Path) -> None:
    """One file an exchange, in order, also after a second recording into the same directory."""
    made = [
        Exchange("GET", f"/v1/x/{n}:y", [["a", "b c"]], Message({"h": "v"}), 200, Message({}, "json", {"n": n}))
        for n in range(3)
    ]
    for exchange in made[:2]:
        Folder(tmp_path / "new", make=True).add(exchange)
    path = Folder(tmp_path / "new").add(made[2])
    assert path.name == "000003-GET-v1-x-2.y.json"
    assert '"n": 2' in path.read_text()
    assert Folder(tmp_path / "new").read() == made
    assert made[0].target == "/v1/x/0:y?a=b+c"
    path.write_text("{}")
    with pytest.raises(Problem, match=r"000003-GET.*is no recorded exchange"):
        Folder(tmp_path / "new").read()
    with pytest.raises(Problem, match="is no directory"):
        Folder(tmp_path / "absent")
