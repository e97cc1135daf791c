"""Uploads and downloads on the wire: every shape that clients send, and every way in which they go wrong."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from edge_server import Server
from storage_calls import Storage

QUANTUM = 256 * 1024


def crc(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def related(metadata: bytes, data: bytes, eol: bytes = b"\r\n", end: bytes = b"--") -> bytes:
    parts = [b"--X", b"Content-Type: application/json", b"", metadata, b"--X", b"Content-Type: text/plain", b"", data]
    return eol.join([*parts, b"--X" + end])


def send_related(storage: Any, body: bytes, boundary: str = "; boundary=X", query: str = "") -> Any:
    path = f"/upload/storage/v1/b/{storage.bucket}/o?uploadType=multipart{query}"
    return storage.call("POST", path, body, {"Content-Type": f"multipart/related{boundary}"})


def put(storage: Any, session: str, data: bytes, content_range: str) -> Any:
    return storage.call("PUT", session, data, {"Content-Range": content_range})


def test_media_comes_back_as_it_went(storage: Any) -> None:
    """Bytes, type, size and digests of an upload are told, and a download has them in its headers."""
    stored = storage.upload("a.txt", b"hello", headers={"Content-Type": "text/plain"})
    assert stored.status == 200
    assert stored.json["kind"] == "storage#object"
    assert stored.json["size"] == "5"
    assert stored.json["crc32c"] == crc(b"hello")
    assert stored.json["md5Hash"] == base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    got = storage.media("a.txt")
    assert (got.status, got.body, got.headers["content-type"]) == (200, b"hello", "text/plain")
    assert got.headers["x-goog-hash"] == f"crc32c={stored.json['crc32c']},md5={stored.json['md5Hash']}"
    assert got.headers["x-goog-generation"] == stored.json["generation"]
    assert got.headers["etag"] == stored.json["etag"]
    assert got.headers["x-goog-stored-content-length"] == "5"
    assert storage.call("GET", stored.json["mediaLink"].split("/", 3)[3].join(["/", ""])).body == b"hello"
    head = storage.call("HEAD", storage.object("a.txt", "?alt=media"))
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "5")
    assert storage.call("HEAD", storage.object("a.txt")).status == 200


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
@pytest.mark.parametrize("data", [b"", b"plain", b"--X", b"\r\n--Y\r\n", b"\r\n", b"\n\n--", os.urandom(3_000_000)])
def test_multipart_takes_any_bytes(storage: Any, data: bytes, eol: bytes) -> None:
    """Whatever the object holds, and however the client ends its lines."""
    if data == b"--X":
        data = b"x--X"
    stored = send_related(storage, related(b'{"name": "o", "metadata": {"k": "v"}}', data, eol))
    assert stored.status == 200, stored.body
    assert stored.json["metadata"] == {"k": "v"}
    assert stored.json["contentType"] == "text/plain"
    assert storage.media("o").body == data


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (related(b'{"name": "o"}', b"data"), ""),
        (related(b'{"name": "o"}', b"data", end=b""), "; boundary=X"),
        (related(b'{"name": "o"}', b"data")[:-6], "; boundary=X"),
        (related(b"{", b"data"), "; boundary=X"),
        (related(b"[]", b"data"), "; boundary=X"),
        (related(b"{}", b"data"), "; boundary=X"),
        (related(b'{"name": 5}', b"data"), "; boundary=X"),
        (related(b'{"name": "o", "kmsKeyName": "k"}', b"data"), "; boundary=X"),
        (b"", "; boundary=X"),
        (b"--Y\r\n\r\n", "; boundary=X"),
    ],
)
def test_what_is_no_multipart_body_stores_nothing(storage: Any, body: bytes, boundary: str) -> None:
    """400, and no object."""
    assert send_related(storage, body, boundary).status == 400
    assert storage.call("GET", f"/storage/v1/b/{storage.bucket}/o").json == {"kind": "storage#objects"}


@pytest.mark.parametrize("length", [0, 1, QUANTUM, 5 * QUANTUM + 7])
def test_resumable_in_one_piece(storage: Any, length: int) -> None:
    """A session and one PUT without a Content-Range."""
    data = os.urandom(length)
    done = storage.call("PUT", storage.begin("o"), data)
    assert done.status == 200
    assert storage.media("o").body == data


def test_resumable_in_pieces(storage: Any) -> None:
    """308 tells what is durable, a status query tells it again, and the last piece makes the object."""
    data = os.urandom(2 * QUANTUM + 100)
    session = storage.begin("o", {"X-Upload-Content-Length": str(len(data))})
    empty = put(storage, session, b"", f"bytes */{len(data)}")
    assert (empty.status, "range" in empty.headers) == (308, False)
    first = put(storage, session, data[:QUANTUM], f"bytes 0-{QUANTUM - 1}/{len(data)}")
    assert (first.status, first.headers["range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    assert put(storage, session, b"", "bytes */*").headers["range"] == first.headers["range"]
    again = put(storage, session, data[: 2 * QUANTUM], f"bytes 0-{2 * QUANTUM - 1}/*")
    assert again.headers["range"] == f"bytes=0-{2 * QUANTUM - 1}"
    last = put(storage, session, data[2 * QUANTUM :], f"bytes {2 * QUANTUM}-{len(data) - 1}/{len(data)}")
    assert last.status == 200
    assert storage.media("o").body == data
    asked_again = put(storage, session, b"", f"bytes */{len(data)}")
    assert (asked_again.status, asked_again.json["generation"]) == (200, last.json["generation"])


def test_a_total_told_at_the_end_finishes(storage: Any) -> None:
    """`bytes */N` with all N bytes there makes the object."""
    session = storage.begin("o")
    assert put(storage, session, b"x" * QUANTUM, f"bytes 0-{QUANTUM - 1}/*").status == 308
    assert put(storage, session, b"", f"bytes */{QUANTUM}").status == 200
    assert storage.media("o").body == b"x" * QUANTUM


def test_an_uneven_piece_counts_to_the_last_whole_quantum(storage: Any) -> None:
    """What is over is sent again by the client, which the Range tells it."""
    data = os.urandom(QUANTUM + 1000)
    session = storage.begin("o")
    part = put(storage, session, data, f"bytes 0-{len(data) - 1}/*")
    assert (part.status, part.headers["range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    rest = put(storage, session, data[QUANTUM:], f"bytes {QUANTUM}-{len(data) - 1}/{len(data)}")
    assert rest.status == 200
    assert storage.media("o").body == data


@pytest.mark.parametrize(
    ("size", "content_range", "says"),
    [
        (10, "bytes 0-9/*", "equal or greater than 262144"),
        (10, "bytes 5-14/15", "exceeds already uploaded size of 0"),
        (5, "bytes 0-9/10", "There were 5 byte(s)"),
        (15, "bytes 0-9/10", "There were 15 byte(s)"),
        (10, "bytes 0-9/5", "Failed to parse Content-Range"),
        (10, "bytes 9-0/10", "Failed to parse Content-Range"),
        (10, "0-9/10", "Failed to parse Content-Range"),
        (10, "bytes a-b/10", "Failed to parse Content-Range"),
        (10, "bytes 0-9", "Failed to parse Content-Range"),
    ],
)
def test_a_wrong_content_range_is_told(storage: Any, size: int, content_range: str, says: str) -> None:
    """400 with the original's sentence, and the session goes on."""
    session = storage.begin("o")
    answer = put(storage, session, b"x" * size, content_range)
    assert answer.status == 400
    assert says in answer.error["message"]
    assert storage.call("GET", storage.object("o")).status == 404


def test_another_total_than_at_first_is_refused(storage: Any) -> None:
    """The length that was declared is the length."""
    session = storage.begin("o", {"X-Upload-Content-Length": "20"})
    assert put(storage, session, b"x" * 10, "bytes 0-9/10").status == 400


def test_a_cancelled_session_is_gone(storage: Any) -> None:
    """499, then 404 for whoever goes on; an unknown session is a 404 as well."""
    session = storage.begin("o")
    assert storage.call("DELETE", session).status == 499
    assert put(storage, session, b"x", "bytes 0-0/1").status == 404
    assert put(storage, session[:-4] + "none", b"x", "bytes 0-0/1").status == 404


def test_wrong_digests_are_refused_everywhere(storage: Any) -> None:
    """400 `invalid` whichever way the digest came, and no object."""
    wrong = {"crc32c": crc(b"other"), "md5Hash": base64.b64encode(hashlib.md5(b"other").digest()).decode()}
    for field, value in wrong.items():
        name = {"crc32c": "crc32c", "md5Hash": "md5"}[field]
        answers = [
            storage.upload("o", b"data", headers={"X-Goog-Hash": f"{name}={value}"}),
            send_related(storage, related(json.dumps({"name": "o", field: value}).encode(), b"data")),
            storage.call("PUT", storage.begin("o"), b"data", {"X-Goog-Hash": f"{name}={value}"}),
        ]
        for answer in answers:
            assert (answer.status, answer.error["errors"][0]["reason"]) == (400, "invalid")
            assert "doesn't match calculated" in answer.error["message"]
    assert storage.upload("o", b"data", headers={"X-Goog-Hash": "crc32c=AAA="}).status == 400
    assert storage.upload("o", b"data", headers={"Content-MD5": wrong["md5Hash"]}).status == 400
    assert storage.call("GET", storage.object("o")).status == 404
    assert storage.upload("o", b"data", headers={"X-Goog-Hash": f"crc32c={crc(b'data')}"}).status == 200


def test_a_client_that_leaves_in_the_middle_leaves_nothing(storage: Any) -> None:
    """Half an upload is no object and no draft; a resumable one keeps what came."""
    drafts = storage.server.data_dir / "objects" / "drafts"
    before = set(drafts.iterdir())
    session = storage.begin("r")
    head = f"HTTP/1.1\r\nHost: x\r\nContent-Length: {10 * QUANTUM}\r\n"
    for verb, path, extra in (
        ("POST", f"/upload/storage/v1/b/{storage.bucket}/o?uploadType=media&name=o", ""),
        ("PUT", session, f"Content-Range: bytes 0-{10 * QUANTUM - 1}/{10 * QUANTUM}\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", storage.server.port)) as connection:
            connection.sendall(f"{verb} {path} {head}{extra}\r\n".encode() + b"x" * (3 * QUANTUM + 5))
            time.sleep(0.2)
    deadline = time.monotonic() + 60
    while (status := put(storage, session, b"", "bytes */*")).headers.get("range") != f"bytes=0-{3 * QUANTUM + 4}":
        assert time.monotonic() < deadline, status.headers
    assert storage.call("GET", storage.object("o")).status == 404
    rest = put(storage, session, b"y" * (7 * QUANTUM - 5), f"bytes {3 * QUANTUM + 5}-{10 * QUANTUM - 1}/{10 * QUANTUM}")
    assert rest.status == 200
    assert storage.media("r").body == b"x" * (3 * QUANTUM + 5) + b"y" * (7 * QUANTUM - 5)
    while set(drafts.iterdir()) - before:
        assert time.monotonic() < deadline, set(drafts.iterdir()) - before


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=2-5", 206, 2, 6),
        ("bytes=5-", 206, 5, 10),
        ("bytes=-3", 206, 7, 10),
        ("bytes=-99", 206, 0, 10),
        ("bytes=8-99", 206, 8, 10),
        ("bytes=5-2", 200, 0, 10),
        ("bytes=a-b", 200, 0, 10),
        ("lines=1-2", 200, 0, 10),
        ("bytes=-", 200, 0, 10),
        ("bytes=0-1,3-4", 200, 0, 10),
    ],
)
def test_ranges(storage: Any, asked: str, status: int, begin: int, end: int) -> None:
    """One range is served; what is none is ignored, as the standard says."""
    storage.upload("o", b"0123456789")
    got = storage.media("o", {"Range": asked})
    assert (got.status, got.body) == (status, b"0123456789"[begin:end])
    if status == 206:
        assert got.headers["content-range"] == f"bytes {begin}-{end - 1}/10"


@pytest.mark.parametrize(("size", "asked"), [(10, "bytes=10-"), (10, "bytes=-0"), (0, "bytes=0-"), (0, "bytes=0-5")])
def test_a_range_behind_the_end_is_416(storage: Any, size: int, asked: str) -> None:
    """With the size in Content-Range."""
    storage.upload("o", b"x" * size)
    got = storage.media("o", {"Range": asked})
    assert (got.status, got.headers["content-range"]) == (416, f"bytes */{size}")


def test_ranges_of_large_objects(storage: Any) -> None:
    """In chunks, across their borders."""
    data = os.urandom(5_000_001)
    storage.upload("o", data)
    assert storage.media("o").body == data
    assert storage.media("o", {"Range": "bytes=1048575-3145729"}).body == data[1048575:3145730]


def test_gzip_is_unpacked_for_who_does_not_take_it(storage: Any) -> None:
    """Decompressive transcoding: stored bytes to who takes gzip, plain ones to others, never where no-transform is."""
    plain = os.urandom(1000) * 3000
    packed = gzip.compress(plain)
    storage.upload("o", packed, "&contentEncoding=gzip", {"Content-Type": "text/plain"})
    taken = storage.media("o", {"Accept-Encoding": "gzip"})
    assert (taken.body, taken.headers["content-encoding"]) == (packed, "gzip")
    other = storage.media("o", {"Accept-Encoding": "identity", "Range": "bytes=0-5"})
    assert (other.status, other.body) == (200, plain)
    assert other.headers["x-goog-stored-content-encoding"] == "gzip"
    assert "content-encoding" not in other.headers
    storage.call("PATCH", storage.object("o"), {"cacheControl": "no-transform"})
    assert storage.media("o", {"Accept-Encoding": "identity"}).body == packed


def test_preconditions_of_reads(storage: Any) -> None:
    """304 where nothing differs, 412 where the reader expects another, 404 before either."""
    generation = storage.upload("o", b"x").json["generation"]
    assert storage.media("o", query=f"&ifGenerationNotMatch={generation}").status == 304
    assert storage.call("GET", storage.object("o", "?ifMetagenerationNotMatch=1")).status == 304
    assert storage.media("o", query="&ifGenerationMatch=5").status == 412
    assert storage.media("none", query="&ifGenerationMatch=5").status == 404
    bad = storage.call("GET", storage.object("o", "?ifGenerationMatch=x"))
    assert (bad.status, bad.error["errors"][0]["reason"]) == (400, "invalid")


def test_errors_of_media_are_text_and_of_metadata_json(storage: Any) -> None:
    """As the original does, in the original's words."""
    storage.upload("o", b"x")
    media = storage.media("none")
    assert (media.status, media.body) == (404, f"No such object: {storage.bucket}/none".encode())
    found = storage.call("GET", storage.object("none"))
    message = f"No such object: {storage.bucket}/none"
    detail = {"message": message, "domain": "global", "reason": "notFound"}
    assert found.json == {"error": {"code": 404, "message": message, "errors": [detail]}}
    met = storage.upload("o", b"x", "&ifGenerationMatch=0")
    assert met.error["errors"][0] | {"message": ""} == {
        "message": "", "domain": "global", "reason": "conditionNotMet", "locationType": "header",
        "location": "If-Match",
    }  # fmt: skip


def test_large_uploads_stay_out_of_memory(storage: Any) -> None:
    """300 MB up and down without the service's memory growing by a tenth of it."""
    storage.upload("warm", b"x" * 5_000_000)
    storage.media("warm")
    before = storage.server.memory_bytes()
    block = os.urandom(1 << 20)
    connection = http.client.HTTPConnection("127.0.0.1", storage.server.port, timeout=120)
    path = f"/upload/storage/v1/b/{storage.bucket}/o?uploadType=media&name=big"
    connection.request("POST", path, (block for _ in range(300)), {"Content-Length": str(300 << 20)})
    answer = connection.getresponse()
    assert json.loads(answer.read())["size"] == str(300 << 20)
    during = storage.server.memory_bytes()
    connection.request("GET", storage.object("big", "?alt=media"))
    response, size = connection.getresponse(), 0
    while chunk := response.read(1 << 20):
        size += len(chunk)
    connection.close()
    assert size == 300 << 20
    assert max(during, storage.server.memory_bytes()) - before < 30 << 20
    storage.call("DELETE", storage.object("big"))


def test_a_session_survives_the_server(tmp_path: Path) -> None:
    """After kill -9 an upload goes on from what a 308 has counted, and whole objects are as they were."""
    data = os.urandom(3 * QUANTUM)
    with Server(tmp_path / "data") as first:
        storage = Storage(first, "b")
        done = storage.upload("done", b"durable", headers={"Content-Type": "a/b"}).json
        session = storage.begin("o")
        assert put(storage, session, data[:QUANTUM], f"bytes 0-{QUANTUM - 1}/*").status == 308
        first.process.kill()
        first.process.wait()
    with Server(tmp_path / "data") as second:
        storage = Storage(second, "b")
        link = storage.call("GET", storage.object("done")).json
        changing = {"selfLink", "mediaLink"}
        assert {k: v for k, v in link.items() if k not in changing} == {
            k: v for k, v in done.items() if k not in changing
        }
        assert put(storage, session, b"", "bytes */*").headers["range"] == f"bytes=0-{QUANTUM - 1}"
        rest = put(storage, session, data[QUANTUM:], f"bytes {QUANTUM}-{len(data) - 1}/{len(data)}")
        assert rest.status == 200
        assert rest.json["crc32c"] == crc(data)
        assert storage.media("o").body == data
