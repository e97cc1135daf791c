"""Keys in files of this machine: the promise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from key_ring_suite import KeyRingSuite, OpenRingAgain

from trainyard.keyrings.local import ring


@pytest.fixture
def open_ring(tmp_path: Path) -> Iterator[OpenRingAgain]:
    """One in a directory, its master key beside it."""
    with ExitStack() as stack:

        def opened() -> ring.LocalKeyRing:
            return stack.enter_context(closing(ring.open_ring(tmp_path / "keys")))

        yield opened


class TestLocalKeyRing(KeyRingSuite):
    """The promise."""
