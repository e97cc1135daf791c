"""What a tree and a container's control groups use, as the kernel tells it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainyard.agent import accounts
from trainyard.agent.accounts import Account, of_groups, of_tree


def test_a_tree_counts_children_of_every_thread() -> None:
    """Also a process that another thread than the first one has started; a process that is gone counts for nothing."""
    script = (
        "import threading, subprocess, sys\n"
        "def work():\n"
        "    child = subprocess.Popen(['sleep', '60']); print('ready', flush=True); sys.stdin.read(); child.kill()\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tree:
        assert tree.stdout is not None
        assert tree.stdout.readline() == b"ready\n"
        found = of_tree([tree.pid, tree.pid])
        assert found.processes == 2
        assert found.memory_bytes > 5_000_000
        tree.communicate()
    assert of_tree([tree.pid]).processes == 0


def written(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups, and our own in it."""
    monkeypatch.setattr(accounts, "_GROUPS", str(tmp_path / "cgroup"))
    monkeypatch.setattr(accounts, "OWN_GROUPS", str(tmp_path / "own"))
    written(tmp_path, {"own": "0::/agents\n4:memory:/agents\n"})
    return tmp_path


def test_the_unified_hierarchy_knows_better(groups: Path) -> None:
    """CPU, memory without idle file cache, and disk of all devices replace what the tree shows."""
    written(
        groups / "cgroup/box",
        {
            "cpu.stat": "usage_usec 1234567\nuser_usec 1\n",
            "memory.current": "1000\n",
            "memory.stat": "anon 1\ninactive_file 300\n",
            "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=1\n8:16 rbytes=1 wbytes=2 rios=1 wios=1\n",
        },
    )
    written(groups, {"its": "0::/box\n"})
    account = Account()
    of_groups(account, str(groups / "its"))
    assert (account.cpu_us, account.memory_bytes) == (1_234_567, 700)
    assert (account.read_bytes, account.written_bytes) == (11, 22)


def test_the_older_hierarchies_do_too(groups: Path) -> None:
    """cpuacct, memory and blkio, each in its own place."""
    written(
        groups / "cgroup",
        {
            "cpu,cpuacct/box/cpuacct.usage": "5000\n",
            "memory/box/memory.usage_in_bytes": "1000\n",
            "memory/box/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
            "blkio/box/blkio.throttle.io_service_bytes": "8:0 Read 7\n8:0 Write 9\n8:0 Total 16\nTotal 16\n",
        },
    )
    written(groups, {"its": "5:cpu,cpuacct:/box\n4:memory:/box\n3:blkio:/box\n0::/\n"})
    account = Account()
    of_groups(account, str(groups / "its"))
    assert (account.cpu_us, account.memory_bytes) == (5, 900)
    assert (account.read_bytes, account.written_bytes) == (7, 9)


def test_a_group_that_is_ours_too_says_nothing(groups: Path) -> None:
    """A container without groups of its own, one whose groups are gone, one that nobody knows: the tree counts."""
    written(groups / "cgroup/agents", {"cpu.stat": "usage_usec 99\n", "memory.current": "99\n"})
    written(groups, {"shared": "0::/agents\n4:memory:/agents\n", "gone": "0::/gone\n3:blkio:/gone\n"})
    for name in ("shared", "gone", "unknown"):
        account = Account()
        account.cpu_us = account.memory_bytes = account.read_bytes = 5
        of_groups(account, str(groups / name))
        assert (account.cpu_us, account.memory_bytes, account.read_bytes) == (5, 5, 5)


def test_our_own_process_is_a_tree() -> None:
    """Whoever runs this has used CPU and holds memory."""
    found = of_tree([os.getpid()])
    assert found.cpu_us > 0
    assert found.memory_bytes > 1_000_000
