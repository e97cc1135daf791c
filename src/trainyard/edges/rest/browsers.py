"""A web page of somebody else, open in a browser, must not reach the service through that browser.

Trainyard runs what it is sent. A page may post to 127.0.0.1 without asking (a plain-text POST needs no preflight), or
point its own name there (DNS rebinding). Browsers give themselves away by headers that a page cannot forge (Fetch,
"forbidden request-header"); clients that are no browsers send none of them and may use any Host.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from ipaddress import ip_address
from urllib.parse import urlsplit

from trainyard.core.errors import PermissionDenied

Names = Set[str]
"""Host names and addresses that are the service's own besides loopback, lower case; `*.example.com` for all below."""


def refuse_foreign_page(headers: Mapping[str, str], port: int | None, names: Names = frozenset()) -> None:
    """Raise PermissionDenied for a request that a page of another origin makes a browser send."""
    origin = headers.get("origin")
    if origin is not None and not _is_our_origin(origin, port, names):
        raise PermissionDenied(
            f"Requests made by web pages of {origin} are not served; only pages of this service are."
        )
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        raise PermissionDenied("Requests made by web pages of other sites are not served.")
    browser = origin is not None or "sec-fetch-site" in headers or headers.get("user-agent", "").startswith("Mozilla/")
    if browser and not is_ours(_host_of(headers.get("host", "")), names):
        raise PermissionDenied(
            f"Browsers reach this service as localhost or 127.0.0.1, not as {headers.get('host')!r}; other names are "
            "given to `trainyard serve` as --tls-names."
        )


def is_ours(host: str | None, names: Names) -> bool:
    """Whether a host name or address is the service's: loopback, or one of `names`."""
    if host is None:
        return False
    host = host.lower()
    if host == "localhost" or host in names or f"*.{host.partition('.')[2]}" in names:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_our_origin(origin: str, port: int | None, names: Names) -> bool:
    try:
        parts = urlsplit(origin)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        return is_ours(parts.hostname, names) and (parts.port or usual) == port
    except ValueError:
        return False


def _host_of(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None
