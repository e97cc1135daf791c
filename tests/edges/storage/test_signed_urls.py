"""Signed URLs made by google-cloud-storage with our key files, used by clients that hold no credential."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from edge_server import Answer, Server

pytestmark = pytest.mark.clients


class Signer:
    """A service over clear text that asks who calls, and an account of it."""

    def __init__(self, server: Server, directory: Path, name: str, role: str) -> None:
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud import storage
        from google.oauth2.service_account import Credentials

        self.server = server
        key, endpoint = directory / f"{name}.json", f"http://127.0.0.1:{server.port}"
        command = [sys.executable, "-m", "trainyard", "tokens", "create", name, "--as", "service-account"]
        command += ["--role", role, "--data-dir", str(server.data_dir), "--endpoint", endpoint, "--out", str(key)]
        subprocess.run(command, check=True, capture_output=True)
        made = Credentials.from_service_account_file(str(key))
        own = made.with_scopes(["https://www.googleapis.com/auth/devstorage.full_control"])
        self.client = storage.Client(
            "p1", made, _http=AuthorizedSession(own), client_options={"api_endpoint": endpoint}
        )
        self.bucket = self.client.bucket("signed")

    def url(self, name: str, version: str, method: str = "GET", **more: Any) -> str:
        """blob.generate_signed_url."""
        url: str = self.bucket.blob(name).generate_signed_url(
            **{"expiration": timedelta(minutes=5), "version": version, "method": method,
               "api_access_endpoint": f"http://127.0.0.1:{self.server.port}", **more}
        )  # fmt: skip
        return url

    def send(
        self, url: str, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A request with no credential but the URL."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        connection.request(method, f"{parts.path}?{parts.query}", body or None, dict(headers or {}))
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("signed") / "data", "--auth") as server:
        yield server


@pytest.fixture(scope="module")
def signer(closed: Server, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(closed, tmp_path_factory.mktemp("keys"), "signer", "user")


VERSIONS = pytest.mark.parametrize("version", ["v4", "v2"])


@VERSIONS
def test_whoever_holds_the_url_downloads(signer: Signer, version: str) -> None:
    """Whole, by range, as HEAD, and under the type and name that the signer chose."""
    name = f"dir/ü b~{version}.csv"
    signer.bucket.blob(name).upload_from_string(b"0123456789", content_type="text/csv")
    url = signer.url(name, version, response_type="text/plain", response_disposition="attachment; filename=x.csv")
    answer = signer.send(url)
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-disposition"] == "attachment; filename=x.csv"
    assert signer.send(url, headers={"Range": "bytes=2-4"}).body == b"234"
    head = signer.send(signer.url(name, version, "HEAD"), "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, "10", b"")


@VERSIONS
def test_whoever_holds_the_url_uploads_and_deletes(signer: Signer, version: str) -> None:
    """With the headers that were signed, preconditions and hashes among them."""
    name, headers = f"up-{version}", {"x-goog-meta-who": "ann", "x-goog-if-generation-match": "0"}
    put = signer.url(name, version, "PUT", headers=headers, content_type="text/x-a")
    sent = {**headers, "Content-Type": "text/x-a"}
    answer = signer.send(put, "PUT", b"some bytes", sent)
    assert (answer.status, answer.body) == (200, b"")
    blob = signer.bucket.get_blob(name)
    assert (blob.size, blob.content_type, blob.metadata) == (10, "text/x-a", {"who": "ann"})
    assert answer.headers["x-goog-generation"] == str(blob.generation)
    again = signer.send(put, "PUT", b"other", sent)
    assert (again.status, b"<Code>PreconditionFailed</Code>" in again.body) == (412, True)
    bad = signer.send(signer.url(name, version, "PUT"), "PUT", b"x", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert (bad.status, b"SignatureDoesNotMatch" in bad.body) == ((403, True) if version == "v2" else (400, False))
    assert signer.send(signer.url(name, version, "DELETE"), "DELETE").status == 204
    gone = signer.send(signer.url(name, version))
    assert (gone.status, b"<Code>NoSuchKey</Code>" in gone.body) == (404, True)
    assert gone.headers["content-type"] == "application/xml; charset=UTF-8"


@VERSIONS
def test_a_signed_start_gives_an_address_that_takes_the_rest(signer: Signer, version: str) -> None:
    """A resumable upload: the address of its session is credential enough; it opens nothing else."""
    begun = signer.send(
        signer.url(f"big-{version}", version, "RESUMABLE"), "POST", headers={"x-goog-resumable": "start"}
    )
    assert begun.status == 200, begun.body
    address = begun.headers["location"]
    half = signer.send(address, "PUT", b"a" * 262144, {"Content-Range": "bytes 0-262143/262150"})
    assert (half.status, half.headers["range"]) == (308, "bytes=0-262143")
    rest = signer.send(address, "PUT", b"bcdefg", {"Content-Range": "bytes 262144-262149/262150"})
    assert rest.status == 200, rest.body
    assert signer.bucket.get_blob(f"big-{version}").size == 262150
    session = urlsplit(address).query
    for method, path in (("GET", "/storage/v1/b/signed/o"), ("DELETE", f"/storage/v1/b/signed/o/big-{version}")):
        assert signer.send(f"{path}?{session}", method).status == 401
    unknown = "/upload/storage/v1/b/signed/o?uploadType=resumable&upload_id=unknown"
    assert signer.send(unknown, "PUT", b"x").status == 404
    lines = [json.loads(line) for line in (signer.server.data_dir / "audit.log").read_text().splitlines()]
    (done,) = (each for each in lines if each["resource"] == f"b/signed/o/big-{version}")
    assert (done["who"], done["what"]) == ("signer@demo.iam.gserviceaccount.com", "storage.objects.create")


def test_why_a_url_is_refused_is_told_in_xml(signer: Signer) -> None:
    """Another method or name, a time that is over, a header that was not signed: the original's codes and bodies."""
    url = signer.url("o", "v4")
    cases = {
        "SignatureDoesNotMatch": (403, signer.send(url, "PUT", b"x")),
        "ExpiredToken": (400, signer.send(signer.url("o", "v2", expiration=1_600_000_000))),
        "MalformedSecurityHeader": (400, signer.send(url, headers={"x-goog-meta-a": "b"})),
        "InvalidArgument": (400, signer.send(url.replace("X-Goog-Date", "X-Goog-Day"))),
    }
    for code, (status, answer) in cases.items():
        assert answer.status == status, answer.body
        assert answer.body.startswith(f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>".encode())
    assert b"<StringToSign>GOOG4-RSA-SHA256\n" in cases["SignatureDoesNotMatch"][1].body


def test_a_url_may_no_more_than_its_signer(closed: Server, signer: Signer, tmp_path: Path) -> None:
    """A viewer's URL uploads nothing; a revoked account's URL does nothing at all."""
    viewer = Signer(closed, tmp_path, "looker", "viewer")
    signer.bucket.blob("seen").upload_from_string(b"x")
    refused = viewer.send(viewer.url("new", "v4", "PUT"), "PUT", b"x")
    assert (refused.status, b"<Code>AccessDenied</Code>" in refused.body) == (403, True)
    good = viewer.url("seen", "v4")
    assert viewer.send(good).status == 200
    command = [sys.executable, "-m", "trainyard", "tokens", "revoke", "looker", "--data-dir", str(closed.data_dir)]
    subprocess.run(command, check=True, capture_output=True)
    assert viewer.send(good).status == 403


def test_an_open_service_looks_at_the_time_alone(server: Server, signer: Signer) -> None:
    """Nobody is asked who they are; what is over is over all the same."""
    from storage_calls import Storage

    assert Storage(server, "signed-open").upload("o", b"open").status == 200
    there = Signer.__new__(Signer)
    there.server, there.bucket = server, signer.client.bucket("signed-open")
    assert there.send(there.url("o", "v4")).body == b"open"
    assert there.send(there.url("o", "v2", expiration=1_600_000_000)).status == 400


def test_googles_own_host_serves_objects_by_their_paths(closed: Server, signer: Signer, server: Server) -> None:
    """What comes for storage.googleapis.com is the XML API's, as TensorFlow reads; credentials are asked for, too."""
    from storage_calls import Storage

    host = {"Host": "storage.googleapis.com", "Range": "bytes=1-2"}
    storage = Storage(server, "by-host")
    storage.upload("a%2Fb", b"0123")
    assert storage.call("GET", "/by-host/a/b", headers=host).body == b"12"
    missing = storage.call("GET", "/by-host/none", headers=host)
    assert (missing.status, b"<Code>NoSuchKey</Code>" in missing.body) == (404, True)
    assert Storage(closed, "signed").call("GET", "/signed/seen", headers=host).status == 401
    assert storage.call("GET", "/by-host/a/b").status == 404
