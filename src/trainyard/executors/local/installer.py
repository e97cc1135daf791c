"""Environments are made by uv, a program of its own: it can be ended at any moment, and its words are passed on.

uv finds package indexes, caches and proxies by its own settings (UV_* variables, uv.toml); none is named here.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from uv import find_uv_bin

from trainyard.executors.local.plan import handed_on

_MOST_WORDS = 2000  # characters of uv's output that go into a sentence
_UNSATISFIABLE = re.compile(r"No solution found|no usable wheels|has no wheels", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"dns error|error sending request|Failed to fetch|network was disabled|network connectivity is disabled"
    r"|tcp connect|timed out|Connection refused",
    re.IGNORECASE,
)
_NO_NETWORK_HINT = (
    "the packages could not be downloaded. Give this machine a way to a package index (uv's own settings, such as "
    'UV_DEFAULT_INDEX, are honoured), or set the prebuilt-image setting to "host" to use what the machine\'s own '
    "Python has."
)


class InstallFailed(Exception):
    """uv could not do it. `unsatisfiable`: the requirements have no solution here, others may have one."""

    def __init__(self, message: str, *, unsatisfiable: bool = False) -> None:
        """Keep the clause and whether another choice of versions is worth a try."""
        super().__init__(message)
        self.unsatisfiable = unsatisfiable


class Installer:
    """Runs uv; every call ends within `limit_seconds`, and with it all that it started."""

    def __init__(self, limit_seconds: float) -> None:
        """Nothing is started yet."""
        self._limit_seconds = limit_seconds
        self._pythons: dict[str, str | None] = {}

    async def python(self, version: str) -> str | None:
        """The path of an installed Python of that version (such as 3.10); None where there is none. Never downloads."""
        if version not in self._pythons:
            code, words = await self._uv("python", "find", "--no-project", version)
            self._pythons[version] = words.strip() if code == 0 else None
        return self._pythons[version]

    async def create(self, home: Path, python: str, *, see_host_packages: bool) -> None:
        """An empty environment that may be moved as a whole; raises InstallFailed."""
        flags = ["--system-site-packages"] if see_host_packages else []
        await self._must("venv", "--relocatable", "--no-project", "--python", python, *flags, str(home))

    async def install(
        self,
        home: Path,
        what: Sequence[str],
        *,
        cpu_torch: bool = False,
        wheels_only: bool = False,
    ) -> None:
        """Install requirement lines or file:// packages with all they require; raises InstallFailed.

        `cpu_torch` asks for PyTorch's much smaller builds without CUDA first (they are published elsewhere, which uv
        knows) and takes the ordinary ones where those can't be had. A UV_TORCH_BACKEND that is set already is kept.
        """
        command = ["pip", "install", "--python", str(home / "bin" / "python")]
        command += ["--no-build"] if wheels_only else []
        if cpu_torch and "UV_TORCH_BACKEND" not in os.environ:
            code, _ = await self._uv(*command, "--torch-backend", "cpu", "--", *what)
            if code == 0:
                return
        await self._must(*command, "--", *what)

    async def _must(self, *arguments: str) -> None:
        code, words = await self._uv(*arguments)
        if code == 0:
            return
        words = words.strip()[-_MOST_WORDS:]
        if _NO_NETWORK.search(words):
            raise InstallFailed(f"{_NO_NETWORK_HINT} The installer said: {words}")
        raise InstallFailed(f"the installer said: {words}", unsatisfiable=bool(_UNSATISFIABLE.search(words)))

    async def _uv(self, *arguments: str) -> tuple[int, str]:
        """Run uv in a process group of its own; (exit code, all it said)."""
        process = await asyncio.create_subprocess_exec(
            find_uv_bin(),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env=_uv_environment(),
            cwd="/",
        )
        try:
            async with asyncio.timeout(self._limit_seconds):
                said, _ = await process.communicate()
        except TimeoutError:
            return 1, f"not done after {self._limit_seconds:.0f} seconds; ended."
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await asyncio.shield(process.wait())
        return process.returncode or 0, said.decode("utf-8", "replace")


def _uv_environment() -> dict[str, str]:
    """What a program would get of the server's environment, since a build is its owner's code, and uv's settings."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "XDG_"))}
    return {
        **handed_on(os.environ),
        **settings,
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
