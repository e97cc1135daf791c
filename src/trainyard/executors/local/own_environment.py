"""A program that calls pip installs into an environment of its own, never into this machine's Python.

In a container `pip install` changes the container; on the host it would change the host, and the official client's
`from_local_script` calls it in every job with a plain image. So such a replica gets a fresh virtual environment that
sees the packages of the Python it would have run with, and a user directory that is its own (`pip install --user`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trainyard.core.runs import ReplicaSpec
from trainyard.executors.local.environments import Prepared
from trainyard.executors.local.installer import Installer, InstallFailed
from trainyard.executors.local.packages import PreparationFailed

_CALLS_PIP: Final = re.compile(r"(?:^|[\s;&|/])pip3?(?:\.\d+)?\s+install\b")
_PIP: Final = "#!{python}\nimport sys\nfrom pip._internal.cli.main import main\n\nsys.exit(main())\n"
_PACKAGES: Final = "lib/python*/site-packages"
_LIMIT_SECONDS: Final = 60.0


def calls_pip(spec: ReplicaSpec) -> bool:
    """Whether the command line of a replica installs packages as far as one can see."""
    return bool(spec.command) and _CALLS_PIP.search(" ".join((*spec.command, *spec.args))) is not None


async def own_environment(spec: ReplicaSpec, home: Path, base: Mapping[str, str]) -> Prepared:
    """A fresh environment at `home` over the Python on the PATH of `base`; raises PreparationFailed."""
    python = shutil.which("python3", path=base.get("PATH"))
    if python is None:
        raise PreparationFailed(f"{spec.name} calls pip, and there is no python3 on this machine's PATH.")
    shutil.rmtree(home, ignore_errors=True)  # of a start that was broken off
    try:
        await Installer(_LIMIT_SECONDS).create(home, python, see_host_packages=True)
    except InstallFailed as failure:
        raise PreparationFailed(f"{spec.name} calls pip, and no environment could be made for it: {failure}.") from None
    bin_dir = home / "bin"
    _see_what_its_python_saw(home, Path(python))
    for name in ("pip", "pip3"):
        script = bin_dir / name
        script.write_text(_PIP.format(python=bin_dir / "python"))
        script.chmod(0o755)
    note = f"{spec.name} calls pip: it installs into an environment of its own, not into this machine's Python."
    return Prepared(bin_dir, {"VIRTUAL_ENV": str(home), "PYTHONUSERBASE": str(home / "user")}, (note,))


def _see_what_its_python_saw(home: Path, python: Path) -> None:
    """Where the Python on PATH is that of a virtual environment, its packages are not the system's: add them."""
    outer = python.parent.parent
    if not (outer / "pyvenv.cfg").is_file():
        return
    for seen in outer.glob(_PACKAGES):
        for own in home.glob(_PACKAGES):
            (own / "_packages_of_the_host.pth").write_text(f"{seen}\n")
