"""Tables and views of the caller's own: plain SQLite, kept in the caller's file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from trainyard.edges.sql.answers import Answer, told
from trainyard.edges.sql.queries import answer_of

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner

_MESSAGES: Final = {
    "INSERT 0": "insert into table completed",
    "UPDATE": "update table completed",
    "DELETE": "delete from table completed",
}


def change_local(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any], tag: str) -> Answer:
    """INSERT, UPDATE or DELETE on a table of the caller's own. Raises SqlError (or what becomes one)."""
    before = runner.database.connection.total_changes()
    answer = answer_of(runner, runner.translator().text(tokens), parameters, tokens, tag)
    rows = list(answer.rows)
    changed = runner.database.connection.total_changes() - before
    if answer.columns is None:
        return told(f"{tag} {changed}", _MESSAGES.get(tag, ""))
    return Answer(answer.columns, iter(rows), lambda _: f"{tag} {changed}", _MESSAGES.get(tag, ""))
