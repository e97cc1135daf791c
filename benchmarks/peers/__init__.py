"""The peers, each installed apart from us and driven by a program of its own that prints figures as JSON.

`python -m benchmarks.peers` says which are here, `--install [name …]` gets them. A figure that a peer cannot give is a
sentence saying why, never a guess.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VENVS = Path(sys.executable).parent.parent / "peers"
DRIVERS = Path(__file__).parent / "drivers"
MOST_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Peer:
    """One other system. `gives`: the figures that its driver knows, by name; see FIGURES in its driver.

    `python_packages` go into a virtual environment of its own; `system_packages` are Debian's, and `program` shows
    whether they are here. `isolated`: runs in pid (and, with "net", network) namespaces of its own, so that nothing
    of it is left behind and nothing of this machine is in its way.
    """

    name: str
    driver: str
    gives: frozenset[str]
    python_packages: tuple[str, ...] = ()
    system_packages: tuple[str, ...] = ()
    program: str = ""
    isolated: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter of its driver."""
        return VENVS / self.driver / "bin" / "python" if self.python_packages else Path(sys.executable)

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return self.python.exists() and (not self.program or find_program(self.program) is not None)

    @property
    def how_to_install(self) -> str:
        """The command that gets it."""
        return f"python -m benchmarks.peers --install {self.driver}"

    @property
    def version(self) -> str:
        """As its package says."""
        if self.python_packages:
            package = self.python_packages[0].partition("[")[0]
            script = f"import importlib.metadata as m; print(m.version({package!r}))"
            return _output([str(self.python), "-c", script])
        return _output([str(find_program(self.program)), "-V"]).removeprefix("slurm-wlm ").removeprefix("slurm ")

    def ask(self, figure: str, count: int) -> Mapping[str, list[float]] | str:
        """Samples of a figure by the name of the variant ("" for the only one), or why there are none."""
        if not self.is_here:
            return f"not here: {self.how_to_install}"
        command = [str(self.python), str(DRIVERS / f"{self.driver}.py"), figure, str(count)]
        if self.isolated:
            command = [*_namespaces(self.isolated), *command]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"failed: {type(error).__name__}"
        if done.returncode != 0 or not done.stdout.strip():
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            return f"failed: {last[:100]}"
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _namespaces(kinds: Sequence[str]) -> list[str]:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command += ["--net"] if "net" in kinds else []
    return command if os.geteuid() == 0 else [*command, "--map-root-user"]


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def find_program(name: str) -> str | None:
    """The path of a program, where administrators' programs lie too."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


PEERS = (
    Peer(
        "TorchX local_cwd",
        "torchx",
        frozenset({"cli_start", "first_instruction", "from_shell", "short_jobs"}),
        ("torchx",),
    ),
    Peer("submitit local", "submitit", frozenset({"cli_start", "first_instruction", "short_jobs"}), ("submitit",)),
    Peer(
        "Slurm",
        "slurm",
        frozenset(
            {
                "cli_start",
                "server_ready",
                "server_memory",
                "first_instruction",
                "acknowledged",
                "from_shell",
                "short_jobs",
            }
        ),
        system_packages=("slurmctld", "slurmd", "slurm-client", "munge"),
        program="slurmctld",
        isolated=("pid",),
    ),
    Peer(
        "Ray Jobs",
        "ray",
        frozenset({"cli_start", "server_ready", "server_memory", "first_instruction", "acknowledged", "short_jobs"}),
        ("ray[default]",),
        isolated=("pid", "net"),
    ),
    Peer(
        "dstack",
        "dstack",
        frozenset({"cli_start", "server_ready", "server_memory"}),
        ("dstack[server]",),
        isolated=("pid", "net"),
    ),
    Peer(
        "gcp-storage-emulator",
        "gcp_storage_emulator",
        frozenset({"objects"}),
        ("gcp-storage-emulator", "google-cloud-storage==3.17.1"),
    ),
    Peer(
        "DuckDB over an export",
        "duckdb",
        frozenset(
            f"sql: {question}"
            for question in (
                "get by id",
                "first page with a state filter",
                "count by state of one project",
                "count by state of everything",
                "JSON path over one project",
                "join of two projects on displayName",
            )
        ),
        ("duckdb",),
    ),
)


def each(figure: str, count: int, *, quick: bool, fewer: Mapping[str, int] | None = None) -> dict[str, float | str]:
    """One number for every peer that knows the figure, the median of `count` samples, or a sentence.

    `fewer`: other counts by driver, for those who would take minutes. A quick pass asks nobody.
    """
    found: dict[str, float | str] = {}
    for peer in PEERS if not quick else ():
        if figure in peer.gives:
            said = peer.ask(figure, (fewer or {}).get(peer.driver, count))
            if isinstance(said, str):
                found[peer.name] = said
            else:
                middle = {variant: sorted(values)[len(values) // 2] for variant, values in said.items()}
                found.update({f"{peer.name} {variant}".strip(): value for variant, value in middle.items()})
    return found
