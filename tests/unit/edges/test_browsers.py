"""Pages of other sites cannot reach the service through a browser on this machine; programs can."""

from __future__ import annotations

import pytest

from trainyard.core.errors import PermissionDenied
from trainyard.edges.rest.browsers import refuse_foreign_page

OWN = "http://127.0.0.1:8470"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "aiplatform.googleapis.com", "user-agent": "python-requests/2"},
        {"host": "127.0.0.1:8470", "origin": OWN},
        {"host": "localhost:8470", "origin": "http://localhost:8470", "sec-fetch-site": "same-origin"},
        {"host": "[::1]:8470", "origin": "http://[::1]:8470"},
        {"host": "127.0.0.1:8470", "sec-fetch-site": "none", "sec-fetch-mode": "navigate", "user-agent": "Mozilla/5.0"},
        {"host": "localhost:8470", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_programs_and_own_pages_pass(headers: dict[str, str]) -> None:
    """No browser, a page of ours, somebody who follows a link or types the address."""
    refuse_foreign_page(headers, 8470)
    assert headers is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8470", "origin": "https://evil.example"},
        {"host": "127.0.0.1:8470", "origin": "http://127.0.0.1:3000"},
        {"host": "127.0.0.1:8470", "origin": "http://127.0.0.1"},
        {"host": "127.0.0.1:8470", "origin": "null"},
        {"host": "127.0.0.1:8470", "origin": "http://[::1"},
        {"host": "127.0.0.1:8470", "origin": "http://localhost:notaport"},
        {"host": "127.0.0.1:8470", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"host": "127.0.0.1:8470", "sec-fetch-site": "same-site"},
        {"host": "rebound.example:8470", "user-agent": "Mozilla/5.0 (X11)"},
        {"host": "rebound.example:8470", "sec-fetch-site": "same-origin"},
        {"host": "[::1", "user-agent": "Mozilla/5.0"},
        {"user-agent": "Mozilla/5.0"},
    ],
)
def test_foreign_pages_are_refused(headers: dict[str, str]) -> None:
    """Another origin, another port of this machine, a name that was pointed here."""
    with pytest.raises(PermissionDenied):
        refuse_foreign_page(headers, 8470)


@pytest.mark.parametrize(
    ("host", "origin", "port", "served"),
    [
        ("train.example.com", "https://train.example.com", 443, True),
        ("TRAIN.example.com:8470", "https://Train.Example.Com:8470", 8470, True),
        ("a.wild.example.com", "https://a.wild.example.com", 443, True),
        ("a.b.wild.example.com", "https://a.b.wild.example.com", 443, False),
        ("train.example.com", "http://train.example.com", 443, False),
        ("train.example.com", "https://other.example.com", 443, False),
        ("other.example.com", "https://train.example.com", 443, False),
        ("train.example.com", "null", 443, False),
    ],
)
def test_names_that_were_given_are_the_services_own(host: str, origin: str, port: int, served: bool) -> None:
    """Host and Origin may be what --tls-names lists, a first label of * standing for any; nothing else may."""
    names = frozenset({"train.example.com", "*.wild.example.com"})
    headers = {"host": host, "origin": origin, "user-agent": "Mozilla/5.0"}
    if served:
        refuse_foreign_page(headers, port, names)
        return
    with pytest.raises(PermissionDenied):
        refuse_foreign_page(headers, port, names)
