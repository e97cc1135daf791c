"""The interactive shell of `trainyard sql`: statements over several lines, a history, completion of tables and columns.

Each statement is a request of its own; USE and SET are remembered here and said again before each.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final

from trainyard.cli import sql_template
from trainyard.cli.problems import Problem
from trainyard.cli.sql import show
from trainyard.cli.sql_client import SqlClient, SqlRefused
from trainyard.cli.sql_output import FORMATS, Style
from trainyard.cli.terminal import Terminal

_MOST_HISTORY: Final = 5000
_SKIP: Final = re.compile(r"'(?:[^'\\]|''|\\.)*'|\"[^\"]*\"|--[^\n]*(?=\n)|/\*.*?\*/", re.DOTALL)
_OPEN: Final = re.compile(r"['\"]|--|/\*")
_KEPT: Final = re.compile(r"\s*(USE|SET)\b", re.IGNORECASE)
_KEYWORDS: Final = (
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "GROUP", "BY", "ORDER", "HAVING",
    "LIMIT", "OFFSET", "JOIN", "LEFT", "ON", "AS", "DISTINCT", "UNION", "ALL", "WITH", "CASE", "WHEN", "THEN",
    "ELSE", "END", "INSERT", "INTO", "VALUES", "DELETE", "EXEC", "RETURNING", "SHOW", "DESCRIBE", "METHODS",
    "RESOURCES", "SERVICES", "PROVIDERS", "EXPLAIN", "ANALYZE", "WATCH", "CREATE", "VIEW", "MATERIALIZED",
    "REFRESH", "DROP", "TABLE", "USE", "SET",
)  # fmt: skip
_TABLES: Final = (
    "SELECT table_schema || '.' || table_name FROM information_schema.tables "
    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
)
_LISTED: Final = (
    "SELECT table_schema AS schema, table_name AS name FROM information_schema.tables "
    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
)
_COLUMNS: Final = (
    "SELECT DISTINCT column_name FROM information_schema.columns "
    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
)
_COLUMNS_OF: Final = (
    "SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_name = '{0}' "
    "OR table_schema || '.' || table_name = '{0}' OR 'google.' || table_schema || '.' || table_name = '{0}' "
    "ORDER BY ordinal_position"
)
_HELP: Final = """\
A statement ends with ; and may go over several lines. Ctrl-C drops it, or stops the one that runs; Ctrl-D leaves.
  \\d           the tables                  \\d TABLE    its columns
  \\o FORMAT    how to print: {formats}
  \\i FILE      carry out a file            \\?          this           \\q          leave"""


class Shell:
    """Asks, sends, prints; until the person leaves."""

    def __init__(self, client: SqlClient, style: Style, terminal: Terminal) -> None:
        """Nothing is asked yet."""
        self._client = client
        self._style = style
        self._terminal = terminal
        self._kept: list[str] = []
        self._waiting = ""

    def run(self) -> int:
        """The whole conversation; 0."""
        with _line_editing(self._complete):
            self._terminal.line(self._terminal.paint("Statements end with ; and \\? helps.", "dim"))
            while self._turn():
                pass
        return 0

    def _turn(self) -> bool:
        """One line of input; False when it was the last."""
        try:
            line = input("   ...> " if self._waiting else "trainyard> ")
        except EOFError:
            self._terminal.line()
            return False
        except KeyboardInterrupt:
            self._terminal.line()
            self._waiting = ""
            return True
        if not self._waiting and line.strip().rstrip(";").lower() in ("\\q", "exit", "quit"):
            return False
        if not self._waiting and line.lstrip().startswith("\\"):
            self._guarded(lambda: self._command(line.strip()))
            return True
        self._waiting += line + "\n"
        if is_whole(self._waiting):
            text, self._waiting = self._waiting, ""
            self._guarded(lambda: self._send(text))
        elif not self._waiting.strip():
            self._waiting = ""
        return True

    def _guarded(self, act: Callable[[], None]) -> None:
        """Whatever goes wrong ends this statement, not the shell."""
        try:
            act()
        except KeyboardInterrupt:
            self._client.close()
            self._terminal.line("cancelled", "yellow", err=True)
        except Problem as problem:
            self._terminal.line(f"{self._terminal.paint('trainyard:', 'red', err=True)} {problem.sentence}", err=True)
            for detail in problem.details:
                self._terminal.line(f"  {detail}", err=True)

    def _send(self, text: str) -> None:
        text = sql_template.rendered(text, {}, {})
        before = ";\n".join(self._kept)
        answers = self._client.answers(f"{before};\n{text}" if before else text)
        for _ in self._kept:
            if isinstance(next(answers, None), SqlRefused):
                break
        if show(answers, self._style, self._terminal) == 0 and _KEPT.match(text):
            self._kept.append(text.strip().rstrip(";"))

    def _command(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        rest = rest.strip().rstrip(";")
        match word:
            case "\\d" | "\\dt" if not rest:
                self._send(_LISTED)
            case "\\d":
                self._send(_COLUMNS_OF.format(rest.replace("'", "''")))
            case "\\o" if rest in FORMATS:
                self._style = replace(self._style, format=rest)
            case "\\i" if rest:
                from trainyard.cli.sql import text_of  # noqa: PLC0415 - see Shell

                self._send(text_of(rest))
            case "\\?" | "\\h":
                self._terminal.line(_HELP.format(formats=", ".join(FORMATS)))
            case _:
                raise Problem(f"{line} is no command of this shell; \\? lists them")

    @cached_property
    def _words(self) -> list[str]:
        found = [*_KEYWORDS]
        for question in (_TABLES, _COLUMNS):
            with contextlib.suppress(Problem):
                for answer in self._client.answers(question):
                    if not isinstance(answer, SqlRefused):
                        found += [row[0] for row in answer.rows]
        return [*found, *(f"google.{name}" for name in found if name.startswith("aiplatform."))]

    def _complete(self, text: str, state: int) -> str | None:
        low = text.lower()
        found = [word for word in self._words if word.lower().startswith(low)] if text else []
        if text.islower():
            found = [word.lower() if word in _KEYWORDS else word for word in found]
        return found[state] if state < len(found) else None


def is_whole(text: str) -> bool:
    """Whether the text ends with a statement's end: a semicolon outside of strings and comments."""
    bare = _SKIP.sub(" ", text + "\n").rstrip()
    return bare.endswith(";") and not _OPEN.search(bare)


def history_file(environment: Mapping[str, str]) -> Path:
    """Where the history is (XDG Base Directory Specification)."""
    base = environment.get("XDG_STATE_HOME") or ""
    home = Path(base) if base.startswith("/") else Path(environment.get("HOME") or "~").expanduser() / ".local/state"
    return home / "trainyard" / "sql_history"


class _line_editing(contextlib.AbstractContextManager[None]):  # noqa: N801 - used as a function is
    """History and completion, where Python has readline and a history file may be written."""

    def __init__(self, complete: Callable[[str, int], str | None]) -> None:
        """`complete` as readline wants it."""
        self._complete = complete
        self._path = history_file(os.environ)

    def __enter__(self) -> None:
        """Read what was typed before."""
        try:
            import readline  # noqa: PLC0415 - some Pythons have none
        except ImportError:
            return
        readline.set_completer(self._complete)
        readline.set_completer_delims(" \t\n,()=<>;'\"")
        readline.parse_and_bind("tab: complete")
        with contextlib.suppress(OSError):
            readline.read_history_file(self._path)

    def __exit__(self, *_: object) -> None:
        """Keep what was typed now, for its owner alone to read."""
        readline = sys.modules.get("readline")
        if readline is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            readline.set_history_length(_MOST_HISTORY)
            readline.write_history_file(self._path)
            self._path.chmod(0o600)
