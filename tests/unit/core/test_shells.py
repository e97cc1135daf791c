"""What a person may say that they sit at."""

from __future__ import annotations

import pytest

from trainyard.core.shells import Terminal


@pytest.mark.parametrize(
    ("terminal", "faulty"),
    [
        (Terminal(), set()),
        (Terminal(1, 65535, "screen.xterm-256color"), set()),
        (Terminal(0, 65536), {"rows", "columns"}),
        (Terminal(term=""), {"term"}),
        (Terminal(term="vt100\nX=1"), {"term"}),
        (Terminal(term="-c"), {"term"}),
    ],
)
def test_a_terminal_that_cannot_be(terminal: Terminal, faulty: set[str]) -> None:
    """Sizes beyond the kernel's own, names that are none."""
    assert set(terminal.faults()) == faulty
