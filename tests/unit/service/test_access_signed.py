"""Signed URLs: what Google's own client signs counts, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from trainyard.core.clock import MICROSECONDS, rfc3339
from trainyard.credentials import Credential, Form, new_account
from trainyard.service.access_signed import BadSignedUrl, SignedRequest, check_times, is_signed_url, verify

NOW_US = 1_795_000_000 * MICROSECONDS
KEY, ACCOUNT = new_account(Credential("ci", Form.ACCOUNT, "user", (), 0), "p1", "http://h:1")
_, OTHER = new_account(Credential("eve", Form.ACCOUNT, "user", (), 0), "p1", "http://h:1")
NOW = "20261118T110640Z"  # NOW_US


def signed(version: str = "v4", path: str = "/bkt/a%20b", method: str = "GET", **more: Any) -> SignedRequest:
    """What a client of the URL sends that google-cloud-storage signs with our key file."""
    _signing = pytest.importorskip("google.cloud.storage._signing")
    from google.oauth2.service_account import Credentials

    holder = Credentials.from_service_account_info(KEY)
    headers = dict(more.get("headers", {}))
    if headers:
        more["headers"] = {name: value for name, value in headers.items() if name != "x-goog-resumable"}
    if version == "v4":
        url = _signing.generate_signed_url_v4(
            holder, path, **{"expiration": 60, "api_access_endpoint": "http://h:1", "method": method,
                             "_request_timestamp": NOW, **more}
        )  # fmt: skip
    else:
        more.setdefault("expiration", NOW_US // MICROSECONDS + 60)
        url = _signing.generate_signed_url_v2(holder, path, api_access_endpoint="http://h:1", method=method, **more)
    return asked(url, "POST" if method == "RESUMABLE" else method, headers)


def asked(url: str, method: str, headers: Mapping[str, str]) -> SignedRequest:
    parts = urlsplit(url)
    lower = {name.lower(): value for name, value in {"Host": parts.netloc, **headers}.items()}
    return SignedRequest(method, parts.path, parse_qsl(parts.query, keep_blank_values=True), lower)


def changed(request: SignedRequest, **more: Any) -> SignedRequest:
    """Another path, method, header (None takes it away) or parameter than was signed."""
    query = [(key, more.get("query", {}).get(key, value)) for key, value in request.query]
    headers = {key: value for key, value in {**request.headers, **more.get("headers", {})}.items() if value is not None}
    return SignedRequest(more.get("method", request.method), more.get("path", request.path), query, headers)


def refused(request: SignedRequest, now_us: int = NOW_US) -> BadSignedUrl:
    with pytest.raises(BadSignedUrl) as caught:
        verify(request, [OTHER, ACCOUNT], now_us)
    return caught.value


@pytest.mark.clients
@pytest.mark.parametrize("version", ["v4", "v2"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"method": "PUT"},
        {"method": "PUT", "headers": {"x-goog-meta-a": "b  c", "X-Goog-If-Generation-Match": "0"}},
        {"method": "RESUMABLE", "headers": {"x-goog-resumable": "start"}},
        {"response_type": "text/csv", "response_disposition": "attachment; filename=é.csv", "generation": "7"},
        {"query_parameters": {"b": "2 ", "a": "x/y~z+"}},
        {"path": "/bkt/%C3%BC%7Ex/~"},
    ],
    ids=["get", "put", "headers", "resumable", "answer", "query", "name"],
)
def test_what_the_official_client_signs_is_its_accounts(version: str, more: Mapping[str, Any]) -> None:
    """Both versions, with headers, parameters and names of every kind."""
    if version == "v2" and "query_parameters" in more:
        more = {"query_parameters": {"b": "2", "a": "x/y~z+"}}
    assert verify(signed(version, **more), [OTHER, ACCOUNT], NOW_US) is ACCOUNT


@pytest.mark.clients
@pytest.mark.parametrize("version", ["v4", "v2"])
@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"method": "DELETE"}, {"SignatureDoesNotMatch"}),
        ({"path": "/bkt/other"}, {"SignatureDoesNotMatch"}),
        ({"headers": {"x-goog-meta-a": "other"}}, {"SignatureDoesNotMatch"}),
        ({"headers": {"x-goog-meta-a": None}}, {"SignatureDoesNotMatch", "MalformedSecurityHeader"}),
        ({"headers": {"x-goog-meta-b": "more"}}, {"SignatureDoesNotMatch", "MalformedSecurityHeader"}),
        ({"query": {"X-Goog-Expires": "61", "Expires": "1795000061"}}, {"SignatureDoesNotMatch"}),
        ({"query": {"X-Goog-Signature": "00", "Signature": "AAAA"}}, {"SignatureDoesNotMatch"}),
        ({"query": {"X-Goog-Signature": "zz", "Signature": "%"}}, {"InvalidArgument"}),
        ({"query": {"X-Goog-Expires": "-1", "Expires": "soon"}}, {"InvalidArgument"}),
        ({"query": {"X-Goog-Credential": f"{OTHER.email}/20261118/auto/storage/goog4_request",
                    "GoogleAccessId": OTHER.email}}, {"SignatureDoesNotMatch"}),
        ({"query": {"X-Goog-Credential": "no@where/20261118/auto/storage/goog4_request",
                    "GoogleAccessId": "no@where"}}, {"AccessDenied"}),
    ],
)  # fmt: skip
def test_anything_else_than_was_signed_is_refused(version: str, change: Mapping[str, Any], codes: set[str]) -> None:
    """Method, name, headers, life, key and account are all under the signature."""
    assert refused(changed(signed(version, headers={"x-goog-meta-a": "b"}), **change)).code in codes


@pytest.mark.clients
@pytest.mark.parametrize("version", ["v4", "v2"])
def test_a_signed_url_ends(version: str) -> None:
    """At the very second; the error says when."""
    error = refused(signed(version), NOW_US + 60 * MICROSECONDS)
    ended = rfc3339(NOW_US + 60 * MICROSECONDS)
    assert (error.code, error.details) == ("ExpiredToken", f"Request signature expired at: {ended}")
    assert verify(signed(version), [ACCOUNT], NOW_US + 59 * MICROSECONDS) is ACCOUNT


@pytest.mark.clients
@pytest.mark.parametrize(
    ("parameter", "value", "code"),
    [
        ("X-Goog-Expires", "604801", "InvalidArgument"),
        ("X-Goog-Date", "20261118T235959Z", "RequestTimeTooSkewed"),
        ("X-Goog-Date", "20261399T120000Z", "InvalidArgument"),
        ("X-Goog-Date", "today", "InvalidArgument"),
        ("X-Goog-Algorithm", "GOOG4-HMAC-SHA256", "InvalidArgument"),
        ("X-Goog-Credential", "ci", "InvalidArgument"),
        ("X-Goog-Credential", f"{ACCOUNT.email}/20261117/auto/storage/goog4_request", "InvalidArgument"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(parameter: str, value: str, code: str) -> None:
    """Too long a life, a day in the future, another algorithm, a scope that is none."""
    assert refused(changed(signed(), query={parameter: value})).code == code


@pytest.mark.clients
def test_the_mismatch_shows_what_was_to_be_signed() -> None:
    """As the original, so that a client's author finds the difference."""
    error = refused(changed(signed(), path="/bkt/other"))
    assert error.more["CanonicalRequest"].startswith("GET\n/bkt/other\nX-Goog-Algorithm=GOOG4-RSA-SHA256&")
    assert error.more["StringToSign"].startswith(f"GOOG4-RSA-SHA256\n{NOW}\n20261118/auto/storage/goog4_request\n")


@pytest.mark.clients
def test_googles_own_name_may_have_been_signed() -> None:
    """A program that names Google's host itself is turned here from outside; its signature still counts."""
    request = signed(api_access_endpoint="https://storage.googleapis.com")
    assert verify(changed(request, headers={"host": "127.0.0.1:8470"}), [ACCOUNT], NOW_US) is ACCOUNT


def test_a_missing_parameter_is_named() -> None:
    """Half a signed URL is none."""
    with pytest.raises(BadSignedUrl, match="x-goog-expires is missing"):
        check_times(SignedRequest("GET", "/b/o", [("X-Goog-Signature", "00")], {}), NOW_US)
    assert not is_signed_url(["Expires", "Signature", "X-Goog-Date"])
    assert is_signed_url(["x-goog-signature"])
    assert is_signed_url(["GoogleAccessId", "Expires", "Signature"])
