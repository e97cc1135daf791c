"""Podman's configuration follows from the machine, and is written only when it changes."""

from __future__ import annotations

from pathlib import Path

from trainyard.executors.local.podman_config import CONFIG, RUNTIME, Machine, containers_conf, write

SMALL = Machine(20000, 32768, "/usr/sbin/runc", False, "/usr/lib/podman/netavark", "both", True)
LARGE = Machine(0, 0, "/usr/bin/crun", True, "", "v2", True)


def test_a_small_machine_gets_what_it_allows() -> None:
    """Ulimits below the hard limit, no systemd, netavark."""
    text = containers_conf(SMALL, "/d")
    for line in ('default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]', 'runtime = "/d/runtime"'):
        assert line in text
    assert 'cgroup_manager = "cgroupfs"' in text
    assert 'network_backend = "netavark"' in text


def test_a_machine_that_allows_everything_keeps_podmans_defaults() -> None:
    """Nothing is said of limits, managers and networks."""
    text = containers_conf(LARGE, "/d")
    for word in ("ulimits", "cgroup_manager", "network"):
        assert word not in text


def test_the_files_are_written_once(tmp_path: Path) -> None:
    """A second time nothing is touched; another runtime makes another script."""
    assert write(SMALL, tmp_path) == tmp_path / CONFIG
    script = tmp_path / RUNTIME
    before = script.stat()
    assert before.st_mode & 0o111
    assert "exec /usr/sbin/runc" in script.read_text()
    write(SMALL, tmp_path)
    assert script.stat().st_ino == before.st_ino
    write(LARGE, tmp_path)
    assert "exec /usr/bin/crun" in script.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, RUNTIME]


def test_this_machine_is_looked_at() -> None:
    """Whatever is installed, the look ends and names a kind of control groups."""
    assert Machine.this().cgroups in ("v1", "v2", "both")
