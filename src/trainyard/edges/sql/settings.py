"""Statements about the session itself: transactions of its own tables, its time limit, waiting, and what is refused."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from trainyard.edges.sql.answers import Answer, told
from trainyard.edges.sql.clauses import Reader
from trainyard.edges.sql.database import refused
from trainyard.edges.sql.errors import UNDEFINED, WRONG_TYPE, SqlError
from trainyard.edges.sql.resources import PROVIDER

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner

_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|)\Z")
_SECONDS: Final = {"ms": 0.001, "": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_LOOK_SECONDS: Final = 0.05
_OF_PATH: Final = {"project": "projectsId", "location": "locationsId"}


def use(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """USE google: two-part names are enough from now on."""
    reader = Reader(tokens)
    reader.need("USE")
    name = reader.chain().parts[0].lower()
    reader.end()
    if name != PROVIDER:
        raise SqlError(UNDEFINED, f"There is no provider {name!r} here; there is {PROVIDER}.")
    runner.provider = name
    return told("USE", f"use provider {name} completed")


def set_(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """SET statement_timeout, project, location; other settings of PostgreSQL clients change nothing here."""
    reader = Reader(tokens)
    reader.need("SET")
    reader.take("SESSION", "LOCAL")
    name = reader.next.value.lower() if reader.next is not None else ""
    reader.at += 1
    reader.take("=", "TO")
    value = " ".join(token.value for token in reader.rest())
    if name == "statement_timeout":
        runner.timeout_seconds = _seconds(runner, value)
    elif name in _OF_PATH:
        if value.upper() in ("", "DEFAULT"):
            runner.defaults.pop(_OF_PATH[name], None)
        else:
            runner.defaults[_OF_PATH[name]] = value
        runner.database.forget_plans()
    return told("SET")


def reset(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """RESET statement_timeout, RESET ALL."""
    if any(token.is_word("STATEMENT_TIMEOUT", "ALL") for token in tokens):
        runner.timeout_seconds = runner.longest_seconds
    return told("RESET")


def _seconds(runner: Runner, text: str) -> float:
    if text.upper() == "DEFAULT":
        return runner.longest_seconds
    found = _TIME.match(text.strip().lower())
    if found is None:
        message = f"statement_timeout: {text!r} is not a time."
        raise SqlError(
            WRONG_TYPE, message, hint="Write 30s, 5min, a number of milliseconds, or 0 for the server's longest."
        )
    asked = float(found[1]) * _SECONDS[found[2]]
    longest = runner.longest_seconds
    return min(asked, longest) if asked and longest else asked or longest


def begin(runner: Runner, _tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """BEGIN: of the caller's own tables. Calls of the service take effect at once."""
    if not runner.database.connection.in_transaction:
        runner.execute("BEGIN")
    return told("BEGIN")


def commit(runner: Runner, _tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """COMMIT."""
    if runner.database.connection.in_transaction:
        runner.execute("COMMIT")
    return told("COMMIT")


def rollback(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """ROLLBACK, or to a savepoint."""
    if any(token.is_word("TO") for token in tokens):
        return savepoint(runner, tokens, ())
    if runner.database.connection.in_transaction:
        runner.execute("ROLLBACK")
    return told("ROLLBACK")


def savepoint(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """SAVEPOINT and RELEASE, as SQLite has them."""
    runner.execute(runner.translator().text(tokens))
    return told(tokens[0].text.upper())


def sleep(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """SLEEP milliseconds; ends early where the statement does."""
    text = tokens[1].text if len(tokens) == 2 else ""
    if not text.isdecimal():
        raise SqlError(WRONG_TYPE, "SLEEP takes a whole number of milliseconds.")
    until = time.monotonic() + int(text) / 1000
    while (left := until - time.monotonic()) > 0:
        runner.work.check()
        time.sleep(min(left, _LOOK_SECONDS))
    return told("SLEEP")


def nothing(_runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """PURGE and AUTH: there is no cache to empty, and a session has its rights from its connection."""
    word = tokens[0].text.upper()
    why = "nothing is cached here" if word == "PURGE" else "a session's rights come with its connection"
    return told(word, f"{word}: {why}; nothing to do")


def forbidden(_runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """What reaches out of the session."""
    raise refused(tokens[0].text.upper())
