"""The options of `trainyard keys`."""

from __future__ import annotations

import argparse

from trainyard.cli.options import Commands, command, format_option


def add_key_commands(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the commands."""
    keys = commands.add_parser("keys", help="keys that jobs with an encryptionSpec are sealed with", allow_abbrev=False)
    verbs = keys.add_subparsers(dest="verb", metavar="COMMAND", required=True, title="commands")
    create = command(verbs, "create", "keys:create", "create a key", shared)
    listing = command(verbs, "list", "keys:list_", "list the keys of a project and region", shared)
    describe = command(verbs, "describe", "keys:describe", "show one, and how many jobs are sealed with it", shared)
    rotate = command(verbs, "rotate", "keys:change", "give it a new version and destroy the old one", shared)
    disable = command(verbs, "disable", "keys:change", "let nothing be read with it until it is enabled", shared)
    enable = command(verbs, "enable", "keys:change", "let it be used again", shared)
    delete = command(verbs, "delete", "keys:delete", "destroy it, and with it all that it seals", shared)
    delete.add_argument("--yes", action="store_true", help="yes: nothing that it seals can ever be read again")
    for parser in (create, describe, rotate, disable, enable, delete):
        parser.add_argument("key", metavar="KEY", help="RING/KEY, or projects/…/keyRings/RING/cryptoKeys/KEY")
    for parser in (create, describe, rotate, disable, enable):
        format_option(parser, "yaml")
    format_option(listing, "table")
