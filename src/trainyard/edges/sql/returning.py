"""RETURNING: expressions over what the service answered, row by row, as over a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainyard.edges.sql.answers import Answer
from trainyard.edges.sql.names import quoted
from trainyard.edges.sql.queries import answer_of
from trainyard.edges.sql.resources import columns_of
from trainyard.service.cells import cell

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.resources import Resource
    from trainyard.edges.sql.runner import Runner

_TYPES = {"json": "JSONTEXT", "boolean": "BOOLEAN", "bigint": "BIGINT", "double": "DOUBLE"}


def returned(
    runner: Runner, resource: Resource, message: str, answers: Sequence[Mapping[str, Any]], items: Sequence[Token]
) -> Answer:
    """The rows of RETURNING's `items` over the answers: JSON objects of a message type, with the ids of their path."""
    columns = sorted(columns_of(message), key=lambda column: column.name)
    names = [column.name for column in columns]
    ids = [name for name in resource.path if name not in names]
    declared = [f"{quoted(column.name)} {_TYPES.get(column.kind, 'TEXT')}" for column in columns]
    table = f'temp."returned {message}"'
    every = ", ".join(["?"] * (len(names) + len(ids)))
    runner.database.unguarded(
        f"CREATE TEMP TABLE IF NOT EXISTS {table[5:]} ({', '.join([*declared, *map(quoted, ids)])})"
    )
    runner.database.unguarded(f"DELETE FROM {table}")  # noqa: S608 - a name of ours
    for each in answers:
        values = tuple(cell(each.get(name)) for name in (*names, *ids))
        runner.database.unguarded(f"INSERT INTO {table} VALUES ({every})", values)  # noqa: S608 - as above; values are bound
    wanted = (
        ", ".join(map(quoted, names)) if [item.text for item in items] == ["*"] else runner.translator().text(items)
    )
    text = f"SELECT {wanted} FROM {table} AS {quoted(resource.full_name)}"  # noqa: S608 - names of ours; literals are quoted
    answer = answer_of(runner, text, (), items)
    answer.rows = iter(list(answer.rows))
    return answer
