"""What `doctor` looks at: each check is one function that answers with one finding, and none changes the machine."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from trainyard.cli.explaining import size

LEAST_FREE_BYTES: Final = 1_000_000_000
_PR_GET_CHILD_SUBREAPER: Final = 37


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `core`: without it Trainyard does not work; `remedy` says how to get it."""

    name: str
    good: bool
    found: str
    remedy: str = ""
    core: bool = False


def python_version() -> Finding:
    """Python 3.11 or newer."""
    good = sys.version_info >= (3, 11)
    return Finding(
        "Python", good, f"{platform.python_version()} at {sys.executable}", "install 3.11 or newer", core=True
    )


def system() -> Finding:
    """Linux, whose process and file features the agents are built on."""
    good = sys.platform.startswith("linux")
    return Finding(
        "system",
        good,
        f"{platform.system()} {platform.release()} on {platform.machine()}",
        "use Linux, or Windows' WSL 2",
        core=True,
    )


def subreaper() -> Finding:
    """PR_SET_CHILD_SUBREAPER: orphans of a replica come back to its agent."""
    try:
        flag = ctypes.c_int()
        good = ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(flag), 0, 0, 0) == 0
    except (OSError, AttributeError):
        good = False
    return Finding(
        "child subreaper",
        good,
        "available" if good else "not available",
        "Linux 3.4 or newer; under gVisor or an old container runtime, run outside of it",
        core=True,
    )


def splice() -> Finding:
    """Output is moved to its files inside the kernel, by splice."""
    found, remedy = "moves bytes from a pipe to a file", "Linux, and Python 3.10 or newer"
    reading, writing = os.pipe()
    try:
        with tempfile.TemporaryFile() as file:
            os.write(writing, b"x")
            good = os.splice(reading, file.fileno(), 1) == 1
    except (OSError, AttributeError) as error:
        good, found = False, f"does not work here ({error})"
    finally:
        os.close(reading)
        os.close(writing)
    return Finding("splice", good, found, remedy, core=True)


def unix_sockets() -> Finding:
    """Unix datagram sockets: how agents report and the spawner is asked."""
    try:
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(os.path.join(directory, "s"))  # noqa: PTH118 - bind takes text
            good, found = True, "work"
    except OSError as error:
        good, found = False, f"do not work ({error.strerror})"
    return Finding("unix sockets", good, found, "set TMPDIR to a local file system", core=True)


def data_directory(directory: Path) -> Finding:
    """The data directory can be made and written to."""
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    good = os.access(nearest, os.W_OK | os.X_OK) and nearest.is_dir()
    found = f"{nearest} is not writable"
    if good:
        found = f"{directory} {'is writable' if directory.exists() else 'can be made'}"
    return Finding("data directory", good, found, "choose another with --data-dir or TRAINYARD_DATA_DIR", core=True)


def disk_space(directory: Path) -> Finding:
    """Room for logs and environments."""
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    return Finding(
        "disk space",
        free >= LEAST_FREE_BYTES,
        f"{size(free)} free at {nearest}",
        f"free some: below {size(LEAST_FREE_BYTES)} logs and environments may not fit",
    )


def flush_speed(directory: Path) -> Finding:
    """How long the disk takes to keep something for good; every job pays it once or twice."""
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            started, rounds = time.perf_counter(), 0
            while rounds < 50 and time.perf_counter() - started < 0.25:
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())
                rounds += 1
            took = (time.perf_counter() - started) / rounds
    except OSError as error:
        return Finding("disk flush", False, f"could not be measured ({error.strerror})")
    return Finding(
        "disk flush",
        took < 0.02,
        f"{took * 1000:.2f} ms per fsync",
        "put --data-dir on a local disk; each create waits for one of these",
    )


def sealing(directory: Path) -> Finding:
    """The data directory's file system lets output of jobs that name a key be sealed while they run."""
    from trainyard.keyrings.holes import can_punch  # noqa: PLC0415 - no other command needs it

    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            good = can_punch(file.fileno())
    except OSError as error:
        return Finding("sealing", False, f"could not be tried ({error.strerror})")
    return Finding(
        "sealing",
        good,
        f"output of jobs with a key {'can be sealed while they run' if good else 'stays in the clear until they end'}",
        f"{nearest} cannot punch holes: put --data-dir on ext4, xfs, btrfs or tmpfs, or encrypt its disk",
    )


def key_ring(directory: Path) -> Finding:
    """What is set to keep the keys of `trainyard keys` can be used; a token is looked at without its PIN."""
    from trainyard.settings import BadSetting, Settings  # noqa: PLC0415 - no other command needs it

    try:
        ring = Settings.load({"data_dir": directory}, os.environ).key_ring
        if ring == "local":
            return Finding("key ring", True, f"local, in {directory / 'keys'}")
        from trainyard.keyrings.pkcs11.ring import look  # noqa: PLC0415 - rarely used
        from trainyard.store import StoreError  # noqa: PLC0415 - as above
    except BadSetting as error:
        return Finding("key ring", False, "cannot be told", str(error), core=True)
    try:
        return Finding("key ring", True, look(ring))
    except StoreError as error:
        return Finding("key ring", False, "cannot be used", str(error), core=True)


def port(number: int) -> Finding:
    """The service's port is free, or a service of ours has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", number))
        except OSError as error:
            good = _is_ours(number)
            found = f"{number} is taken by a running Trainyard" if good else f"{number} is not free ({error.strerror})"
            return Finding("port", good, found, "trainyard serve --port N, and TRAINYARD_ENDPOINT for the clients")
    return Finding("port", True, f"{number} is free")


def sql_port(number: int) -> Finding:
    """PostgreSQL's protocol has its port, or the service does without."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", number))
        except OSError as error:
            found = f"{number} is not free ({error.strerror}): a service without --sql-port speaks SQL over HTTP alone"
            return Finding("SQL port", False, found, "trainyard serve --sql-port N, unless it is a Trainyard's already")
    return Finding("SQL port", True, f"{number} is free, for psql and drivers")


def _is_ours(number: int) -> bool:
    from trainyard.cli.connection import Target  # noqa: PLC0415 - only asked where the port is taken
    from trainyard.cli.problems import Problem  # noqa: PLC0415 - as above
    from trainyard.cli.service_api import ServiceApi  # noqa: PLC0415 - as above

    try:
        ServiceApi(Target(f"http://127.0.0.1:{number}", "", "")).health()
    except Problem:
        return False
    return True


def gpus() -> Finding:
    """NVIDIA devices, which jobs get exclusively."""
    devices = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if not devices:
        return Finding("GPUs", True, "none; jobs that ask for accelerators run without them")
    names = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    kinds = ", ".join(sorted(set(names.splitlines()))) if names else "nvidia-smi does not say which"
    return Finding("GPUs", bool(names), f"{len(devices)}: {kinds}", "install the NVIDIA driver's nvidia-smi")


def uv() -> Finding:
    """uv, which builds environments for prebuilt images and Python packages."""
    beside = Path(sys.executable).with_name("uv")
    path = str(beside) if beside.exists() else shutil.which("uv") or ""
    return Finding(
        "uv",
        bool(path),
        _output(path, "--version") or path if path else "not found",
        "pip install uv; until then jobs with Python packages fail to start",
    )


def cgroups() -> Finding:
    """Cgroup v2, from which out-of-memory kills are read."""
    root = Path("/sys/fs/cgroup")
    if not (root / "cgroup.controllers").exists():
        found = f"{'version 1' if root.exists() else 'none'}; memory use is measured by process instead"
        return Finding("cgroups", False, found, "boot with cgroup v2 (systemd's default)")
    own = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2].lstrip("/")
    writable = os.access(root / own / "cgroup.procs", os.W_OK)
    return Finding("cgroups", True, f"version 2, {'writable' if writable else 'read-only'} for us")


def containers(directory: Path) -> list[Finding]:
    """Container engines, looked at and tried in a process of its own: a client imports no executor."""
    said = _output(sys.executable, "-m", "trainyard.executors.local.engine_report", str(directory), seconds=120)
    if not said:
        return [Finding("containers", False, "could not be looked at", "set runtime to host")]
    return [Finding(**found) for found in json.loads(said)]


def engines() -> Finding:
    """What later releases can use; nothing of today needs them."""
    there = [name for name, program in _ENGINES.items() if shutil.which(program)]
    found = f"{', '.join(there)} found, for later releases" if there else "none found; only later releases use them"
    return Finding("other engines", True, found)


_ENGINES: Final = {"Slurm": "srun", "Ray": "ray", "Kubernetes": "kubectl"}


def demo_packages() -> Finding:
    """What `trainyard demo` trains with."""
    needs = {"lightgbm": "lightgbm", "sklearn": "scikit-learn"}
    missing = [name for module, name in needs.items() if find_spec(module) is None]
    found = f"{' and '.join(missing)} not installed" if missing else "lightgbm and scikit-learn are installed"
    return Finding("demo", not missing, found, "make demo, or: pip install lightgbm scikit-learn")


def official_client() -> Finding:
    """Google's own SDK, unmodified, is a client of this service."""
    try:
        there = find_spec("google.cloud.aiplatform") is not None
    except ModuleNotFoundError:
        there = False
    return Finding(
        "official client",
        there,
        "installed beside us" if there else "not installed beside us",
        "pip install google-cloud-aiplatform, in whichever environment your code lives",
    )


def _output(*command: str, seconds: float = 10) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
