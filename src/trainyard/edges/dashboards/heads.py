"""What of a request's and an answer's head goes on to the other side (RFC 9110, 7.6): the message, and nothing of ours.

A program behind a dashboard never sees who looks at it: neither the cookie nor the credential that opened the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

COOKIE: Final = "trainyard-dashboard"
SECURE_COOKIE: Final = "__Host-trainyard-dashboard"  # RFC 6265bis, 4.1.3.2: nobody else can have set it
OUR_BEARERS: Final = (b"ty_", b"tyk_", b"tyt_")
PSEUDONYM: Final = "trainyard"
Header = tuple[bytes, bytes]
_OF_ONE_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
_OF_THE_MESSAGE: Final = frozenset((b"host", b"content-length"))
_KEPT_FROM_PROGRAMS: Final = frozenset((b"expect", b"x-goog-api-key", b"x-forwarded-for", b"via"))
_KEPT_FROM_BROWSERS: Final = frozenset((b"date", b"via", b"clear-site-data"))


def header(scope: Any, name: bytes) -> str:
    """The value of a request's header, empty where it is not there; of a repeated one all, as one list."""
    separator = "; " if name == b"cookie" else ", "
    return separator.join(value.decode("latin-1") for each, value in scope["headers"] if each == name)


def cookies_of(scope: Any, name: str) -> list[str]:
    """The values under this name of ours: several where a neighbour's page has set it for all hosts below, too."""
    return [value for each, _, value in _cookies(header(scope, b"cookie")) if each == name]


def loops(scope: Any, label: str) -> bool:
    """Whether the request has come this way before: a dashboard whose port is the service's own."""
    return f"{PSEUDONYM}-{label}" in header(scope, b"via")


def request_head(scope: Any, label: str, *, upgrades: bool, hides_authorization: bool) -> bytes:
    """What the program hears: the request as it came, less what is ours, plus where it came from."""
    dropped = _OF_ONE_HOP | _KEPT_FROM_PROGRAMS | _named(scope["headers"])
    kept = [pair for pair in scope["headers"] if pair[0] not in dropped and pair[0] != b"cookie"]
    kept = [pair for pair in kept if pair[0] != b"authorization" or not (hides_authorization or _is_ours(pair[1]))]
    if cookies := [each for each in _cookies(header(scope, b"cookie")) if each[0] not in (COOKIE, SECURE_COOKIE)]:
        kept.append((b"cookie", "; ".join("".join(each) for each in cookies).encode("latin-1")))
    kept += _forwarded(scope, label)
    if upgrades:
        kept += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    else:
        kept.append((b"connection", b"close"))
    if coding := header(scope, b"transfer-encoding"):
        kept.append((b"transfer-encoding", coding.encode("latin-1")))
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), target), *(b"%b: %b" % pair for pair in kept)]
    return b"\r\n".join((*lines, b"", b""))


def is_chunked(scope: Any) -> bool:
    """Whether the request's body comes in chunks, its length unknown; the parser takes no request that says both."""
    return bool(header(scope, b"transfer-encoding"))


def answer_headers(headers: Sequence[Header], status: int, method: str) -> list[Header]:
    """What the browser hears of an answer's headers; cookies stay at the dashboard's own host."""
    dropped = _OF_ONE_HOP | _KEPT_FROM_BROWSERS | _named(headers)
    if status in (204, 304) and method != "HEAD":
        dropped |= {b"content-length"}
    kept = [(name, value) for name, value in headers if name not in dropped and name != b"set-cookie"]
    return kept + [(name, own) for name, value in headers if name == b"set-cookie" if (own := _own_cookie(value))]


def upgrade_headers(headers: Sequence[Header]) -> list[Header]:
    """Those of a 101."""
    return [(b"upgrade", b"websocket"), *answer_headers(headers, 101, "GET")]


def _named(headers: Iterable[Header]) -> frozenset[bytes]:
    """What Connection names besides; never what says where a message ends."""
    said = b",".join(value for name, value in headers if name == b"connection")
    return frozenset(token.strip().lower() for token in said.split(b",")) - _OF_THE_MESSAGE


def _forwarded(scope: Any, label: str) -> list[Header]:
    """Whence the request came, as programs behind a proxy look for it."""
    before = header(scope, b"x-forwarded-for")
    client = (scope.get("client") or ("",))[0]
    hops = header(scope, b"via")
    here = f"1.1 {PSEUDONYM}-{label}"
    found = {
        b"x-forwarded-for": f"{before}, {client}" if before else client,
        b"via": f"{hops}, {here}" if hops else here,
    }
    usual = {b"x-forwarded-proto": scope["scheme"], b"x-forwarded-host": header(scope, b"host")}
    found.update({name: value for name, value in usual.items() if not header(scope, name)})
    return [(name, value.encode("latin-1")) for name, value in found.items()]


def _is_ours(authorization: bytes) -> bool:
    scheme, _, token = authorization.partition(b" ")
    return scheme.lower() == b"bearer" and token.strip().startswith(OUR_BEARERS)


def _cookies(text: str) -> list[tuple[str, str, str]]:
    """Name, `=` and value of each pair, as it stands there."""
    pairs = (pair.strip() for pair in text.split(";"))
    return [(name.strip(), equals, value) for name, equals, value in (pair.partition("=") for pair in pairs) if name]


def _own_cookie(value: bytes) -> bytes:
    """A cookie for this host alone; empty where it would be in the place of ours."""
    first, *attributes = value.split(b";")
    if first.partition(b"=")[0].strip() in (COOKIE.encode(), SECURE_COOKIE.encode()):
        return b""
    return b";".join((first, *(each for each in attributes if not each.strip().lower().startswith(b"domain"))))
