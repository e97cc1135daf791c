"""A dashboard's host is an origin of its own: no page of another one reaches it through a browser (rest/browsers.py).

Neither does a dashboard's page reach the service, for which it is such another one.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from trainyard.core.errors import PermissionDenied
from trainyard.edges.dashboards.heads import header

_USUAL_PORTS = {"http": 80, "https": 443}
_FRAMES = ("iframe", "frame", "embed", "object")


def refuse_other_origins(scope: Any) -> None:
    """Raise PermissionDenied for a request that a page of another origin makes a browser send."""
    origin = header(scope, b"origin")
    if origin and not _is_own(origin, header(scope, b"host")):
        raise PermissionDenied(f"Requests made by web pages of {origin} are not passed on to this dashboard.")
    if header(scope, b"sec-fetch-site") not in ("cross-site", "same-site"):
        return
    is_shown = header(scope, b"sec-fetch-mode") == "navigate" and header(scope, b"sec-fetch-dest") not in _FRAMES
    if not is_shown:
        raise PermissionDenied("Requests made by web pages of other sites are not passed on to this dashboard.")


def _is_own(origin: str, host: str) -> bool:
    try:
        there, here = urlsplit(origin), urlsplit(f"//{host}")
        usual = _USUAL_PORTS.get(there.scheme)
        return there.hostname == here.hostname and (there.port or usual) == (here.port or usual)
    except ValueError:
        return False
