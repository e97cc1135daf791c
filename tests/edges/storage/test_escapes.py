"""No name leads out of its bucket: the published path escapes of artifact servers, by every way to an object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

ESCAPES = {
    "CVE-2023-1177": "..%2F..%2Fsecret",  # MLflow: dots in a model version's source
    "CVE-2023-2356": "%2E%2E%2F%2E%2E%2Fsecret",
    "CVE-2023-2780": "..%5C..%5Csecret",  # the other system's separator
    "CVE-2023-3765": "%2Fetc%2Fpasswd",  # an absolute path
    "CVE-2023-6015": "a%2F..%2F..%2F..%2Fsecret",  # on the way in
    "CVE-2023-6831": "%252E%252E%252F%252E%252E%252Fsecret",  # encoded twice
    "CVE-2023-6909": "%2e%2e%2f%252e%252e%252fsecret",
    "CVE-2023-6975": "%2F..%2F..%2Fsecret",
    "CVE-2023-6977": "..%2F..%2Fdata%2Fsecret",
    "CVE-2024-1483": "a%23%2F..%2F..%2F..%2Fsecret",  # behind a fragment's mark
    "CVE-2024-1558": "file:%2F%2F%2Fetc%2Fpasswd",
    "CVE-2024-1560": "....%2F%2F....%2F%2Fsecret",  # dots that remain when dots are taken out
    "CVE-2024-1593": "a%3B%2F..%2F..%2F..%2Fsecret",  # behind a parameter's mark
    "CVE-2024-2928": "%23%2F..%2F..%2F..%2Fsecret",
    "CVE-2024-3848": "a%3F%2F..%2F..%2F..%2Fsecret",  # behind a query's mark
    "CVE-2026-2614": ".%2F..%2F.%2F..%2Fsecret",
    "NUL": "secret%00.txt",
    "overlong UTF-8": "%C0%AE%C0%AE%2Fsecret",
    "the catalogue": "..%2Fobjects%2Fcatalogue.db",
    "full-width dots": "%EF%BC%8E%EF%BC%8E%2Fsecret",
    "a component of our own": ".%25%25self%2F..%2Fsecret",
}
ways = pytest.mark.parametrize("name", ESCAPES.values(), ids=ESCAPES.keys())


def outside(storage: Any) -> set[Path]:
    """All files of the service that are in no bucket of the test's, but for its own bookkeeping."""
    everywhere = storage.server.data_dir.rglob("*")
    mine = [path for path in everywhere if path.is_file() and not path.is_relative_to(storage.directory)]
    return {path for path in mine if "catalogue.db" not in path.name and "runs" not in path.parts}


@ways
def test_no_published_escape_leads_out_of_a_bucket(storage: Any, name: str) -> None:
    """The path escapes of artifact servers, down and up: what a name may be lies in the bucket, or is refused."""
    data_dir: Path = storage.server.data_dir
    (data_dir / "secret").write_text("secret")
    before = outside(storage)
    assert storage.media(name).status in (400, 404)
    stored = storage.upload(name, b"mine")
    if stored.status == 200:
        assert storage.media(name).body == b"mine"
        inside = [path for path in storage.directory.rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in inside] == [b"mine"]
        assert inside[0].resolve().is_relative_to(storage.directory.resolve())
        assert storage.call("DELETE", storage.object(name)).status == 204
    else:
        assert stored.status == 400
    assert outside(storage) == before
    assert (data_dir / "secret").read_text() == "secret"


@ways
def test_no_way_of_making_an_object_leads_out_either(storage: Any, name: str) -> None:
    """Copy, rewrite, move, compose, resumable and multipart uploads, batches; as an object's name and as a bucket's."""
    (storage.server.data_dir / "secret").write_text("secret")
    storage.upload("source", b"mine")
    before = outside(storage)
    plain = unquote(name, errors="replace")
    source, sources = storage.object("source"), {"sourceObjects": [{"name": "source"}]}
    related = (
        b'--x\r\ncontent-type: application/json\r\n\r\n' + json.dumps({"name": plain}).encode()
        + b"\r\n--x\r\ncontent-type: text/plain\r\n\r\nmine\r\n--x--"
    )  # fmt: skip
    part = f"--y\r\ncontent-type: application/http\r\n\r\nDELETE {storage.object(name)} HTTP/1.1\r\n\r\n\r\n--y--"
    for verb, path, body, kind in (
        ("POST", f"{source}/copyTo/b/{storage.bucket}/o/{name}", {}, ""),
        ("POST", f"{source}/rewriteTo/b/{storage.bucket}/o/{name}", {}, ""),
        ("POST", f"{source}/rewriteTo/b/{name}/o/x", {}, ""),
        ("POST", f"{storage.object(name)}/compose", sources, ""),
        (
            "POST",
            f"/upload/storage/v1/b/{storage.bucket}/o?uploadType=multipart",
            related,
            "multipart/related; boundary=x",
        ),
        ("POST", f"/upload/storage/v1/b/{name}/o?uploadType=media&name=x", b"mine", ""),
        ("POST", "/storage/v1/b?project=p", {"name": plain}, ""),
        ("GET", f"/storage/v1/b/{name}/o", None, ""),
        ("POST", "/batch/storage/v1", part.encode(), "multipart/mixed; boundary=y"),
        ("POST", f"{source}/moveTo/o/{name}", {}, ""),
    ):
        status = storage.call(verb, path, body, {"content-type": kind} if kind else None).status
        assert status in (200, 400, 404), (verb, path, status)
    assert outside(storage) == before
    assert (storage.server.data_dir / "secret").read_text() == "secret"


def test_a_slash_that_is_not_encoded_is_no_part_of_a_name(storage: Any) -> None:
    """Dots between real slashes reach no file either."""
    (storage.server.data_dir / "secret").write_text("secret")
    for path in ("/../../secret", "/o/../../../secret", "/o/..%2f/../secret"):
        assert storage.call("GET", f"/storage/v1/b/{storage.bucket}{path}?alt=media").status in (400, 404)
