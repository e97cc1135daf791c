"""`trainyard doctor`: says what will work on this machine and how to get the rest; fails only where nothing would."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from dataclasses import asdict
from typing import Final

from trainyard.cli import checks
from trainyard.cli.background import data_dir
from trainyard.cli.terminal import Terminal

SQL_PORT: Final = 5466
"""The settings' own (settings.SQL_PORT), which would cost an import to read."""


def doctor(flags: Namespace) -> int:
    """Print every finding; ends with 1 when something is missing without which Trainyard does not work."""
    findings = examine(flags)
    broken = [finding for finding in findings if finding.core and not finding.good]
    if flags.format == "json":
        print(json.dumps({"ready": not broken, "findings": [asdict(each) for each in findings]}, indent=2))
        return int(bool(broken))
    terminal = Terminal()
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark, style = ("ok", "green") if finding.good else ("NO", "red") if finding.core else ("--", "yellow")
        terminal.line(f"{terminal.paint(mark, style)}  {finding.name:<{width}}  {finding.found}")
        if not finding.good and finding.remedy:
            terminal.line(f"    {'':<{width}}  {terminal.paint('to get it: ' + finding.remedy, 'dim')}")
    terminal.line()
    if broken:
        terminal.line(f"Trainyard will not work here: {', '.join(each.name for each in broken)}.", "red", "bold")
    else:
        terminal.line(
            "Jobs will run on this machine."
            if all(each.good for each in findings)
            else "Jobs will run on this machine; what is marked -- is optional.",
            "green",
            "bold",
        )
    return int(bool(broken))


def examine(flags: Namespace) -> list[checks.Finding]:
    """Every finding, what is essential first."""
    directory = data_dir(os.environ, flags.data_dir)
    return [
        checks.python_version(),
        checks.system(),
        checks.subreaper(),
        checks.splice(),
        checks.unix_sockets(),
        checks.data_directory(directory),
        checks.disk_space(directory),
        checks.flush_speed(directory),
        checks.sealing(directory),
        checks.key_ring(directory),
        checks.port(flags.port),
        checks.sql_port(SQL_PORT),
        checks.uv(),
        checks.cgroups(),
        checks.gpus(),
        checks.demo_packages(),
        checks.official_client(),
        *checks.containers(directory),
        checks.engines(),
    ]
