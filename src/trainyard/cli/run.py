"""`trainyard run`: a script or a spec becomes a job, is followed, and the command ends as the job ended."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from trainyard.cli import background
from trainyard.cli.follow import Follower
from trainyard.cli.job_specs import add_env, add_places, comma_map, duration_seconds, job_from_file
from trainyard.cli.parser import add_run_options
from trainyard.cli.problems import FAILED, INTERRUPTED, Unreachable, Usage
from trainyard.cli.service_api import Job, ServiceApi, connect, job_id
from trainyard.cli.terminal import Terminal

_SPEC_SUFFIXES: Final = (".yaml", ".yml", ".json")
_EXIT_STATUS: Final = re.compile(r"exited with a non-zero status of (\d+)")
# The service looks at neither for a program that runs on the host; both are required by the API.
_IMAGE: Final = "host"
_MACHINE: Final = "n1-standard-4"


def run(flags: Namespace) -> int:
    """Submit, follow, and return the job's outcome as an exit code."""
    is_spec = flags.program.endswith(_SPEC_SUFFIXES)
    if is_spec:
        flags = _options_behind_a_spec(flags)
    job = _job_of_spec(flags) if is_spec else _job_of_program(flags)
    for pair in flags.label:
        job.setdefault("labels", {}).update(comma_map(pair, "--label"))
    if flags.timeout:
        seconds = duration_seconds(flags.timeout)
        job["jobSpec"].setdefault("scheduling", {})["timeout"] = f"{seconds:g}s" if seconds < 1e6 else f"{seconds:.0f}s"
    terminal = Terminal()
    api = connect(flags)
    background.ensure(api, terminal, os.environ)
    created = api.create(job)
    return follow_to_the_end(api, created, terminal, labelled=_replicas(job) > 1)


def follow_to_the_end(api: ServiceApi, created: Job, terminal: Terminal, *, labelled: bool) -> int:
    """Show a job until it ends. The first Ctrl-C cancels it, the second leaves it to the service."""
    name = str(created["name"])
    short = job_id(created)

    def interrupted(times: int) -> bool:
        if times > 1:
            terminal.line(f"left to the service; look again: trainyard custom-jobs stream-logs {short}", err=True)
            return True
        try:
            api.cancel(name)
        except Unreachable:
            terminal.line("the service is gone and can't cancel; press Ctrl-C again to leave", "red", err=True)
        else:
            terminal.line("cancelling the job; press Ctrl-C again to leave it to the service", "yellow", err=True)
        return False

    follower = Follower(api, name, terminal)
    if not labelled:
        follower.show_line = follower.bare_line
    follower.on_interrupt = interrupted
    final = follower.follow()
    return INTERRUPTED if follower.left else exit_code(final)


def exit_code(job: Job) -> int:
    """0, the program's own code, 130 for a cancelled job, 1 for what failed without a code."""
    match job.get("state"):
        case "JOB_STATE_SUCCEEDED":
            return 0
        case "JOB_STATE_CANCELLED":
            return INTERRUPTED
    told = _EXIT_STATUS.search(str(job.get("error", {}).get("message", "")))
    return int(told.group(1)) % 256 or FAILED if told else FAILED


def _options_behind_a_spec(flags: Namespace) -> Namespace:
    """A spec takes no arguments, so what stands behind it are more options of `run`."""
    if not flags.arguments:
        return flags
    parser = argparse.ArgumentParser(prog=f"trainyard run {flags.program}", add_help=False, allow_abbrev=False)
    add_run_options(parser)
    defaults = {key: getattr(flags, key) for key in ("replicas", "name", "env", "label", "timeout")}
    parser.set_defaults(**defaults)
    return Namespace(**{**vars(flags), **vars(parser.parse_args(flags.arguments)), "arguments": []})


def _job_of_spec(flags: Namespace) -> dict[str, Any]:
    if flags.replicas is not None:
        raise Usage("--replicas is for scripts; a spec says its replicaCount itself")
    job = job_from_file(flags.program)
    if flags.name:
        job["displayName"] = flags.name
    add_places(job, flags.program, python())
    add_env(job, flags.env)
    return job


def _job_of_program(flags: Namespace) -> dict[str, Any]:
    path = Path(flags.program)
    if not path.is_file():
        raise Usage(f"there is no file {flags.program}")
    # The program runs where the caller stands, so that relative paths mean what they mean here.
    command = ["sh", "-c", 'cd -- "$0" && exec "$@"', str(Path.cwd()), *_program(path)]
    count = flags.replicas or 1
    pools = [_pool(1, command, flags.arguments)]
    if count > 1:
        pools.append(_pool(count - 1, command, flags.arguments))
    job: dict[str, Any] = {"displayName": flags.name or path.name, "jobSpec": {"workerPoolSpecs": pools}}
    add_env(job, [*([] if _sets(flags.env, "PYTHONUNBUFFERED") else ["PYTHONUNBUFFERED=1"]), *flags.env])
    return job


def _pool(count: int, command: list[str], arguments: list[str]) -> dict[str, Any]:
    container = {"imageUri": _IMAGE, "command": [literal(each) for each in command]}
    if arguments:
        container["args"] = [literal(each) for each in arguments]
    return {"machineSpec": {"machineType": _MACHINE}, "replicaCount": str(count), "containerSpec": container}


def literal(text: str) -> str:
    """An argument that reaches the program as it is: the service makes one `$` of two, and looks into `$(NAME)`."""
    return text.replace("$", "$$")


def _program(path: Path) -> list[str]:
    """How to start a file: Python scripts with the caller's Python, shell scripts with sh, others as they are."""
    shown = str(path) if path.is_absolute() or path.parent != Path() else f"./{path}"
    if path.suffix == ".py":
        return [python(), shown]
    if os.access(path, os.X_OK):
        return [shown]
    if path.suffix == ".sh":
        return ["sh", shown]
    raise Usage(f"{path} is neither a .py script, a .sh script, a .yaml or .json spec, nor executable")


def python() -> str:
    """The Python that a script gets: the active virtual environment's, else the first on PATH, else our own."""
    environment = os.environ.get("VIRTUAL_ENV", "")
    own = Path(environment, "bin", "python") if environment else None
    if own and own.exists():
        return str(own)
    return shutil.which("python3") or sys.executable


def _sets(pairs: list[str], name: str) -> bool:
    return any(pair.partition("=")[0] == name for pair in pairs)


def _replicas(job: dict[str, Any]) -> int:
    counts = [pool.get("replicaCount", 1) for pool in job["jobSpec"]["workerPoolSpecs"] if pool]
    return sum(int(count) if str(count).isdecimal() else 1 for count in counts)
