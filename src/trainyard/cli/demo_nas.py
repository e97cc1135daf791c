"""`trainyard demo --nas`: a search for small networks, on a service that this command starts, live, and its picture."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Final

from trainyard.cli import background
from trainyard.cli.connection import Target
from trainyard.cli.demo import check_needs, ended_with_us, example, say_of_service, service
from trainyard.cli.nas_follow import Watcher, exit_code
from trainyard.cli.nas_jobs import best_lines, draw
from trainyard.cli.nas_results import load
from trainyard.cli.nas_specs import read_nas_config, with_places
from trainyard.cli.parser import DEFAULT_PROJECT, DEFAULT_REGION
from trainyard.cli.problems import INTERRUPTED
from trainyard.cli.service_api import NAS_JOB, Job, ServiceApi, job_id
from trainyard.cli.terminal import Terminal

_SPEC: Final = Path("nas_digits", "spec.yaml")
_SPACE: Final = Path("nas_digits", "search_space.json")
_NEEDS: Final = {"numpy": "numpy", "sklearn": "scikit-learn"}


def demo_nas(flags: Namespace) -> int:
    """Start a service, search on it, show the best and draw the picture."""
    check_needs(_NEEDS, "make demo-nas")
    terminal = Terminal()
    running, directory = service(flags, terminal)
    keep = flags.keep
    try:
        api = ServiceApi(Target(running.endpoint, DEFAULT_PROJECT, DEFAULT_REGION), NAS_JOB)
        began = time.monotonic()
        job = api.create(_job())
        name = str(job["name"])
        terminal.line(f"search    {name}")
        watcher = Watcher(api, name, terminal)
        with ended_with_us(api, name):
            code = exit_code(watcher.watch())
        keep = keep or watcher.left
        if watcher.left:
            return INTERRUPTED
        terminal.line(f"\nsearched for {time.monotonic() - began:.1f} s", "bold")
        _results(api, job, terminal, directory)
    finally:
        if not keep:
            background.stop(running)
    look = "Look at the trials: trainyard nas-jobs trials nas-digits" if keep else ""
    say_of_service(terminal, running, directory, look, "demo --nas")
    return code


def _job() -> Job:
    spec = example(_SPEC)
    found = read_nas_config(str(spec))
    found["searchSpaceSpec"] = example(_SPACE).read_text("utf-8")
    with_places(found, str(spec), sys.executable)
    return {"displayName": "nas-digits", "nasJobSpec": found}


def _results(api: ServiceApi, job: Job, terminal: Terminal, directory: Path) -> None:
    """How the trials stand, the best architectures, and where the picture is."""
    search = load(api, str(job["name"]))
    for line in best_lines(terminal, search):
        terminal.line(line)
    path = str(directory / f"nas-digits-{job_id(job)}.html")
    draw(search, path)
    terminal.line()
    terminal.line(f"picture   {path}")
