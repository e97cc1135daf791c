"""What this machine's container engines can do and what keeps them from more, found out by using them.

`python -m trainyard.executors.local.engine_report DATA_DIR` prints findings as JSON for `trainyard doctor`: a list of
{"name", "good", "found", "remedy"}. It writes podman's configuration into the data directory, as the service would, and
sets how a user's podman keeps images where that can be bettered without a loss (image_storage.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Final

from trainyard.executors.local import podman_config
from trainyard.executors.local.engine import EngineFailed
from trainyard.executors.local.image_storage import storage
from trainyard.executors.local.podman import Podman

_PROBE: Final = "localhost/trainyard/probe"
_STATIC: Final = "/usr/bin/catatonit"  # linked to nothing, so it is an image by itself
_PACKAGES: Final = "apt-get install podman runc netavark iptables catatonit uidmap (or your system's packages)"

Finding = dict[str, object]


def finding(name: str, good: bool, found: str, remedy: str = "") -> Finding:
    """One line of the report."""
    return {"name": name, "good": good, "found": found, "remedy": remedy}


async def podman_findings(data_dir: Path) -> list[Finding]:
    """Everything about podman; each line that is not good says what to install or set."""
    program = shutil.which("podman")
    if program is None:
        return [finding("podman", False, "not installed; jobs run on this machine, not in their images", _PACKAGES)]
    podman = Podman(program, data_dir / "containers", os.environ)
    try:
        talents = await podman.talents()
    except EngineFailed as failure:
        return [finding("podman", False, f"does not work: {failure}", _remedy(str(failure)))]
    machine = podman_config.Machine.this()
    found = [
        finding("podman", True, f"{talents.version} by {Path(machine.runtime).name}, set up in {podman_config.CONFIG}"),
        finding(
            "container limits",
            not talents.why_no_limits,
            talents.why_no_limits or "CPU, memory and processes of a machine type are held to",
            "run podman as root, or on a machine with version 2 of control groups delegated to you",
        ),
        finding(
            "container network",
            not talents.why_no_network,
            talents.why_no_network or "each job can have one of its own, with port 2222 in every replica",
            "apt-get install netavark iptables, and run the service as root; until then replicas share this machine's",
        ),
        finding(
            "container init",
            talents.has_init,
            "catatonit passes signals on" if talents.has_init else "catatonit is not installed",
            "apt-get install catatonit; until then programs without a handler for SIGTERM wait for SIGKILL",
        ),
    ]
    return [*found, _storage(podman), *_rootless(), _tried(podman)]


def docker_finding() -> Finding:
    """Whether Docker's API answers; it is used only where the setting says so."""
    try:
        import docker  # noqa: PLC0415 - an extra
    except ImportError:
        return finding("docker", True, "the package is not installed; only runtime = docker needs it")
    try:
        version = docker.from_env().version()["Version"]
    except (docker.errors.DockerException, OSError) as error:
        return finding("docker", True, f"no engine answers ({str(error)[:80]}); only runtime = docker needs one")
    return finding("docker", True, f"an engine answers, version {version}; runtime = docker uses it")


def _storage(podman: Podman) -> Finding:
    def ask(*words: str) -> str | None:
        done = _done(podman, *words)
        return None if done.returncode else done.stdout.strip()

    kept = storage(ask)
    return finding("image storage", kept.driver != "vfs", kept.found, kept.remedy)


def _rootless() -> list[Finding]:
    if os.geteuid() == 0:
        return []
    user = os.environ.get("USER") or str(os.geteuid())
    mapped = any(line.startswith((f"{user}:", f"{os.geteuid()}:")) for line in _lines("/etc/subuid"))
    good = mapped and shutil.which("newuidmap") is not None
    return [
        finding(
            "user namespaces",
            good,
            "your user has ids of its own to give out" if good else "your user has no ids to give out to containers",
            f"apt-get install uidmap; as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
        )
    ]


def _tried(podman: Podman) -> Finding:
    """One container, started and ended."""
    if not os.access(_STATIC, os.X_OK):
        return finding("container start", True, "not tried: there is nothing here to make an image of")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree.tar")
        with tarfile.open(tree, "w") as archive:
            archive.add(os.path.realpath(_STATIC), "probe")
        _said(podman, "import", "--quiet", str(tree), _PROBE)
    began = time.perf_counter()
    done = _done(podman, "run", "--rm", "--pull=never", "--network=none", _PROBE, "/probe", "--version")
    took = time.perf_counter() - began
    _said(podman, "rmi", "--force", _PROBE)
    why = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    good = done.returncode == 0
    return finding("container start", good, f"works, in {took * 1000:.0f} ms" if good else why[0], _remedy(why[0]))


def _remedy(words: str) -> str:
    if "neither runc nor crun" in words:
        return _PACKAGES
    if "newuidmap" in words or "subuid" in words:
        return "apt-get install uidmap"
    return "see what podman says; until then set runtime to host"


def _said(podman: Podman, *words: str) -> str:
    return _done(podman, *words).stdout


def _done(podman: Podman, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("podman") or "podman"
    return subprocess.run([program, *words], env=dict(podman.env), capture_output=True, text=True, check=False)


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text("utf-8").splitlines()
    return []


def main() -> None:
    """Print the report."""
    found = asyncio.run(podman_findings(Path(sys.argv[1])))
    print(json.dumps([*found, docker_finding()]))


if __name__ == "__main__":
    main()
