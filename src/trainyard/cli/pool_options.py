"""The options of `trainyard pools`: gcloud's of persistent-resources, and what is made ready there."""

from __future__ import annotations

import argparse

from trainyard.cli.options import Commands, command, format_option


def add_pool_commands(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the four commands."""
    pools = commands.add_parser("pools", help="machines kept for jobs with persistentResourceId", allow_abbrev=False)
    verbs = pools.add_subparsers(dest="verb", metavar="COMMAND", required=True, title="commands")
    create = command(verbs, "create", "pools:create", "keep machines for the jobs that name them", shared)
    create.add_argument(
        "--resource-pool-spec",
        action="append",
        default=[],
        metavar="KEY=VALUE,…",
        help="machines of one kind: machine-type, replica-count, accelerator-type, accelerator-count, disk-type, "
        "disk-size; repeatable",
    )
    create.add_argument("--image", default="", metavar="URI", help="image that jobs will name, made ready now")
    create.add_argument(
        "--python-package-uris",
        default="",
        metavar="URI,…",
        help="packages that jobs will install over it, gs://…, made ready with it",
    )
    create.add_argument("--network", default="", help="network that jobs must name as well")
    create.add_argument("--display-name", default="", metavar="NAME", help="what people call it")
    create.add_argument("--config", default="", metavar="FILE", help="a PersistentResource in YAML or JSON")
    create.add_argument("--async", dest="asynchronous", action="store_true", help="don't wait until it is ready")
    describe = command(verbs, "describe", "pools:describe", "show one, and which jobs use it", shared)
    delete = command(verbs, "delete", "pools:delete", "keep machines no longer; refused while jobs name them", shared)
    for parser in (create, describe, delete):
        parser.add_argument("name", metavar="NAME", help="what jobs name as persistentResourceId")
    for parser in (create, describe):
        format_option(parser, "yaml")
    listing = command(verbs, "list", "pools:list_", "list them", shared)
    format_option(listing, "table")
