"""No page of another origin reaches a dashboard."""

from __future__ import annotations

import pytest

from trainyard.core.errors import PermissionDenied
from trainyard.edges.dashboards.guard import refuse_other_origins


def asked(**headers: str) -> dict[str, object]:
    """A request with these headers, _ for -."""
    given = {"host": "7.dashboards.localhost:8470", **{name.replace("_", "-"): headers[name] for name in headers}}
    return {"headers": [(name.encode(), value.encode()) for name, value in given.items()]}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://7.dashboards.localhost:8470"},
        {"origin": "https://7.d.example", "host": "7.d.example"},
        {"origin": "http://7.d.example", "host": "7.d.example:80"},
        {"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
    ],
)
def test_its_own_page_and_who_follows_a_link(headers: dict[str, str]) -> None:
    """They pass, and who is no browser."""
    refuse_other_origins(asked(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": "http://8.dashboards.localhost:8470"},
        {"origin": "http://7.dashboards.localhost:8471"},
        {"origin": "http://7.dashboards.localhost:none"},
        {"origin": "http://[7.dashboards.localhost:8470"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "websocket"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
    ],
)
def test_everybody_else(headers: dict[str, str]) -> None:
    """They do not."""
    with pytest.raises(PermissionDenied):
        refuse_other_origins(asked(**headers))
