"""`trainyard health`: whether the service answers, and what it says of itself."""

from __future__ import annotations

from argparse import Namespace

from trainyard.cli.formats import parse_format, write, yaml_text
from trainyard.cli.service_api import connect
from trainyard.cli.terminal import Terminal


def health(flags: Namespace) -> int:
    """Print what the service says; ends with 3 when none answers, with 1 when it is not well."""
    chosen = parse_format(flags.format)
    api = connect(flags)
    told = api.health()
    well = str(told.get("status", "ok")).lower() in ("ok", "serving", "ready", "healthy")
    terminal = Terminal()
    if chosen.kind != "text":
        write([told], chosen, many=False)
    else:
        word = terminal.paint("healthy", "green") if well else terminal.paint("degraded", "red")
        terminal.line(f"{api.target.endpoint} is {word}")
        for line in yaml_text(told).splitlines():
            terminal.line(f"  {line}")
    return 0 if well else 1
