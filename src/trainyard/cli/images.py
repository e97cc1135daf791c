"""`trainyard images`: which images are here, what a job's image becomes here, and fetching one beforehand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from trainyard.cli.background import data_dir
from trainyard.cli.problems import Problem
from trainyard.cli.terminal import Terminal

_TOOL: Final = "trainyard.executors.local.image_tool"  # in a process of its own: a client imports no executor
_SETTINGS: Final = ("runtime", "registry_auth", "docker_host", "prebuilt_images")


def list_images(flags: Namespace) -> int:
    """Every image that jobs could run in at once."""
    return _show(flags, "list", (), lambda one: f"{one['megabytes']:>7} MB  {one['image']}")


def map_images(flags: Namespace) -> int:
    """What the image of a job becomes here."""
    return _show(flags, "map", flags.image, _mapping)


def pull_images(flags: Namespace) -> int:
    """Fetch images before a job needs them."""
    return _show(flags, "pull", flags.image, lambda one: f"{one['image']} is here.")


def _mapping(one: dict[str, Any]) -> str:
    python = f", Python {one['python']}" if one["python"] else ""
    packages = f": {', '.join(one['packages'])}{python}" if one["packages"] else ""
    return f"{one['image']} runs {one['runs']}{packages}"


def _show(flags: Namespace, verb: str, uris: Any, line: Any) -> int:
    """Print answers as they come; raises Problem with the last that is one."""
    terminal, problems = Terminal(), []
    for one in _answers(flags, verb, list(uris)):
        if "problem" in one:
            problems.append(one["problem"])
        elif flags.format == "json":
            print(json.dumps(one), flush=True)
        else:
            terminal.line(line(one))
    if problems:
        raise Problem(problems[-1], details=tuple(problems[:-1]))
    return 0


def _settings_in(path: Path) -> dict[str, Any]:
    """What the service of this data directory is told by its file. Raises Problem where it can't be read."""
    import tomllib  # noqa: PLC0415 - not every command reads settings

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Problem(f"{path}: {error}") from None


def _answers(flags: Namespace, verb: str, uris: list[str]) -> Iterator[dict[str, Any]]:
    directory = data_dir(os.environ, flags.data_dir)
    written = _settings_in(directory / "settings.toml")
    given = {name: os.environ.get(f"TRAINYARD_{name.upper()}", "") or written.get(name) for name in _SETTINGS}
    settings = {name: str(value) for name, value in given.items() if value}
    asked = {"data_dir": str(directory), "settings": settings, "uris": uris}
    command = [sys.executable, "-m", _TOOL, verb, json.dumps(asked)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        for said in tool.stdout:
            yield json.loads(said)
    if tool.returncode:
        raise Problem("the images could not be looked at; what went wrong stands above")
