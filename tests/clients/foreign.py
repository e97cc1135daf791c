"""Runs the programs of others, in environments that are made once and kept."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TRAINYARD = str(Path(sys.executable).with_name("trainyard"))
LIMIT_SECONDS = 240


def made_once(folder: Path, recipe: str, make: Callable[[], None]) -> Path:
    """Run `make` unless the folder was made by the same recipe before, also when several runs want it at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder.with_suffix(".made")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != recipe:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            make()
            stamp.write_text(recipe)
    return folder


@dataclass
class Ended:
    """What a program left behind: exit code, what it printed, what it complained of."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object on its last line."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        told: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return told


def clean_environment(**more: str) -> dict[str, str]:
    """What a user's shell has: nothing of ours, nothing of Google's."""
    ours = ("TRAINYARD_", "GOOGLE_", "CLOUDSDK_", "STORAGE_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PYTHONDONTWRITEBYTECODE": ""} | more


def run(command: list[str], cwd: Path | None = None, **more: str) -> Ended:
    """Run a program to its end in a clean environment."""
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env=clean_environment(**more),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def pyglove_python(version: str) -> str:
    """A Python with this pyglove, made with uv from the registry."""
    folder = ROOT / ".venv" / f".pyglove-{version}"
    uv, python = str(Path(sys.executable).with_name("uv")), str(folder / "bin" / "python")
    package = f"pyglove=={version}"

    def make() -> None:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, package], check=True)

    made_once(folder, package + sys.version, make)
    return python


def program(name: str) -> str:
    """The path of a user's program in programs/."""
    return str(HERE / "programs" / name)
