"""A real server for the storage endpoint's tests, and buckets of each test's own."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from edge_server import Server
from storage_calls import Storage


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`python -m trainyard serve` on a free port with an empty data directory."""
    with Server(tmp_path_factory.mktemp("storage") / "data") as running:
        yield running


@pytest.fixture
def storage(server: Server) -> Iterator[Storage]:
    """A bucket of this test's own, made by nobody yet."""
    client = Storage(server, f"b-{uuid.uuid4().hex[:12]}")
    yield client
    client.connection.close()


@pytest.fixture
def emulated(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint's address, told to clients the way they expect it."""
    address = f"http://127.0.0.1:{server.port}"
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "CLOUDSDK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    return address
