"""The program `stackql`: its command line, over a Trainyard service, so that StackQL's own tools drive it unmodified.

pystackql and stackql-deploy start `stackql exec '…' --output json …` and read rows from stdout and words from stderr,
as StackQL prints them. What only concerns a cloud behind StackQL (page limits, proxies, registries of providers) is
taken and has nothing to act on here; README of the flags: docs/sql-clients.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from trainyard import __version__
from trainyard.cli import sql_template
from trainyard.cli.connection import Target
from trainyard.cli.parser import DEFAULT_ENDPOINT, DEFAULT_REGION
from trainyard.cli.problems import FAILED, INTERRUPTED, Problem, Usage
from trainyard.cli.sql import delimiter_of, text_of
from trainyard.cli.sql_client import Answer, SqlClient, SqlRefused, Wishes
from trainyard.cli.sql_output import FORMATS, Style, write
from trainyard.cli.terminal import Terminal

PROVIDER: Final = "google"
_WITHOUT_EFFECT: Final = (
    "registry", "approot", "sqlBackend", "gc", "session", "viperconfigfilename", "configfile", "loglevel", "provider",
    "namespaces", "export.alias", "store.txn", "dbInternal", "keywords", "errorpresentation", "cabundle", "env.file",
    "execution.concurrency.limit", "dataflow.dependency.max", "dataflow.components.max", "indirect.depth.max",
    "http.response.maxResults", "http.response.pageLimit", "apirequesttimeout", "http.proxy.host", "http.proxy.port",
    "http.proxy.user", "http.proxy.password", "http.proxy.scheme", "network.localhost.only",
)  # fmt: skip
_SWITCHES: Final = ("http.log.enabled", "allowInsecure", "verbose", "novalidate", "colorscheme")
_TOKEN_VARIABLE: Final = re.compile(r"""["']?(?:credentialsenvvar|api_secret_var)["']?\s*:\s*["']?(\w+)""")
_INSTEAD: Final = {
    "srv": "the service speaks PostgreSQL's protocol by itself: trainyard serve --sql-port 5466",
    "mcp": "there is no MCP server in this program",
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and ends with 1, as StackQL does."""

    def error(self, message: str) -> NoReturn:
        raise Usage(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 1 where anything failed."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if "--version" in arguments or arguments[:1] == ["version"]:
            print(f"stackql v{__version__} Trainyard (trainyard) over a Trainyard service, not StackQL's own program")
            return 0
        return _run(_parsed(arguments))
    except Problem as problem:
        _complain(problem)
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="stackql", description="StackQL's command line over a Trainyard service.", allow_abbrev=False)
    flag = parser.add_argument
    flag("command", choices=("exec", "shell", "registry", *_INSTEAD), help="what to do")
    flag("words", nargs="*", metavar="SQL", help="of exec: statements; of registry: list or pull")
    flag("--output", "-o", choices=FORMATS, default="table", help="how to print rows")
    flag("--outfile", "-f", default="", metavar="FILE", help="where to print them (stdout)")
    flag("--infile", "-i", default="", metavar="FILE", help="read the statements there")
    flag("--iqldata", "-q", default="", metavar="FILE", help="values for {{ .name }}: JSON or Jsonnet")
    flag("--var", action="append", default=[], metavar="K=V", help="a variable of the Jsonnet; repeatable")
    flag("--dryrun", action="store_true", help="print the statements as they would be sent")
    flag("--hideheaders", "-H", action="store_true", help="no names of columns")
    flag("--delimiter", "-d", default=",", metavar="C", help="between the cells of csv")
    flag("--auth", default="", metavar="JSON", help="credentialsenvvar in it names a variable with a token")
    for name in _WITHOUT_EFFECT:
        flag(f"--{name}", help=argparse.SUPPRESS)
    for name in _SWITCHES:
        flag(f"--{name}", nargs="?", help=argparse.SUPPRESS)
    return parser


def _parsed(arguments: list[str]) -> Namespace:
    flags = _parser().parse_intermixed_args(list(_whole_auth(arguments)))
    if flags.command in _INSTEAD:
        raise Usage(_INSTEAD[flags.command])
    return flags


def _whole_auth(arguments: Iterable[str]) -> Iterator[str]:
    """The arguments, with the JSON of --auth in one piece: pystackql's shell has cut it at its blanks."""
    words = iter(arguments)
    for word in words:
        if word != "--auth":
            yield word
            continue
        pieces = [next(words, "")]
        while sum(piece.count("{") - piece.count("}") for piece in pieces) > 0 and (more := next(words, "")):
            pieces.append(more)
        yield f"--auth={' '.join(pieces)}"


def _run(flags: Namespace) -> int:
    variables = sql_template.variables_of([pair for text in flags.var for pair in text.split(",")])
    data = sql_template.data_of(flags.iqldata, variables)
    style = Style(flags.output, True, not flags.hideheaders, delimiter_of(flags.delimiter))
    client = SqlClient(_target(flags), Wishes(go_on=True, defaults=False))
    if flags.command == "shell":
        from trainyard.cli.sql_shell import Shell  # noqa: PLC0415 - only where a person sits

        return Shell(client, style, Terminal()).run()
    text = sql_template.rendered(_text(flags), data, variables)
    with contextlib.ExitStack() as files:
        out = files.enter_context(Path(flags.outfile).open("w", encoding="utf-8")) if flags.outfile else sys.stdout
        if flags.dryrun:
            write([("query", "text")], [[text.strip()]], style, out)
            return 0
        return _show(client.answers(text), style, out)


def _text(flags: Namespace) -> str:
    if flags.command == "registry":
        return " ".join(("REGISTRY", *flags.words))
    if flags.infile:
        return text_of("-" if flags.infile == "stdin" else flags.infile)
    return " ".join(flags.words) if flags.words else sys.stdin.read()


def _target(flags: Namespace) -> Target:
    """Where the service is, and with which token: as for `trainyard`, or from the variable that --auth names."""
    named = _TOKEN_VARIABLE.search(flags.auth)
    token = os.environ.get(named[1], "") if named else ""
    endpoint = os.environ.get("TRAINYARD_ENDPOINT") or DEFAULT_ENDPOINT
    return Target(endpoint.rstrip("/"), "", DEFAULT_REGION, token or os.environ.get("TRAINYARD_TOKEN", ""))


def _show(answers: Iterable[Answer | SqlRefused], style: Style, out: Any) -> int:
    code = 0
    for answer in answers:
        if isinstance(answer, SqlRefused):
            code = FAILED
            _complain(answer)
            continue
        if answer.columns is not None:
            _whole(answer, style, out)
        for line in (answer.message, *answer.notices):
            if line:
                print(line, file=sys.stderr)
    return code


def _whole(answer: Answer, style: Style, out: Any) -> None:
    """An answer with all of its rows, or nothing of it: what StackQL's tools find on stdout they take for the whole."""
    assert answer.columns is not None
    rows = list(answer.rows)
    if answer.tag:
        write(answer.columns, rows, style, out)


def _complain(problem: Problem) -> None:
    """The sentence first, as StackQL's tools look for its beginning."""
    print(problem.sentence, file=sys.stderr)
    for detail in problem.details:
        print(f"  {detail}", file=sys.stderr)
    if (real := _real()) and "no provider" in problem.sentence:
        print(
            f"  this stackql is Trainyard's and knows {PROVIDER}.aiplatform; StackQL's own is {real}", file=sys.stderr
        )


def _real() -> str:
    """Another program of this name on the PATH, which this one may hide."""
    own = Path(sys.argv[0]).resolve()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("stackql", path=folder) if folder else None
        if found and Path(found).resolve() != own:
            return found
    return ""
