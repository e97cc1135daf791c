"""Every command of the command line is declared in one way; its handler stands as text and is imported when it runs."""

from __future__ import annotations

import argparse
from typing import Final, TypeAlias

HERE: Final = "trainyard.cli"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def command(
    commands: Commands,
    name: str,
    handler: str,
    summary: str,
    *parents: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    """Add a command; `handler` is `module:function` of this package."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        parents=list(parents),
        allow_abbrev=False,
    )
    parser.set_defaults(handler=f"{HERE}.{handler}")
    return parser


def format_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --format with gcloud's forms."""
    parser.add_argument(
        "--format",
        default=default,
        metavar="FORMAT",
        help="how to print: json, yaml, table, table(FIELD,…), value(FIELD,…), csv(FIELD,…) or none",
    )


def positive(text: str) -> int:
    """A count of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number
