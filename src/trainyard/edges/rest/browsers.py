"""A web page of somebody else, open in a browser on this machine, must not reach the service through that browser.

Trainyard runs what it is sent. A page may post to 127.0.0.1 without asking (a plain-text POST needs no preflight), or
point its own name there (DNS rebinding). Browsers give themselves away by headers that a page cannot forge (Fetch,
"forbidden request-header"); clients that are no browsers send none of them and may use any Host.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from trainyard.core.errors import PermissionDenied


def refuse_foreign_page(headers: Mapping[str, str], port: int | None) -> None:
    """Raise PermissionDenied for a request that a page of another origin makes a browser send."""
    origin = headers.get("origin")
    if origin is not None and not _is_ours(origin, port):
        raise PermissionDenied(
            f"Requests made by web pages of {origin} are not served; only pages of this service are."
        )
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        raise PermissionDenied("Requests made by web pages of other sites are not served.")
    browser = origin is not None or "sec-fetch-site" in headers or headers.get("user-agent", "").startswith("Mozilla/")
    if browser and not _is_loopback(_host_of(headers.get("host", ""))):
        raise PermissionDenied(
            f"Browsers reach this service as localhost or 127.0.0.1, not as {headers.get('host')!r}."
        )


def _is_ours(origin: str, port: int | None) -> bool:
    try:
        parts = urlsplit(origin)
        return _is_loopback(parts.hostname) and (parts.port or 80) == port
    except ValueError:
        return False


def _host_of(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
