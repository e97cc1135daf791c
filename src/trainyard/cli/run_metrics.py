"""`trainyard custom-jobs metrics` and `plot`: what a job wrote to its event files, as a table or with pictures."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainyard.cli import run_usage
from trainyard.cli.curves import Curve, of_answer
from trainyard.cli.formats import Format, parse_format, table_lines, write
from trainyard.cli.problems import Refused, Usage
from trainyard.cli.service_api import connect, job_id, short_state
from trainyard.cli.terminal import Terminal

_POINTS_DRAWN = 1000


def metrics(flags: Namespace) -> int:
    """A table with one line a series; in other formats the series with their points."""
    chosen = parse_format(flags.format)
    api = connect(flags)
    answer = api.metrics(api.name_of(flags.job), flags.tag, flags.points)
    _tell_damage(answer)
    if chosen != Format("table"):
        write(answer["series"], chosen, many=True)
        return 0
    curves = of_answer(answer)
    terminal = Terminal()
    if not curves:
        terminal.line(f"There are no event files with scalars in {answer['source']} yet.", err=True)
        return 0
    heads = ("RUN", "METRIC", "POINTS", "STEP", "LAST", "LOWEST", "HIGHEST")
    for number, line in enumerate(table_lines(heads, [_row(curve) for curve in curves])):
        terminal.line(line, *(() if number else ("bold",)))
    return 0


def _row(curve: Curve) -> Sequence[str]:
    last = curve.points[-1] if curve.points else None
    values = [value for _, value in curve.points]
    ends = (f"{min(values):.6g}", f"{max(values):.6g}") if values else ("", "")
    told = (str(last[0]), f"{last[1]:.6g}") if last else ("", "not a number")
    return (curve.run, curve.tag, str(curve.count), *told, *ends)


def plot(flags: Namespace) -> int:
    """Draw every series, and what the replicas used, into a file; the path goes to stdout."""
    path = flags.output or ""
    if path and Path(path).suffix not in (".html", ".png"):
        raise Usage(f"--output={path}: the name ends in .html or in .png")
    api = connect(flags)
    job = api.get(api.name_of(flags.job))
    used = [] if flags.tag else run_usage.curves(api.usage(str(job["name"]), _POINTS_DRAWN))
    try:
        answer = api.metrics(str(job["name"]), flags.tag, _POINTS_DRAWN)
    except Refused as refused:  # a job without an output directory has no event files, but replicas
        if not used or refused.status != "FAILED_PRECONDITION":
            raise
        answer = {"source": ""}
    _tell_damage(answer)
    curves = [*of_answer(answer), *used]
    title = f"{job.get('displayName', '')} ({job_id(job)})"
    path = path or f"{job_id(job)}.html"
    if path.endswith(".png"):
        from trainyard.cli import curves_png  # noqa: PLC0415 - draws with matplotlib

        curves_png.write(title, curves, path)
    else:
        from trainyard.cli import curves_html  # noqa: PLC0415 - only this branch needs it

        page = curves_html.page(title, short_state(job), str(answer["source"]), curves)
        Path(path).write_text(page, encoding="utf-8")
    print(path)
    return 0


def _tell_damage(answer: dict[str, Any]) -> None:
    for each in answer.get("damaged", []):
        print(f"{each['file']}: {each['why']}", file=sys.stderr)
