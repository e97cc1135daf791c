"""Signed URLs (V4 and V2) of service accounts that we issued: who holds one may do just what it says, until it ends.

V4: https://cloud.google.com/storage/docs/authentication/signatures, V2:
https://cloud.google.com/storage/docs/access-control/signed-urls-v2. Only RSA counts, by the key of the account's entry.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import hashlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from trainyard.core.clock import MICROSECONDS, rfc3339
from trainyard.credentials import Credential
from trainyard.service.access_jwt import is_signed

MOST_SECONDS: Final = 7 * 24 * 3600
SKEW_SECONDS: Final = 15 * 60
ALGORITHM: Final = "GOOG4-RSA-SHA256"
V4: Final = "x-goog-signature"
V2: Final = frozenset({"googleaccessid", "expires", "signature"})
_GOOGLES_HOST: Final = "storage.googleapis.com"
_NOT_SIGNED_V2: Final = frozenset({
    *V2, "response-content-type", "response-content-disposition", "generation", "userproject",
})  # fmt: skip
_SCOPE: Final = re.compile(r"(?P<email>.+)/(?P<day>\d{8})/[A-Za-z0-9-]+/storage/goog4_request\Z")
_DATE: Final = re.compile(r"\d{8}T\d{6}Z\Z")
_SPACES: Final = re.compile(r"\s+")


class BadSignedUrl(Exception):
    """The URL allows nothing; `code` is the XML API's word for why, `more` what its error tells besides."""

    def __init__(self, code: str, details: str, **more: str) -> None:
        """`details` in the original's words."""
        super().__init__(details)
        self.code = code
        self.details = details
        self.more = more


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its signature has it: `path` undecoded, `query` decoded, header names in lower case."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]

    def parameter(self, name: str) -> str:
        """The value of a query parameter, by lower-case name; BadSignedUrl where it is missing."""
        for key, value in self.query:
            if key.lower() == name:
                return value
        raise BadSignedUrl("InvalidArgument", f"The query parameter {name} is missing in the signed URL.")


def is_signed_url(names: Iterable[str]) -> bool:
    """Whether these names of query parameters are those of a signed URL."""
    lower = {name.lower() for name in names}
    return V4 in lower or lower >= V2


def check_times(asked: SignedRequest, now_us: int) -> None:
    """Raise BadSignedUrl where the URL holds no longer, not yet, or for too long."""
    begins, ends = _life(asked)
    if ends - begins > MOST_SECONDS and _is_v4(asked):
        raise BadSignedUrl("InvalidArgument", f"Expires must be between 1 and {MOST_SECONDS} seconds.")
    now = now_us / MICROSECONDS
    if begins > now + SKEW_SECONDS:
        raise BadSignedUrl(
            "RequestTimeTooSkewed", "The signed URL is of the future; look at the clocks of both machines."
        )
    if ends <= now:
        raise BadSignedUrl("ExpiredToken", f"Request signature expired at: {rfc3339(ends * MICROSECONDS)}")


def verify(asked: SignedRequest, accounts: Iterable[Credential], now_us: int) -> Credential:
    """The account that signed the URL for this very request. Raises BadSignedUrl."""
    check_times(asked, now_us)
    email = _email(asked)
    account = next((each for each in accounts if each.email == email), None)
    if account is None:
        raise BadSignedUrl("AccessDenied", f"{email} is no service account of this service.")
    signature, texts = _signature(asked), _texts(asked)
    if not any(is_signed(account.public_key, text.encode("utf-8", "replace"), signature) for _, text in texts):
        canonical, text = texts[0]
        more = {"StringToSign": text, **({"CanonicalRequest": canonical} if canonical else {})}
        raise BadSignedUrl(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your Google secret "
            "key and signing method.",
            **more,
        )
    return account


def _is_v4(asked: SignedRequest) -> bool:
    return any(key.lower() == V4 for key, _ in asked.query)


def _life(asked: SignedRequest) -> tuple[int, int]:
    """When the URL begins and ceases to hold, in seconds since the epoch."""
    name = "x-goog-expires" if _is_v4(asked) else "expires"
    text = asked.parameter(name)
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise BadSignedUrl("InvalidArgument", f"{name} is {text!r}, which is not a number of seconds.")
    if name == "expires":
        return 0, int(text)
    date = asked.parameter("x-goog-date")
    try:
        if not _DATE.match(date):
            raise ValueError(date)
        begins = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise BadSignedUrl("InvalidArgument", f"x-goog-date is {date!r}, not such as 20261121T100000Z.") from None
    return begins, begins + int(text)


def _email(asked: SignedRequest) -> str:
    if not _is_v4(asked):
        return asked.parameter("googleaccessid")
    scope = _SCOPE.match(asked.parameter("x-goog-credential"))
    if scope is None or scope["day"] != asked.parameter("x-goog-date")[:8]:
        raise BadSignedUrl("InvalidArgument", "X-Goog-Credential is not EMAIL/DAY/LOCATION/storage/goog4_request.")
    if asked.parameter("x-goog-algorithm") != ALGORITHM:
        raise BadSignedUrl("InvalidArgument", f"X-Goog-Algorithm has to be {ALGORITHM}.")
    return scope["email"]


def _signature(asked: SignedRequest) -> bytes:
    try:
        if _is_v4(asked):
            return bytes.fromhex(asked.parameter(V4))
        return base64.b64decode(asked.parameter("signature"), validate=True)
    except (ValueError, binascii.Error):
        raise BadSignedUrl("InvalidArgument", "The signature is not in hexadecimal (V4) or base64 (V2).") from None


def _texts(asked: SignedRequest) -> list[tuple[str, str]]:
    """What may have been signed: canonical request (V4 alone) and string to sign."""
    return _texts_v4(asked) if _is_v4(asked) else [("", text) for text in _texts_v2(asked)]


def _texts_v4(asked: SignedRequest) -> list[tuple[str, str]]:
    names = asked.parameter("x-goog-signedheaders").split(";")
    for name in names:
        if name not in asked.headers:
            raise _malformed(name, "Header was included in signedheaders, but not in the request.")
    for name in asked.headers:
        if name.startswith("x-goog-") and name not in names:
            raise _malformed(name, "Header was included in the request, but not in signedheaders.")
    query = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in asked.query if k.lower() != V4)
    date, scope = asked.parameter("x-goog-date"), asked.parameter("x-goog-credential").partition("/")[2]
    found = []
    # A client that was turned here from outside has signed Google's name (trainyard exec).
    for host in (asked.headers.get("host", ""), _GOOGLES_HOST):
        headers = {**asked.headers, "host": host}
        lines = [f"{name}:{_SPACES.sub(' ', headers[name].strip())}\n" for name in names]
        payload = headers["x-goog-content-sha256"] if "x-goog-content-sha256" in names else "UNSIGNED-PAYLOAD"
        pairs = "&".join(f"{key}={value}" for key, value in query)
        canonical = "\n".join((asked.method, asked.path, pairs, "".join(lines), ";".join(names), payload))
        digest = hashlib.sha256(canonical.encode("utf-8", "replace")).hexdigest()
        found.append((canonical, "\n".join((ALGORITHM, date, scope, digest))))
    return found


def _texts_v2(asked: SignedRequest) -> list[str]:
    headers = asked.headers
    extension = sorted(name for name in headers if name.startswith("x-goog-") and "encryption-key" not in name)
    head = [
        asked.method, headers.get("content-md5", ""), headers.get("content-type", ""), asked.parameter("expires"),
        *(f"{name}:{_SPACES.sub(' ', headers[name].strip())}" for name in extension),
    ]  # fmt: skip
    rest = sorted((key.lower(), value.strip()) for key, value in asked.query if key.lower() not in _NOT_SIGNED_V2)
    resources = [f"{asked.path}?{urlencode(rest)}", asked.path] if rest else [asked.path]
    return ["\n".join((*head, resource)) for resource in resources]


def _malformed(name: str, details: str) -> BadSignedUrl:
    return BadSignedUrl("MalformedSecurityHeader", details, ParameterName=name)
