"""The whole command line as one argparse tree, from which help and shell completion are made.

Handlers stand as text (`module:function`) and are imported only when their command runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Final

from trainyard.cli.exchange_options import add_exchange_commands
from trainyard.cli.job_options import add_job_commands
from trainyard.cli.key_options import add_key_commands
from trainyard.cli.options import Commands, command, format_option, positive
from trainyard.cli.pool_options import add_pool_commands
from trainyard.cli.serve import add_arguments as add_serve_arguments
from trainyard.cli.sql_options import add_sql_command

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:8470"
DEFAULT_PROJECT: Final = "demo"
DEFAULT_REGION: Final = "us-central1"
_EXIT_CODES: Final = """exit codes:
  0    done; for `run`, the job succeeded
  1    refused by the service, or the job failed without an exit code of its own
  2    the command line is wrong
  3    no service answers
  130  interrupted, or the job of `run` was cancelled
  Any other code is the one with which the program under `run` ended.
"""


def build_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """The tree; defaults come from the environment."""
    shared = _shared_options(environment)
    parser = argparse.ArgumentParser(
        prog="trainyard",
        description="Vertex AI Training that runs anywhere.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    add_job_commands(commands, shared)
    vendor = commands.add_parser(
        "ai", help="accepted before custom-jobs and nas-jobs, as gcloud has it", allow_abbrev=False
    )
    add_job_commands(vendor.add_subparsers(dest="noun", metavar="COMMAND", required=True), shared)
    _add_run(commands, shared)
    _add_clients(commands, shared)
    add_sql_command(commands, shared)
    _add_service_commands(commands, shared)
    _add_tokens(commands, environment)
    add_pool_commands(commands, shared)
    add_key_commands(commands, shared)
    add_exchange_commands(commands, environment)
    return parser


def _shared_options(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = shared.add_argument_group("which service")
    group.add_argument(
        "--endpoint",
        metavar="URL",
        default=environment.get("TRAINYARD_ENDPOINT") or DEFAULT_ENDPOINT,
        help="address of the service (TRAINYARD_ENDPOINT; now %(default)s)",
    )
    group.add_argument(
        "--project",
        metavar="P",
        default=environment.get("GOOGLE_CLOUD_PROJECT") or DEFAULT_PROJECT,
        help="project id or number (GOOGLE_CLOUD_PROJECT; now %(default)s)",
    )
    group.add_argument(
        "--region",
        metavar="R",
        default=environment.get("TRAINYARD_REGION") or DEFAULT_REGION,
        help="region (TRAINYARD_REGION; now %(default)s)",
    )
    return shared


def add_run_options(run: argparse.ArgumentParser) -> None:
    """What `run` takes before the program; after a spec file too."""
    run.add_argument("--replicas", type=positive, default=None, metavar="N", help="copies: one chief and N-1 workers")
    run.add_argument("--name", default="", help="display name (default: the file's name)")
    run.add_argument("--env", action="append", default=[], metavar="K=V", help="environment variable; repeatable")
    run.add_argument("--label", action="append", default=[], metavar="K=V", help="label of the job; repeatable")
    run.add_argument("--timeout", default="", metavar="TIME", help="how long it may run, such as 90s, 15m or 2h")


def _add_run(commands: Commands, shared: argparse.ArgumentParser) -> None:
    run = command(
        commands, "run", "run:run", "run a script or a spec and end as it ends; starts a service if none runs", shared
    )
    add_run_options(run)
    run.add_argument("program", metavar="FILE", help="script.py, another program, or a job as spec.yaml or spec.json")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARG", help="the script's own arguments")


def _add_clients(commands: Commands, shared: argparse.ArgumentParser) -> None:
    execute = command(
        commands,
        "exec",
        "execute:execute",
        "run any program with its Vertex AI code unedited against the service; starts one if none runs",
        shared,
    )
    execute.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="let the program reach this host, such as bigquery.googleapis.com or *.googleapis.com; repeatable",
    )
    execute.add_argument("--quiet", "-q", action="store_true", help="don't say which hosts are redirected")
    execute.add_argument("program", nargs=argparse.REMAINDER, metavar="-- PROGRAM ARG…", help="what to run")
    env = command(commands, "env", "env:env", 'print what clients must be told, for eval "$(trainyard env)"', shared)
    env.add_argument("--format", choices=("shell", "dotenv", "json"), default="shell", help="how to print")
    env.add_argument("--code", action="store_true", help="print the three lines of Python instead")


def _add_service_commands(
    commands: Commands,
    shared: argparse.ArgumentParser,
) -> None:
    add_serve_arguments(command(commands, "serve", "serve:run", "run the service"))
    health = command(commands, "health", "health:health", "ask the service how it is", shared)
    format_option(health, "text")
    doctor = command(commands, "doctor", "doctor:doctor", "check what will work on this machine")
    doctor.add_argument("--data-dir", metavar="DIR", default="", help="directory of all state")
    doctor.add_argument("--port", type=int, default=8470, metavar="N", help="port that the service is to listen on")
    doctor.add_argument("--format", choices=("text", "json"), default="text", help="how to print")
    _add_images(commands)
    demo = command(commands, "demo", "demo:demo", "run the main example: three replicas train one model together")
    demo.add_argument("--nas", action="store_true", help="the other example: a search for neural architectures")
    demo.add_argument("--keep", action="store_true", help="leave the service running at the end")
    demo.add_argument("--data-dir", metavar="DIR", default="", help="where the demo's service keeps everything")
    demo.add_argument("--port", type=int, default=None, metavar="N", help="its port (default: 8470 if free)")
    completion = command(commands, "completion", "completion:completion", "print the completion script of a shell")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    command(commands, "version", "version:version", "print the version")


def _add_images(commands: Commands) -> None:
    images = commands.add_parser("images", help="the images of jobs, on this machine", allow_abbrev=False)
    verbs = images.add_subparsers(dest="verb", metavar="COMMAND", required=True, title="commands")
    listing = command(verbs, "list", "images:list_images", "show which images are here")
    mapping = command(verbs, "map", "images:map_images", "show what an image of a job becomes on this machine")
    pulling = command(verbs, "pull", "images:pull_images", "fetch images before a job needs them")
    for verb in (mapping, pulling):
        verb.add_argument("image", nargs="+", metavar="IMAGE", help="the URI, as a job names it")
    for verb in (listing, mapping, pulling):
        verb.add_argument("--data-dir", metavar="DIR", default="", help="directory of all state")
        verb.add_argument("--format", choices=("text", "json"), default="text", help="how to print")


def _add_tokens(commands: Commands, environment: Mapping[str, str]) -> None:
    tokens = commands.add_parser("tokens", help="who may call a service that runs with --auth", allow_abbrev=False)
    verbs = tokens.add_subparsers(dest="verb", metavar="COMMAND", required=True, title="commands")
    create = command(verbs, "create", "tokens:create", "make a credential and print it, this once")
    create.add_argument(
        "--as",
        dest="form",
        choices=("token", "api-key", "service-account"),
        default="token",
        help="a bearer token (default), an API key, or a key file for Google's clients",
    )
    create.add_argument(
        "--role", choices=("viewer", "user", "admin"), default="user", help="what it may do (default: user)"
    )
    create.add_argument(
        "--project",
        dest="projects",
        action="append",
        default=[],
        metavar="P",
        help="where it may; repeatable (all projects)",
    )
    create.add_argument(
        "--expires", default="", metavar="TIME", help="how long it is good, such as 12h or 30d (for ever)"
    )
    _add_account_options(create)
    create.add_argument("--out", default="", metavar="FILE", help="write it there, for its owner alone to read")
    create.add_argument(
        "--endpoint",
        metavar="URL",
        default=environment.get("TRAINYARD_ENDPOINT") or DEFAULT_ENDPOINT,
        help="address that a key file names for clients which fetch tokens (TRAINYARD_ENDPOINT; now %(default)s)",
    )
    create.set_defaults(default_project=environment.get("GOOGLE_CLOUD_PROJECT") or DEFAULT_PROJECT)
    listing = command(verbs, "list", "tokens:list_", "list credentials, without their secrets")
    format_option(listing, "table")
    revoke = command(verbs, "revoke", "tokens:revoke", "let the holder of a credential in no more")
    for parser in (create, revoke):
        parser.add_argument("name", metavar="NAME", help="whose it is; stands in the audit log")
    for parser in (create, listing, revoke):
        parser.add_argument("--data-dir", metavar="DIR", default="", help="the service's directory of all state")


def _add_account_options(create: argparse.ArgumentParser) -> None:
    create.add_argument(
        "--email", default="", help="of an account; NAME@PROJECT.iam.gserviceaccount.com where not given"
    )
    create.add_argument(
        "--actor",
        dest="actors",
        action="append",
        default=[],
        metavar="WHO",
        help="whose jobs may be this account, besides those of all who may do all that it may; repeatable",
    )
    create.add_argument(
        "--google-credentials",
        dest="google",
        default="",
        metavar="FILE",
        help="real Google credentials for jobs of this account, in place of ours",
    )
