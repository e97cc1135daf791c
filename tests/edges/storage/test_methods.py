"""The JSON API's methods on the wire, and what is no method, no parameter, no field."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from edge_server import Server
from storage_calls import Storage


def names(answer: Any) -> list[str]:
    """What a list told, items before prefixes."""
    return [*(item["name"] for item in answer.json.get("items", [])), *answer.json.get("prefixes", [])]


def test_a_bucket_appears_when_it_is_asked_for(storage: Any) -> None:
    """Get, upload, list, each on its own; but a read of an object makes none, and a deleted one stays deleted."""
    path = f"/storage/v1/b/{storage.bucket}"
    assert storage.media("o").status == 404
    assert not storage.directory.exists()
    got = storage.call("GET", path + "?projection=noAcl&prettyPrint=false")
    assert (got.status, got.json["name"], got.json["kind"]) == (200, storage.bucket, "storage#bucket")
    assert storage.call("DELETE", path).status == 204
    for verb, where in (("GET", path), ("GET", path + "/o"), ("DELETE", path)):
        answer = storage.call(verb, where)
        assert (answer.status, answer.error["message"]) == (404, "The specified bucket does not exist.")
    assert storage.upload("o", b"x").status == 404
    assert storage.call("POST", "/storage/v1/b?project=p", {"name": storage.bucket}).status == 200
    assert storage.upload("o", b"x").status == 200


def test_a_bucket_is_made_once(storage: Any) -> None:
    """409 `conflict` the second time, 400 for what is no name, and one with objects in it stays."""
    body = {"name": storage.bucket, "labels": {"k": "v"}, "location": "eu", "versioning": {"enabled": False}}
    made = storage.call("POST", "/storage/v1/b?project=my-project", body)
    assert (made.json["labels"], made.json["location"]) == ({"k": "v"}, "EU")
    assert made.json["projectNumber"].isdecimal()
    again = storage.call("POST", "/storage/v1/b?project=p", body)
    assert (again.status, again.error["errors"][0]["reason"]) == (409, "conflict")
    storage.upload("o", b"x")
    assert storage.call("DELETE", f"/storage/v1/b/{storage.bucket}").status == 409
    for bad in ({"name": "Bad_Name"}, {"name": ".."}, {"name": ""}, {}, {"name": 5}):
        assert storage.call("POST", "/storage/v1/b?project=p", bad).status == 400
    assert storage.bucket in names(storage.call("GET", f"/storage/v1/b?project=p&prefix={storage.bucket[:5]}"))


def test_a_bucket_is_changed_under_conditions(storage: Any) -> None:
    """Patch merges, null removes, update replaces; what has no effect here is refused by name."""
    path = f"/storage/v1/b/{storage.bucket}"
    storage.call("GET", path)
    patched = storage.call("PATCH", path, {"labels": {"a": "1", "b": "2"}})
    assert (patched.json["labels"], patched.json["metageneration"]) == ({"a": "1", "b": "2"}, "2")
    assert storage.call("PATCH", path, {"labels": {"a": None}}).json["labels"] == {"b": "2"}
    assert storage.call("PATCH", path + "?ifMetagenerationMatch=1", {"labels": None}).status == 412
    assert "labels" not in storage.call("PUT", path, {"storageClass": "NEARLINE"}).json
    for field in (
        {"retentionPolicy": {"retentionPeriod": "5"}},
        {"lifecycle": {"rule": [{}]}},
        {"encryption": {"k": 1}},
    ):
        refused = storage.call("PATCH", path, field)
        assert refused.status == 400
        assert next(iter(field)) in refused.error["message"]
    assert storage.call("PATCH", path, {"lifecycle": {"rule": []}, "storageClass": "FAST"}).status == 400


def test_lists_go_page_by_page(storage: Any) -> None:
    """Prefix, delimiter, offsets, page size and token, as clients send them."""
    for name in ("a%2F1", "a%2F2", "b", "c%20d", "z%2Fy%2Fx"):
        storage.upload(name, b"x")
    path = f"/storage/v1/b/{storage.bucket}/o"
    assert names(storage.call("GET", path + "?delimiter=%2F")) == ["b", "c d", "a/", "z/"]
    assert names(storage.call("GET", path + "?prefix=a/")) == ["a/1", "a/2"]
    assert names(storage.call("GET", path + "?startOffset=b&endOffset=z")) == ["b", "c d"]
    assert names(storage.call("GET", path + "?matchGlob=**%2F%3F")) == ["a/1", "a/2", "z/y/x"]
    found, token = [], ""
    while True:
        page = storage.call("GET", f"{path}?maxResults=2&pageToken={token}")
        found += names(page)
        token = page.json.get("nextPageToken", "")
        if not token:
            break
    assert found == ["a/1", "a/2", "b", "c d", "z/y/x"]
    assert storage.call("GET", path + "?pageToken=%FF").status == 400
    assert storage.call("GET", path + "?pageToken=xx").status == 400
    assert storage.call("GET", path + "?maxResults=many").status == 400
    assert storage.call("GET", path + "?versions=maybe").status == 400
    assert storage.call("GET", path + "?filter=contexts").status == 400


def test_fields_leave_what_was_asked_for(storage: Any) -> None:
    """Partial answers, nested and in lists; a selection that is none is a 400."""
    storage.upload("o", b"x")
    path = f"/storage/v1/b/{storage.bucket}/o"
    asked = storage.call("GET", path + "?fields=items(name,size),nextPageToken,kind")
    assert asked.json == {"kind": "storage#objects", "items": [{"name": "o", "size": "1"}]}
    assert storage.call("GET", path + "?fields=items/name").json == {"items": [{"name": "o"}]}
    assert storage.call("GET", storage.object("o", "?fields=bucket")).json == {"bucket": storage.bucket}
    assert storage.upload("o", b"x", "&fields=size").json == {"size": "1"}
    for bad in ("items(", "a)", "(a)"):
        assert storage.call("GET", path + f"?fields={bad}").status == 400


def test_metadata_is_merged_or_replaced(storage: Any) -> None:
    """Patch merges and null removes, update replaces; each is a new metageneration of the same generation."""
    made = storage.upload("o", b"x", headers={"Content-Type": "a/b"}).json
    change = {"metadata": {"k": "v", "l": "w"}, "cacheControl": "no-store", "customTime": "2026-01-01T00:00:00Z"}
    patched = storage.call("PATCH", storage.object("o"), change).json
    assert patched["metadata"] == {"k": "v", "l": "w"}
    assert (patched["metageneration"], patched["generation"]) == ("2", made["generation"])
    merged = storage.call("PATCH", storage.object("o"), {"metadata": {"k": None}, "cacheControl": None}).json
    assert merged["metadata"] == {"l": "w"}
    assert "cacheControl" not in merged
    assert storage.media("o").headers["x-goog-metageneration"] == "3"
    replaced = storage.call("PUT", storage.object("o"), {"contentType": "c/d"}).json
    assert (replaced["contentType"], "metadata" in replaced) == ("c/d", False)
    assert storage.call("PATCH", storage.object("o", "?ifMetagenerationMatch=1"), {}).status == 412
    assert storage.call("PATCH", storage.object("o", "?ifMetagenerationMatch=4"), {}).status == 200


@pytest.mark.parametrize(
    "field",
    [
        {"metadata": {"k": 1}},
        {"metadata": []},
        {"metadata": {"k": "v" * 9000}},
        {"contentType": 5},
        {"contentType": "a\r\nX-Evil: 1"},
        {"customTime": "yesterday"},
        {"temporaryHold": "yes"},
        {"retention": {"mode": "Locked"}},
        {"kmsKeyName": "k"},
        {"acl": [{"entity": "allUsers"}]},
        {"nonsense": 1},
    ],
)
def test_what_cannot_be_set_is_refused_by_name(storage: Any, field: dict[str, Any]) -> None:
    """400 with the field's name, and nothing changed."""
    before = storage.upload("o", b"x").json
    answer = storage.call("PATCH", storage.object("o"), field)
    assert answer.status == 400
    assert next(iter(field)) in answer.error["message"] or "acl" in field
    assert storage.call("GET", storage.object("o")).json == before


@pytest.mark.parametrize(
    "headers", [{"X-Goog-Encryption-Key": "k"}, {"X-Goog-Encryption-Algorithm": "AES256"}], ids=["key", "algorithm"]
)
def test_keys_of_the_caller_are_refused(storage: Any, headers: dict[str, str]) -> None:
    """Never stored in clear for who asked for encryption."""
    assert storage.upload("o", b"x", headers=headers).status == 400
    assert storage.upload("o", b"x", "&kmsKeyName=k").status == 400
    assert storage.call("GET", storage.object("o")).status == 404


def test_copies_and_rewrites(storage: Any) -> None:
    """Metadata comes along or is replaced; conditions on both ends count; rewrites go on by token."""
    data = os.urandom(3 * 1024 * 1024 + 5)
    source = storage.upload("o", data, headers={"Content-Type": "a/b"}).json
    storage.call("PATCH", storage.object("o"), {"metadata": {"k": "v"}})
    to = f"/b/{storage.bucket}/o"
    copied = storage.call("POST", storage.object("o") + f"/copyTo{to}/c%2F1", b"").json
    assert (copied["metadata"], copied["contentType"], copied["crc32c"]) == ({"k": "v"}, "a/b", source["crc32c"])
    other = storage.call("POST", storage.object("o") + f"/copyTo{to}/c2", {"metadata": {"x": "y"}}).json
    assert other["metadata"] == {"x": "y"}
    for query in ("?ifSourceGenerationMatch=1", "?ifGenerationMatch=1", "?ifSourceMetagenerationNotMatch=2"):
        assert storage.call("POST", storage.object("o") + f"/copyTo{to}/c%2F1{query}", b"").status == 412
    path = storage.object("o") + f"/rewriteTo{to}/r?maxBytesRewrittenPerCall=1048576"
    token, calls = "", 0
    while True:
        part = storage.call("POST", path + f"&rewriteToken={token}", {"storageClass": "NEARLINE"}).json
        calls += 1
        if part["done"]:
            break
        token = part["rewriteToken"]
        assert part["totalBytesRewritten"] == str(calls << 20)
    assert (calls, part["resource"]["storageClass"], part["resource"]["crc32c"]) == (4, "NEARLINE", source["crc32c"])
    assert storage.media("r").body == data
    assert storage.call("POST", path.replace("=1048576", "=5"), b"").status == 400
    assert storage.call("POST", path.replace("/o/r", "/o/other") + f"&rewriteToken={token}", b"").status in (400, 404)
    assert storage.call("POST", storage.object("none") + f"/copyTo{to}/c", b"").status == 404


def test_moves(storage: Any) -> None:
    """The object is under its new name and no longer under the old one; conditions on both ends count."""
    storage.upload("o", b"x", headers={"Content-Type": "a/b"})
    storage.upload("taken", b"y")
    assert storage.call("POST", storage.object("o") + "/moveTo/o/taken?ifGenerationMatch=0", b"").status == 412
    moved = storage.call("POST", storage.object("o") + "/moveTo/o/dir%2Fn", b"")
    assert (moved.status, moved.json["contentType"]) == (200, "a/b")
    assert storage.media("dir%2Fn").body == b"x"
    assert storage.media("o").status == 404
    assert storage.call("POST", storage.object("taken") + "/moveTo/o/taken", b"").status == 400


def test_compositions(storage: Any) -> None:
    """Up to 32 sources, with conditions of their own, one of them the destination if need be."""
    parts = [storage.upload(f"p{number}", b"%d," % number).json for number in range(32)]
    sources = [{"name": part["name"], "generation": part["generation"]} for part in parts]
    path = storage.object("all") + "/compose"
    done = storage.call("POST", path, {"sourceObjects": sources, "destination": {"contentType": "a/b"}})
    assert (done.json["componentCount"], "md5Hash" in done.json) == (32, False)
    expected = b"".join(b"%d," % number for number in range(32))
    assert storage.media("all").body == expected
    storage.call("POST", path, {"sourceObjects": [{"name": "all"}, {"name": "p0"}]})
    assert storage.media("all").body == expected + b"0,"
    assert storage.call("POST", path, {"sourceObjects": [*sources, {"name": "p0"}]}).status == 400
    assert storage.call("POST", path, {"sourceObjects": []}).status == 400
    assert storage.call("POST", path, {"sourceObjects": [{"name": "none"}]}).status == 404
    held = {"name": "p0", "objectPreconditions": {"ifGenerationMatch": "1"}}
    assert storage.call("POST", path, {"sourceObjects": [held]}).status == 412
    assert storage.call("POST", path + "?ifGenerationMatch=0", {"sourceObjects": sources}).status == 412


def test_access_controls_are_kept_and_told(storage: Any) -> None:
    """Set by entry, by patch or by a predefined name; a policy as it was set; nothing of it in a plain get."""
    storage.upload("o", b"x", "&predefinedAcl=publicRead")
    for path in (storage.object("o") + "/acl", f"/storage/v1/b/{storage.bucket}/acl"):
        made = storage.call("POST", path, {"entity": "user-a@x.y", "role": "OWNER"})
        assert made.status == 200
        assert storage.call("GET", path + "/user-a@x.y").json["role"] == "OWNER"
        storage.call("PATCH", path + "/user-a@x.y", {"role": "READER"})
        assert storage.call("GET", path + "/user-a@x.y").json["role"] == "READER"
        assert storage.call("DELETE", path + "/user-a@x.y").status == 204
        assert storage.call("GET", path + "/user-a@x.y").status == 404
    assert [each["entity"] for each in storage.call("GET", storage.object("o") + "/acl").json["items"]] == ["allUsers"]
    assert "acl" not in storage.call("GET", storage.object("o")).json
    assert storage.call("GET", storage.object("o", "?projection=full")).json["acl"][0]["entity"] == "allUsers"
    binding = {"role": "roles/storage.objectViewer", "members": ["allUsers"]}
    policy = f"/storage/v1/b/{storage.bucket}/iam"
    storage.call("PUT", policy, {"bindings": [binding]})
    assert storage.call("GET", policy).json["bindings"] == [binding]
    asked = storage.call("GET", policy + "/testPermissions?permissions=a.b&permissions=c.d")
    assert asked.json["permissions"] == ["a.b", "c.d"]
    assert storage.upload("o", b"x", "&predefinedAcl=nobody").status == 400


def test_batches_answer_each_call(storage: Any) -> None:
    """In order, each with its own status, by relative and absolute address; media is refused; no part, no batch."""
    storage.upload("o", b"x")
    calls = [
        f"GET {storage.object('o')} HTTP/1.1\r\n\r\n",
        f"PATCH http://somewhere{storage.object('o')} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"
        + json.dumps({"metadata": {"k": "v"}}),
        f"GET {storage.object('none')} HTTP/1.1\r\n\r\n",
        f"GET {storage.object('o', '?alt=media')} HTTP/1.1\r\n\r\n",
        f"DELETE {storage.object('o')} HTTP/1.1\r\n\r\n",
        "nonsense /x HTTP/1.1\r\n\r\n",
    ]
    body = "".join(
        f"--B\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n{call}\r\n"
        for number, call in enumerate(calls)
    )
    answer = storage.call(
        "POST", "/batch/storage/v1", f"{body}--B--".encode(), {"Content-Type": "multipart/mixed; boundary=B"}
    )
    assert answer.status == 200
    statuses = [int(line.split()[1]) for line in answer.body.decode().splitlines() if line.startswith("HTTP/1.1 ")]
    assert statuses == [200, 200, 404, 400, 204, 400]
    assert b"<response-3>" in answer.body
    for bad in (b"", b"--B\r\n\r\nGET", body.encode()):
        assert (
            storage.call("POST", "/batch/storage/v1", bad, {"Content-Type": "multipart/mixed; boundary=B"}).status
            == 400
        )


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/storage/v1/nothing", 404),
        ("GET", "/storage/v1/b/bucket-x/nothing", 404),
        ("POST", "/storage/v1/b/bucket-x/o", 405),
        ("PATCH", "/storage/v1/b", 405),
        ("POST", "/upload/storage/v1/b/bucket-x/o?uploadType=pigeon&name=o", 400),
        ("POST", "/upload/storage/v1/b/bucket-x/o?uploadType=media", 400),
        ("GET", "/upload/storage/v1/b/bucket-x/o?uploadType=media&name=o", 405),
        ("POST", "/upload/storage/v1/b/bucket-x", 404),
        ("GET", "/storage/v1/b/bucket-x/o/%zz", 400),
        ("GET", "/storage/v1/b/bucket-x/o/%ff", 400),
        ("GET", "/storage/v1/b/bucket-x/o/o%0A", 400),
        ("GET", "/storage/v1/b/bucket-x/o/" + "x" * 1025, 400),
        ("GET", "/storage/v1/b/UPPER/o", 400),
        ("GET", "/storage/v1/b/%2e%2e/o", 400),
        ("GET", "/storage/v1/b/bucket-x/o?maxResults=-1", 400),
    ],
)
def test_what_is_no_call_is_refused(storage: Any, verb: str, path: str, status: int) -> None:
    """With a status and a body in Cloud Storage's shape."""
    answer = storage.call(verb, path)
    assert (answer.status, answer.error["code"]) == (status, status)
    assert answer.error["errors"][0]["domain"] == "global"


def test_pages_of_others_cannot_upload(storage: Any) -> None:
    """A foreign web page in a browser on this machine is refused before anything is stored."""
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert storage.upload("o", b"x", headers=headers).status == 403
    assert not storage.directory.exists()


def test_a_job_and_the_endpoint_see_the_same_bytes(storage: Any) -> None:
    """What a replica writes under TRAINYARD_GCS_ROOT is an object at once, and it reads what was uploaded."""
    from edge_server import Api, running

    storage.upload("in.txt", b"from outside")
    script = 'cd "$TRAINYARD_GCS_ROOT/$1"; cat in.txt; mkdir out; printf made > out/o'
    api = Api(storage.server.port, f"p-{uuid.uuid4().hex[:8]}")
    job = api.wait(api.made(running("sh", "-c", script, "sh", storage.bucket))["name"])
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    logged = api.call("GET", f"/trainyard/v1/{job['name']}/logs/workerpool0-0/stdout")
    assert logged.body == b"from outside"
    assert storage.media("out%2Fo").body == b"made"
    api.close()


def test_with_credentials_nobody_else_gets_in(tmp_path: Path) -> None:
    """Where the service asks for credentials, so does the endpoint, in Cloud Storage's shape."""
    with Server(tmp_path / "data", "--auth") as server:
        storage = Storage(server, "b-auth")
        refused = storage.call("GET", "/storage/v1/b/b-auth")
        assert (refused.status, refused.error["errors"][0]["reason"]) == (401, "authError")
        assert storage.upload("o", b"x").status == 401
        assert not storage.directory.exists()
