"""gcloud's verbs as every kind of job has them: list, cancel, delete, stream-logs, over the public API."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from trainyard.cli import explaining
from trainyard.cli.follow import Follower, labelled, shown_text
from trainyard.cli.formats import Format, parse_format, table_lines, value_at, write
from trainyard.cli.job_specs import comma_list
from trainyard.cli.problems import Usage
from trainyard.cli.service_api import FINAL_STATES, VERSION, Job, ServiceApi, connect, job_id, short_state
from trainyard.cli.terminal import STATE_STYLES, Terminal

_MOST_ASKED = 50  # running jobs in a table that are asked how far they are


def submitted(api: ServiceApi, job: Job, chosen: Format) -> None:
    """Say that a job was created and how to go on; `chosen` prints the resource."""
    terminal = Terminal()
    terminal.line(f"{api.kind.resource} [{job['name']}] is submitted successfully.", err=True)
    terminal.line(f"\n  trainyard {api.kind.command} describe {job_id(job)}", err=True)
    terminal.line(f"  trainyard {api.kind.command} stream-logs {job_id(job)}", err=True)
    write([job], chosen, many=False)


def list_jobs(flags: Namespace) -> int:
    """List jobs; the filter is the service's, order and columns are ours."""
    chosen = parse_format(flags.format)
    api = connect(flags)
    jobs: Iterator[Job] = api.jobs(flags.filter, min(flags.page_size, flags.limit or flags.page_size))
    if flags.sort_by:
        jobs = iter(_sorted(list(jobs), flags.sort_by))
    jobs = islice(jobs, flags.limit)
    if flags.uri:
        for job in jobs:
            print(f"{api.target.endpoint}/{VERSION}/{job['name']}")
    elif chosen == Format("table"):
        _print_table(list(jobs), api)
    else:
        write(jobs, chosen, many=True)
    return 0


def _sorted(jobs: list[Job], keys: str) -> list[Job]:
    """By several fields, the first one most important; absent values last."""
    for key in reversed(comma_list(keys)):
        field = key.strip().removeprefix("~")
        backwards = key.strip().startswith("~")
        present = [job for job in jobs if value_at(job, field) is not None]
        absent = [job for job in jobs if value_at(job, field) is None]
        jobs = sorted(present, key=_order(field), reverse=backwards) + absent
    return jobs


def _order(field: str) -> Callable[[Job], str]:
    return lambda job: str(value_at(job, field))


def _print_table(jobs: list[Job], api: ServiceApi) -> None:
    terminal = Terminal()
    if not jobs:
        terminal.line(f"Listed 0 items in {api.target.parent}.", err=True)
        return
    rows: list[tuple[str, ...]] = [
        (job_id(job), str(job.get("displayName", "")), short_state(job), _local(job.get("createTime")), _lasted(job))
        for job in jobs
    ]
    headings: tuple[str, ...] = ("ID", "NAME", "STATE", "CREATED", "RAN FOR")
    if any(far := _progress(jobs, api)):
        rows = [(*row, words) for row, words in zip(rows, far, strict=True)]
        headings = (*headings, "PROGRESS")
    lines = list(table_lines(headings, rows))
    terminal.line(lines[0], "bold")
    for job, line in zip(jobs, lines[1:], strict=True):
        state = short_state(job)
        before, word, after = line.partition(f"  {state} ")
        painted = terminal.paint(word, STATE_STYLES.get(state, "bold"))
        terminal.line(before + painted + after)


def _progress(jobs: list[Job], api: ServiceApi) -> list[str]:
    """How far each running job says it is; only the first page of them is asked."""
    running = [str(job["name"]) for job in jobs if short_state(job) == "RUNNING"][:_MOST_ASKED]
    told = {name: "".join(explaining.progress_words(api.explain(name).get("progress"))) for name in running}
    return [told.get(str(job["name"]), "") for job in jobs]


def moment(text: Any) -> datetime | None:
    """A timestamp of the API; None where there is none."""
    return datetime.fromisoformat(str(text)) if text else None


def _local(text: Any) -> str:
    when = moment(text)
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S") if when else ""


def _lasted(job: Job) -> str:
    start, end = moment(job.get("startTime")), moment(job.get("endTime"))
    if start is None:
        return ""
    return explaining.duration(((end or datetime.now(UTC)) - start).total_seconds())


def cancel(flags: Namespace) -> int:
    """Ask for the end of a job; a job that has ended stays as it is."""
    api = connect(flags)
    name = api.name_of(flags.job)
    api.cancel(name)
    job = api.get(name)
    terminal = Terminal()
    if job.get("state") in FINAL_STATES and job.get("state") != "JOB_STATE_CANCELLED":
        terminal.line(f"{api.kind.resource} [{name}] has ended before: {short_state(job)}.", err=True)
    else:
        terminal.line(f"Request to cancel {api.kind.resource} [{name}] has been sent.", err=True)
    return 0


def delete(flags: Namespace) -> int:
    """Delete a job that has ended, after asking on a terminal."""
    api = connect(flags)
    name = api.name_of(flags.job)
    terminal = Terminal()
    if not flags.quiet and sys.stdin.isatty():
        job = api.get(name)
        terminal.line(
            f"This deletes {api.kind.resource} [{name}] ({job.get('displayName', '')}) and its logs.", err=True
        )
        terminal.err.write("Do you want to continue (y/N)? ")
        terminal.err.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            terminal.line("Nothing was deleted.", err=True)
            return 1
    api.delete(name)
    terminal.line(f"Deleted {api.kind.resource} [{name}].", err=True)
    return 0


def stream_logs(flags: Namespace) -> int:
    """Print a job's output as it comes, until the job ends; nothing is lost when the service restarts meanwhile."""
    if flags.format and parse_format(flags.format).kind != "json":
        raise Usage("stream-logs prints text, or with --format=json one object a line")
    api = connect(flags)
    name = api.name_of(flags.job)
    api.get(name)
    cursor = "" if flags.from_start else api.last_cursor(name, flags.task_name)
    terminal = Terminal()
    follower = Follower(api, name, terminal, task=flags.task_name, cursor=cursor)
    show = _as_json if flags.format else _on_terminal if terminal.live and terminal.out.isatty() else _as_gcloud
    follower.narration = True
    follower.show_line = lambda entry: show(terminal, entry)
    follower.show_states = terminal.live and not flags.format
    follower.follow()
    return 0 if not follower.left else 130


def _as_json(terminal: Terminal, entry: Any) -> None:
    import json  # noqa: PLC0415 - cheap here: the connection has it already

    terminal.line(json.dumps(entry, ensure_ascii=False))


def _as_gcloud(terminal: Terminal, entry: Any) -> None:
    """Severity, time, task and message between tabs, as gcloud prints them."""
    when = moment(entry.get("time"))
    stamp = when.astimezone().strftime("%Y-%m-%d %H:%M:%S %z") if when else ""
    parts = (str(entry.get("severity", "")), stamp, str(entry.get("task", "")), shown_text(entry, live=False))
    terminal.line("\t".join(parts))


def _on_terminal(terminal: Terminal, entry: Any) -> None:
    when = moment(entry.get("time"))
    stamp = when.astimezone().strftime("%H:%M:%S") if when else ""
    line = labelled(terminal, str(entry.get("task", "")), shown_text(entry, live=True), len("workerpool0-0"))
    terminal.line(f"{terminal.paint(stamp, 'dim')} {line}")
