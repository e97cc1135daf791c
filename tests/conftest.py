"""Options of the whole suite."""

from __future__ import annotations

import os

import pytest


def pytest_configure() -> None:
    """Jobs run on this machine unless a test says otherwise, whatever engines and images it has."""
    os.environ.setdefault("TRAINYARD_RUNTIME", "host")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--accept` rewrites what is written about behaviour (stories) from behaviour as it is now."""
    parser.addoption("--accept", action="store_true", help="rewrite the stories with what happens now")


@pytest.fixture
def accept(request: pytest.FixtureRequest) -> bool:
    """Whether what happens now is to become what is written."""
    return bool(request.config.getoption("--accept"))
