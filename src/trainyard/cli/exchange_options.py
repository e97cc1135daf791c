"""The options of record, replay and diff: how one sees that two services answer alike."""

from __future__ import annotations

from collections.abc import Mapping

from trainyard.cli.options import Commands, command


def add_exchange_commands(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add the three commands."""
    record = command(commands, "record", "record:run", "pass requests on to a service and keep what was said")
    record.add_argument("--to", required=True, metavar="DIR", help="directory for the exchanges, one JSON file each")
    record.add_argument("--upstream", required=True, metavar="URL", help="the service, http:// or https://")
    record.add_argument("--port", type=int, default=0, metavar="N", help="where to listen on loopback (any free one)")
    record.add_argument("--remove-emails", action="store_true", help="take out e-mail addresses as well as secrets")
    replay = command(commands, "replay", "replay:run", "answer as was recorded")
    replay.add_argument("directory", metavar="DIR", help="what `record` wrote")
    replay.add_argument("--port", type=int, default=0, metavar="N", help="where to listen on loopback (any free one)")
    diff = command(commands, "diff", "differences:run", "show where answers differ in shape; exit code 1 if they do")
    diff.add_argument("directory", metavar="DIR", help="what `record` wrote")
    diff.add_argument("other", nargs="?", default="", metavar="DIR", help="another recording, to compare with")
    diff.add_argument("--against", default="", metavar="URL", help="a service, to put the recorded requests to")
    diff.add_argument(
        "--token",
        default=environment.get("TRAINYARD_TOKEN") or "",
        metavar="T",
        help="bearer token for --against (TRAINYARD_TOKEN)",
    )
    diff.add_argument("--values", action="store_true", help="compare every value as well")
    diff.add_argument(
        "--ignore", action="append", default=[], metavar="FIELD", help="leave out a field, such as state; repeatable"
    )
    diff.add_argument("--format", choices=("text", "json"), default="text", help="how to print")
