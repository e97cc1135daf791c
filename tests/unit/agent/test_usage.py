"""A sampler says itself when it is due, keeps whole records only, and fails at nothing."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from trainyard.agent import usage
from trainyard.agent.usage import Usage
from trainyard.core.usage_records import RECORD, samples

HOUR_US = 3_600_000_000


def begun(path: Path, every: float = 10.0) -> Usage:
    sampler = Usage(str(path / "logs" / "usage"), {"every": every})
    sampler.begin(None)
    return sampler


def in_seconds(sampler: Usage) -> float:
    """How long until the next sample."""
    assert sampler.due is not None
    return sampler.due - time.monotonic()


def ago(us: int) -> int:
    return time.time_ns() // 1000 - us


def test_the_first_sample_is_due_after_the_first_interval(tmp_path: Path) -> None:
    """Nothing is made before; with 0, or asked by a server of before this setting, nothing ever."""
    assert 9 < in_seconds(begun(tmp_path)) <= 10
    assert begun(tmp_path, 0.0).due is None
    bare = Usage(str(tmp_path / "usage"), {})
    bare.begin(None)
    assert bare.due is None
    assert list(tmp_path.iterdir()) == []


def test_old_programs_are_sampled_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a four-thousandth of their age; and whose samples are dear, so that they stay below their part of a core."""
    monkeypatch.setattr(usage, "MOST_OF_A_CORE", 1e9)
    sampler = begun(tmp_path)
    sampler.sample(ago(HOUR_US))
    assert 9 < in_seconds(sampler) <= 10
    sampler.sample(ago(24 * HOUR_US))
    assert 21 < in_seconds(sampler) < 22
    monkeypatch.setattr(usage, "MOST_OF_A_CORE", 1e-9)
    sampler.sample(ago(HOUR_US))
    assert in_seconds(sampler) > 1000
    sampler.close()


def test_a_start_in_the_future_is_now(tmp_path: Path) -> None:
    """A calendar that was set back makes no negative time, and an unknown start none at all."""
    for started_us in (ago(-HOUR_US), None):
        sampler = begun(tmp_path)
        sampler.sample(started_us)
        first, *_ = samples((tmp_path / "logs" / "usage").read_bytes())
        assert first.time_us <= time.time_ns() // 1000
        (tmp_path / "logs" / "usage").unlink()
        os.close(sampler.target)


def test_a_full_disk_leaves_whole_records(tmp_path: Path) -> None:
    """What could not be written is missing, no more; once there is room, samples go on behind the last whole one."""
    pid = os.fork()
    if pid == 0:  # the limit on file sizes is the process's
        code = 1
        try:
            sampler = begun(tmp_path)
            sampler.sample(ago(HOUR_US))
            limit = 2 * RECORD.size + 20
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            import signal

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            sampler.sample(ago(HOUR_US))
            sampler.sample(ago(HOUR_US))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            sampler.sample(ago(HOUR_US))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    content = (tmp_path / "logs" / "usage").read_bytes()
    assert len(content) == 3 * RECORD.size
    assert [one.time_us for one in samples(content)] == sorted(one.time_us for one in samples(content))


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path) -> None:
    """The next sample is due as ever."""
    (tmp_path / "logs").write_text("no directory")
    sampler = begun(tmp_path)
    sampler.sample(ago(HOUR_US))
    assert in_seconds(sampler) > 9
