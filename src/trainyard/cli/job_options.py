"""The nouns custom-jobs and nas-jobs with gcloud's verbs and flags."""

from __future__ import annotations

import argparse
from typing import Final

from trainyard.cli.options import Commands, command, format_option, positive

_SHELL: Final = "sit at a shell in a replica of a running job that was created with --enable-web-access"


def add_job_commands(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add both nouns."""
    verbs = _add_noun(commands, "custom-jobs", "create, list, describe, cancel, delete and follow jobs")
    _add_create_custom_job(verbs, shared)
    _add_verbs(verbs, shared, "custom_jobs:describe")
    _add_metrics(verbs, shared)
    shell = command(verbs, "shell", "shell:custom_job", _SHELL, shared)
    _job_operand(shell)
    _replica_operand(shell)
    verbs = _add_noun(commands, "nas-jobs", "search for neural architectures: create, follow, look at what was found")
    _add_create_nas_job(verbs, shared)
    _add_verbs(verbs, shared, "nas_jobs:describe")
    _add_nas_verbs(verbs, shared)


def _add_noun(commands: Commands, name: str, summary: str) -> Commands:
    noun = commands.add_parser(name, help=summary, allow_abbrev=False)
    noun.set_defaults(noun=name)
    return noun.add_subparsers(dest="verb", metavar="COMMAND", required=True, title="commands")


def _add_verbs(verbs: Commands, shared: argparse.ArgumentParser, describe_with: str) -> None:
    """What every kind of job has, but create."""
    _add_list(verbs, shared)
    describe = command(verbs, "describe", describe_with, "show a job and why it is where it is", shared)
    format_option(describe, "text")
    cancel = command(verbs, "cancel", "verbs:cancel", "ask for the end of a job", shared)
    delete = command(verbs, "delete", "verbs:delete", "delete a job that has ended, with its logs", shared)
    delete.add_argument("--quiet", "-q", action="store_true", help="don't ask")
    logs = command(verbs, "stream-logs", "verbs:stream_logs", "print a job's output until it ends", shared)
    logs.add_argument("--task-name", metavar="TASK", default="", help="one replica, such as workerpool0-0, or service")
    logs.add_argument(
        "--from-start", action=argparse.BooleanOptionalAction, default=True, help="begin with the first line (default)"
    )
    logs.add_argument(
        "--allow-multiline-logs", action="store_true", help="as gcloud has it; lines are never split here"
    )
    logs.add_argument("--polling-interval", metavar="SECONDS", help="as gcloud has it; lines come as they are written")
    format_option(logs, "")
    for parser in (describe, cancel, delete, logs):
        _job_operand(parser)


def _add_metrics(verbs: Commands, shared: argparse.ArgumentParser) -> None:
    metrics = command(verbs, "metrics", "run_metrics:metrics", "show what a job wrote to its event files", shared)
    metrics.add_argument(
        "--points", type=positive, metavar="N", default=1000, help="at most so many of a series (1000)"
    )
    format_option(metrics, "table")
    usage = command(verbs, "usage", "run_usage:usage", "show the CPU, memory, disk and GPU of a job's replicas", shared)
    usage.add_argument("--points", type=positive, metavar="N", default=1000, help="at most so many of a replica (1000)")
    usage.add_argument("--task", metavar="TASK", default="", help="only this replica, such as workerpool0-0")
    usage.add_argument("--attempt", type=positive, metavar="N", help="of this attempt; of the newest without it")
    format_option(usage, "table")
    _job_operand(usage)
    plot = command(
        verbs,
        "plot",
        "run_metrics:plot",
        "draw what a job wrote to its event files, and what its replicas used",
        shared,
    )
    plot.add_argument("--output", metavar="FILE", help="where to: .html, or .png with matplotlib (JOB.html)")
    for parser in (metrics, plot):
        parser.add_argument("--tag", metavar="NAME", default="", help="only this metric, such as loss")
        _job_operand(parser)


def _add_nas_verbs(verbs: Commands, shared: argparse.ArgumentParser) -> None:
    trials = command(
        verbs, "trials", "nas_jobs:trials", "list the trials of a search, with their architectures", shared
    )
    trials.add_argument("--limit", type=positive, metavar="N", help="at most so many")
    trials.add_argument("--best", action="store_true", help="the best first, and only those that were measured")
    format_option(trials, "table")
    plot = command(
        verbs, "plot", "nas_jobs:plot", "draw a search: rewards over trials, and what was chosen when", shared
    )
    plot.add_argument("--output", metavar="FILE", help="where to: .html, or .png with matplotlib (JOB.html)")
    finish = command(
        verbs, "finish", "nas_jobs:finish", "begin no further trials; end once those under way have", shared
    )
    shell = command(verbs, "shell", "shell:nas_trial", _SHELL, shared)
    for parser in (trials, plot, finish, shell):
        _job_operand(parser)
    shell.add_argument("trial", type=positive, metavar="TRIAL", help="its number, as `trials` shows it")
    shell.add_argument("--stage", choices=("search", "train"), default="search", help="which of its programs (search)")
    _replica_operand(shell)


def _replica_operand(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("replica", nargs="?", metavar="REPLICA", default="", help="such as workerpool1-0 (the primary)")


def _job_operand(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="id, full name, or a display name that only one job has")


def _add_create_custom_job(verbs: Commands, shared: argparse.ArgumentParser) -> None:
    create = command(verbs, "create", "custom_jobs:create", "create a custom job", shared)
    create.add_argument("--display-name", required=True, metavar="NAME", help="name for people; need not be unique")
    what = create.add_argument_group("what to run (at least one)")
    what.add_argument("--config", metavar="FILE", help="a CustomJobSpec in YAML; flags override it")
    _add_pool_options(what)
    more = create.add_argument_group("more")
    _add_job_options(more)
    format_option(create, "")


def _add_create_nas_job(verbs: Commands, shared: argparse.ArgumentParser) -> None:
    create = command(verbs, "create", "nas_jobs:create", "create a neural architecture search", shared)
    create.add_argument("--display-name", required=True, metavar="NAME", help="name for people; need not be unique")
    create.add_argument("--follow", action="store_true", help="show the search live until it ends, and end as it ends")
    what = create.add_argument_group("what to search (flags override --config)")
    what.add_argument("--config", metavar="FILE", help="a NasJobSpec in YAML")
    what.add_argument("--search-space", metavar="FILE", help="the text of pg.search_space(value).to_json_str()")
    what.add_argument("--metric-id", metavar="NAME", help="what trials report and are judged by")
    what.add_argument("--metric-goal", choices=("maximize", "minimize"), help="which way is better (maximize)")
    what.add_argument("--algorithm", choices=("reinforcement-learning", "grid-search"), help="how to search")
    for flag, text in (
        ("--max-trial-count", "how many architectures to try"),
        ("--parallel-trial-count", "how many at a time"),
        ("--max-failed-trial-count", "end as FAILED after so many failed trials (0: see docs/nas.md)"),
        ("--train-frequency", "after every N tried architectures train the best ones"),
        ("--train-parallel-trial-count", "how many of the best to train each time"),
    ):
        what.add_argument(flag, type=int, metavar="N", help=text)
    what.add_argument(
        "--resume", metavar="JOB", help="go on where another search ended: its space, its program and its history"
    )
    trial = create.add_argument_group("what a trial runs")
    _add_pool_options(trial)
    trial.add_argument("--output-dir", metavar="gs://…", help="trials write below it, in nas/search/N and nas/train/N")
    trial.add_argument("--timeout", default="", metavar="TIME", help="how long the whole search may run, such as 12h")
    _add_job_options(create.add_argument_group("more"))
    format_option(create, "")


def _add_pool_options(what: argparse._ArgumentGroup) -> None:
    what.add_argument(
        "--worker-pool-spec",
        action="append",
        metavar="K=V,…",
        help="one pool, repeatable: machine-type, replica-count, accelerator-type, accelerator-count, and "
        "container-image-uri or executor-image-uri with python-module; an empty later one skips that pool",
    )
    what.add_argument("--python-package-uris", metavar="URI,…", help="packages for executor-image-uri")
    what.add_argument("--args", metavar="ARG,…", help="arguments of every pool (begin with ^;^ to split at ; instead)")
    what.add_argument("--command", metavar="ARG,…", dest="command_list", help="command of every pool's container")


def _add_job_options(more: argparse._ArgumentGroup) -> None:
    more.add_argument("--labels", metavar="K=V,…", help="labels of the job")
    more.add_argument("--service-account", metavar="EMAIL", help="identity to run as")
    more.add_argument("--network", metavar="NAME", help="projects/NUMBER/global/networks/NAME")
    more.add_argument("--enable-web-access", action="store_true", help="let people open shells in its replicas")
    more.add_argument("--enable-dashboard-access", action="store_true", help="ask for the chief's dashboard")
    more.add_argument("--persistent-resource-id", metavar="ID", help="run on a persistent resource")
    more.add_argument("--kms-key", "--kms-key-name", metavar="KEY", help="key for all that the job writes")
    for flag in ("--kms-keyring", "--kms-location", "--kms-project"):
        more.add_argument(flag, metavar="NAME", help="where a --kms-key without full name lies")


def _add_list(verbs: Commands, shared: argparse.ArgumentParser) -> None:
    listing = command(verbs, "list", "verbs:list_jobs", "list jobs, newest first", shared)
    listing.add_argument(
        "--filter", default="", metavar="EXPR", help="AIP-160, such as 'labels.team=vision AND state=JOB_STATE_FAILED'"
    )
    listing.add_argument("--limit", type=positive, metavar="N", help="at most so many")
    listing.add_argument("--page-size", type=positive, default=100, metavar="N", help="how many to fetch at a time")
    listing.add_argument("--sort-by", default="", metavar="FIELD,…", help="fields to sort by; ~FIELD turns one round")
    listing.add_argument("--uri", action="store_true", help="print addresses instead")
    format_option(listing, "table")
