"""The flags of `trainyard sql`: StackQL's own names, where it has one for the same thing."""

from __future__ import annotations

import argparse
from typing import Final

from trainyard.cli.options import Commands, command

OUTPUTS: Final = ("table", "json", "jsonl", "csv", "text")


def add_sql_command(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command."""
    sql = command(commands, "sql", "sql:sql", "ask and change jobs in SQL; without a statement, interactively", shared)
    sql.add_argument("statement", nargs="?", metavar="SQL", help="one statement, or several with ; between them")
    sql.add_argument("--file", "-f", "--infile", "-i", metavar="FILE", help="carry out a file; - is stdin")
    sql.add_argument(
        "--output", "-o", choices=OUTPUTS, help="how to print (table; WATCH prints jsonl, an object a row)"
    )
    sql.add_argument("--nested", action="store_true", help="objects as JSON objects, not as JSON texts (json, jsonl)")
    sql.add_argument("--hideheaders", "-H", action="store_true", help="no names of columns (csv, table, text)")
    sql.add_argument("--delimiter", "-d", metavar="C", default=",", help="between the cells of csv (now %(default)s)")
    sql.add_argument("--iqldata", "-q", metavar="FILE", default="", help="values for {{ name }}: JSON or Jsonnet")
    sql.add_argument("--var", action="append", default=[], metavar="K=V", help="a value for {{ name }}; repeatable")
    sql.add_argument("--dry-run", "--dryrun", action="store_true", help="print what would be sent, and send nothing")
