"""What `describe` says in people's words."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.cli.explaining import duration, lines, size
from trainyard.cli.terminal import Terminal


def test_sections_that_have_content(screen: Any) -> None:
    """Why, queue, history and replicas each have a section; replicas show exit, memory, CPU time and duration."""
    told = {
        "sentence": "It failed.",
        "evidence": ["workerpool0-0 exited with code 7."],
        "queue": {"position": 2, "length": 5, "why": "no room"},
        "history": [{"time": "2026-11-21T10:00:00.5Z", "to": "JOB_STATE_QUEUED", "attempt": 0, "why": "created"}],
        "replicas": [
            {
                "name": "workerpool0-0",
                "attempt": 1,
                "incarnation": 2,
                "cause": "exited",
                "exitCode": 7,
                "peakMemoryBytes": 52_100_000,
                "cpuSeconds": 1.5,
                "startTime": "2026-11-21T10:00:00Z",
                "endTime": "2026-11-21T10:04:05Z",
            },
            {"name": "workerpool1-0", "attempt": 1, "cause": "signaled", "signal": 9, "exitCode": 137},
            {"name": "workerpool1-1", "attempt": 1, "cause": "lost"},
            {"name": "workerpool1-2", "attempt": 1, "cause": "oom", "exitCode": 137},
        ],
    }
    text = "\n".join(lines(Terminal(screen(False), screen(False), {}), told))
    assert "WHY\n  It failed.\n  - workerpool0-0 exited with code 7." in text
    assert "QUEUE\n  2 of 5: no room" in text
    assert "QUEUED  attempt 0  created" in text
    assert "workerpool0-0  1 restart 2  exit 7               52.1 MB      1.50s     4m05s" in text
    for end in ("signaled (signal 9)", "lost", "oom (exit 137)"):
        assert end in text


def test_empty_sections_are_left_out(screen: Any) -> None:
    """A job about which nothing is known yet prints no empty headings."""
    assert list(lines(Terminal(screen(False), screen(False), {}), {})) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.844, "0.84s"), (12.34, "12.3s"), (245, "4m05s"), (7380, "2h03m"), (273_600, "3d04h")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    """A duration has two units at most."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (512, "512 B"), (13_900_000, "13.9 MB"), (2_500_000_000, "2.5 GB"), (3e15, "3000.0 TB")],
)
def test_sizes_are_in_powers_of_ten(count: float | None, text: str) -> None:
    """A size has one decimal and a unit."""
    assert size(count) == text
