"""One real server for all edge tests, and a project of its own for each, so that lists do not meet."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from edge_server import Api, Server

from trainyard.local_ending import end_all


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`python -m trainyard serve` on a free port with an empty data directory."""
    with Server(tmp_path_factory.mktemp("edges") / "data", "--replicas", "64") as running:
        yield running
    end_all(running.data_dir / "runs")


@pytest.fixture(scope="module")
def offline() -> Iterator[None]:
    """No client of these tests may look for credentials or a metadata server."""
    before = dict(os.environ)
    os.environ.update(NO_GCE_CHECK="true", GCE_METADATA_TIMEOUT="0.1")
    os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def project() -> str:
    """A project that no other test uses."""
    return f"p-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def api(server: Server, project: str) -> Iterator[Api]:
    """A REST client for this test's project."""
    client = Api(server.port, project)
    yield client
    client.close()
