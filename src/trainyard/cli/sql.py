"""`trainyard sql`: statements from the command line, a file or a person, with their answers printed as they come."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from trainyard.cli import sql_template
from trainyard.cli.problems import FAILED, Usage
from trainyard.cli.service_api import connect
from trainyard.cli.sql_client import Answer, SqlClient, SqlRefused, Wishes
from trainyard.cli.sql_output import Style, write
from trainyard.cli.terminal import Terminal

_WATCH: Final = re.compile(r"\s*WATCH\b", re.IGNORECASE)


def sql(flags: Namespace) -> int:
    """Carry out what is given; without a statement and with a terminal, ask for them one by one."""
    variables = sql_template.variables_of(flags.var)
    data = sql_template.data_of(flags.iqldata, variables)
    client = SqlClient(connect(flags).target, Wishes(nested=flags.nested))
    text = _given(flags)
    if text is None:
        from trainyard.cli.sql_shell import Shell  # noqa: PLC0415 - only where a person sits

        return Shell(client, style_of(flags, "table"), Terminal()).run()
    text = sql_template.rendered(text, data, variables)
    if flags.dry_run:
        print(text.strip())
        return 0
    default = "jsonl" if _WATCH.match(text) else "table"  # a table is drawn when it is whole, and changes never are
    return show(client.answers(text), style_of(flags, default), Terminal())


def _given(flags: Namespace) -> str | None:
    """The text to carry out; None where a person is to be asked. Raises Usage."""
    if flags.statement is not None and flags.file:
        raise Usage("give a statement or --file, not both")
    if flags.statement is not None:
        return str(flags.statement)
    return text_of(flags.file) if flags.file else None if sys.stdin.isatty() else sys.stdin.read()


def text_of(path: str) -> str:
    """The text of a file, of stdin for `-`. Raises Usage."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def style_of(flags: Namespace, default: str) -> Style:
    """How the flags want answers printed."""
    return Style(flags.output or default, header=not flags.hideheaders, delimiter=delimiter_of(flags.delimiter))


def delimiter_of(text: str) -> str:
    r"""A csv delimiter; `\t` is a tab. Raises Usage on more or less than one character."""
    found = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(found) != 1:
        raise Usage(f"--delimiter {text!r} is not one character")
    return found


def show(answers: Iterable[Answer | SqlRefused], style: Style, terminal: Terminal) -> int:
    """Print every answer; rows on stdout, words on stderr. 1 where a statement failed."""
    code = 0
    for answer in answers:
        if isinstance(answer, SqlRefused):
            code = FAILED
            terminal.line(terminal.paint("trainyard:", "red", "bold", err=True) + f" {answer.sentence}", err=True)
            for detail in answer.details:
                terminal.line(f"  {detail}", err=True)
            continue
        if answer.columns is not None:
            write(answer.columns, answer.rows, style)
            sys.stdout.flush()
        for line in (answer.message, *answer.notices):
            if line:
                terminal.line(line, err=True)
    return code
