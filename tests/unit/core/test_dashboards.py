"""What is said of a dashboard: its port, its key, its address."""

from __future__ import annotations

import pytest

from trainyard.core.dashboards import Dashboard, port_of, uri_of


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("8888", 8888), ("65535", 65535)])
def test_a_port(text: str, port: int) -> None:
    """As a program's environment names it."""
    assert port_of(text) == port


@pytest.mark.parametrize("text", ["", "0", "65536", "-1", "8888 ", "٨", "1e3", "$(PORT)", "999999"])
def test_no_port(text: str) -> None:
    """What no program can listen on is none."""
    assert port_of(text) is None


def test_its_key_and_its_address() -> None:
    """The original's key; a host for each job alone, whatever scheme and port the service has."""
    assert Dashboard("workerpool0-0").key == "workerpool0-0:8888"
    assert uri_of("https://d.example.com:444", 7) == "https://7.d.example.com:444/"
