"""`trainyard nas-jobs …`: what gcloud's verbs mean for architecture searches, and two of its own: trials and plot."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime
from pathlib import Path
from typing import Any

from trainyard.cli import explaining, nas_html, nas_png
from trainyard.cli.formats import Format, parse_format, table_lines, write, yaml_text
from trainyard.cli.nas_follow import Watcher, exit_code
from trainyard.cli.nas_picture import picture, rows
from trainyard.cli.nas_results import Found, Search, load
from trainyard.cli.nas_specs import nas_job_from_flags
from trainyard.cli.problems import INTERRUPTED, Problem, Usage
from trainyard.cli.run import python
from trainyard.cli.service_api import OWN, Job, connect, job_id
from trainyard.cli.terminal import Terminal
from trainyard.cli.verbs import submitted

_BEST_DESCRIBED = 5


def create(flags: Namespace) -> int:
    """Create a search and say how to go on; with --follow show it until it ends."""
    chosen = parse_format(flags.format or "none")
    api = connect(flags)
    resumed = api.get(api.name_of(flags.resume)) if flags.resume else None
    job = api.create(nas_job_from_flags(flags, resumed, python()))
    submitted(api, job, chosen)
    if not flags.follow:
        return 0
    terminal = Terminal()
    watcher = Watcher(api, str(job["name"]), terminal)
    ended = watcher.watch()
    if watcher.left:
        return INTERRUPTED
    for line in best_lines(terminal, load(api, str(job["name"]), best_only=True)):
        terminal.line(line)
    return exit_code(ended)


def describe(flags: Namespace) -> int:
    """The resource; in text how the trials stand, the best architectures, and why the job is where it is."""
    chosen = parse_format(flags.format)
    api = connect(flags)
    name = api.name_of(flags.job)
    if chosen.kind != "text":
        write([api.get(name)], chosen, many=False)
        return 0
    search = load(api, name, best_only=True)
    terminal = Terminal()
    for line in yaml_text(_shortened(search.job)).splitlines():
        terminal.line(line)
    for line in best_lines(terminal, search):
        terminal.line(line)
    for line in explaining.lines(terminal, api.explain(name)):
        terminal.line(line)
    return 0


def _shortened(job: Job) -> Job:
    """The job without what people can't read: the text of its space, and trials by the hundred (see `trials`)."""
    shown = {**job, "nasJobSpec": dict(job.get("nasJobSpec", {}))}
    shown.pop("nasJobOutput", None)
    if text := shown["nasJobSpec"].pop("searchSpaceSpec", ""):
        shown["nasJobSpec"]["searchSpaceSpec"] = f"({len(text):,} characters; --format=json shows them)"
    return shown


def best_lines(terminal: Terminal, search: Search) -> list[str]:
    """A section with the best architectures and one with how the trials stand; empty where there are no trials."""
    if not search.trials:
        return []
    states = [trial.state for trial in search.trials]
    counts = ", ".join(f"{states.count(state)} {state.lower()}" for state in sorted(set(states), key=states.index))
    found = ["", terminal.paint("TRIALS", "bold"), f"  {counts} of {search.planned or len(states)}"]
    if best := rows(search, _BEST_DESCRIBED):
        trained = any(row.trained is not None for row in best)
        heads = ("TRIAL", search.metric.upper() or "VALUE", *(("TRAINED",) if trained else ()), "ARCHITECTURE")
        table = [
            (str(row.number), f"{row.value:.6g}", *((_number(row.trained),) if trained else ()), row.architecture)
            for row in best
        ]
        found += ["", terminal.paint("BEST ARCHITECTURES", "bold")]
        found += [f"  {line}" for line in table_lines(heads, table)]
    return found


def trials(flags: Namespace) -> int:
    """A table of all trials; in other formats what the API has of each, its parameters beside."""
    chosen = parse_format(flags.format)
    api = connect(flags)
    search = load(api, api.name_of(flags.job))
    shown = (search.best() if flags.best else list(search.trials))[: flags.limit]
    if chosen != Format("table"):
        write((_resource(trial) for trial in shown), chosen, many=True)
        return 0
    terminal = Terminal()
    if not shown:
        terminal.line(f"NasJob [{search.job['name']}] has no such trials yet.", err=True)
        return 0
    heads = ("TRIAL", "STATE", search.metric.upper() or "VALUE", "TRAINED", "RAN FOR", "ARCHITECTURE")
    table = [
        (
            str(trial.number),
            trial.state,
            _number(trial.value),
            _number(trial.trained),
            _lasted(trial),
            search.architecture(trial),
        )
        for trial in shown
    ]
    for number, line in enumerate(table_lines(heads, table)):
        terminal.line(line, *(() if number else ("bold",)))
    return 0


def _resource(trial: Found) -> dict[str, Any]:
    found: dict[str, Any] = {"id": str(trial.number), "state": trial.state, "parameters": trial.parameters}
    found |= {"metrics": dict(trial.metrics), "startTime": trial.start, "endTime": trial.end}
    return found if trial.trained is None else found | {"trained": trial.trained}


def finish(flags: Namespace) -> int:
    """Ask a search to begin nothing more; what has been found stays, the best are trained, the job succeeds."""
    api = connect(flags)
    name = api.name_of(flags.job)
    api.connection.call("POST", f"{OWN}/{name}:finish", body={})
    Terminal().line(f"Request to finish NasJob [{name}] has been sent.", err=True)
    return 0


def plot(flags: Namespace) -> int:
    """Draw a search into a file; the path goes to stdout."""
    path = flags.output or ""
    if path and Path(path).suffix not in (".html", ".png"):
        raise Usage(f"--output={path}: the name ends in .html or in .png")
    api = connect(flags)
    search = load(api, api.name_of(flags.job))
    path = path or f"{job_id(search.job)}.html"
    draw(search, path)
    print(path)
    return 0


def draw(search: Search, path: str) -> None:
    """Write the picture of a search; the name's ending says how. Raises Problem where that can't be."""
    drawn = picture(search)
    try:
        if Path(path).suffix == ".png":
            nas_png.write(drawn, path)
        else:
            Path(path).write_text(nas_html.page(drawn), "utf-8")
    except OSError as error:
        raise Problem(f"the picture can't be written to {path}: {error.strerror}") from None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _lasted(trial: Found) -> str:
    if not trial.start or not trial.end:
        return ""
    seconds = (datetime.fromisoformat(trial.end) - datetime.fromisoformat(trial.start)).total_seconds()
    return explaining.duration(seconds)
