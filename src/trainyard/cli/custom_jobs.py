"""`trainyard custom-jobs …`: what gcloud's verbs mean for custom jobs alone."""

from __future__ import annotations

from argparse import Namespace

from trainyard.cli import explaining, run_usage
from trainyard.cli.formats import parse_format, write, yaml_text
from trainyard.cli.job_specs import job_from_flags
from trainyard.cli.service_api import connect
from trainyard.cli.terminal import Terminal
from trainyard.cli.verbs import submitted


def create(flags: Namespace) -> int:
    """Create a job and say how to go on; `--format` prints the resource."""
    chosen = parse_format(flags.format or "none")
    api = connect(flags)
    submitted(api, api.create(job_from_flags(flags)), chosen)
    return 0


def describe(flags: Namespace) -> int:
    """The resource; in text also why it is where it is, its place in the queue, its history and its replicas."""
    chosen = parse_format(flags.format)
    api = connect(flags)
    job = api.get(api.name_of(flags.job))
    if chosen.kind != "text":
        write([job], chosen, many=False)
        return 0
    terminal = Terminal()
    for line in yaml_text(job).splitlines():
        terminal.line(line)
    for line in explaining.lines(terminal, api.explain(str(job["name"]))):
        terminal.line(line)
    for line in run_usage.lines(terminal, api.usage(str(job["name"]))):
        terminal.line(line)
    return 0
