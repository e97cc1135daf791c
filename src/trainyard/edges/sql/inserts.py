"""INSERT: what is to be inserted is evaluated by SQLite, checked as a whole, and then created row by row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from trainyard.edges.sql.answers import Answer
from trainyard.edges.sql.bodies import column_named, field_value
from trainyard.edges.sql.clauses import AWAIT, Reader
from trainyard.edges.sql.errors import NOT_SUPPORTED, SYNTAX_ERROR, WRONG_TYPE, SqlError
from trainyard.edges.sql.local_tables import change_local
from trainyard.edges.sql.names import resource_named
from trainyard.edges.sql.plans import missing
from trainyard.edges.sql.resources import Resource, TableColumn
from trainyard.edges.sql.writing import MOST_ROWS, Change, Order, carry_out

if TYPE_CHECKING:
    import apsw

    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner


def insert(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any]) -> Answer:
    """Carry out an INSERT into a table of the API or one of the caller's own. Raises SqlError."""
    reader = Reader(tokens)
    reader.need("INSERT", "REPLACE")
    hints = reader.hints()
    if not reader.take("INTO"):
        return change_local(runner, tokens, parameters, "INSERT 0")
    resource = resource_named(reader.chain().parts, runner.provider)
    if resource is None:
        return change_local(runner, tokens, parameters, "INSERT 0")
    if tokens[0].is_word("REPLACE"):
        raise missing(resource, (), frozenset(), "replace", hint="INSERT another, and DELETE this.")
    names = reader.names_in_parentheses()
    source = reader.until("RETURNING")
    items = reader.rest()[1:]
    creates = resource.of_verb("INSERT")
    if not creates:
        raise SqlError(NOT_SUPPORTED, f"{resource.full_name} can't be inserted into; the service makes its rows.")
    columns = [column_named(resource, name.value) for name in names]
    changes = [
        _change(resource, columns, row, runner.work.defaults) for row in _rows(runner, source, parameters, len(names))
    ]
    method = creates[0]
    for change in changes:
        if not change.ids.keys() >= set(method.required):
            raise missing(resource, creates, frozenset(change.ids), "insert")
    return carry_out(runner, Order(resource, method, changes, AWAIT in hints, items))


def _rows(runner: Runner, source: Sequence[Token], parameters: Sequence[Any], width: int) -> list[tuple[Any, ...]]:
    """The rows to insert; raises SqlError where they are not as wide as the list of columns."""
    if not source or not source[0].is_word("VALUES", "SELECT", "WITH"):
        raise SqlError(SYNTAX_ERROR, "syntax error: INSERT takes (columns) and then VALUES or SELECT.")
    if source[0].is_word("VALUES"):
        _check_widths(source, width)
    widths: list[int] = []
    cursor: apsw.Cursor = runner.execute(
        runner.translator().text(source), parameters, lambda described: widths.append(len(described))
    )
    found: list[tuple[Any, ...]] = []
    if widths and widths[0] != width:
        raise _disparity(width, widths[0])
    for row in cursor:
        found.append(row)
        if len(found) > MOST_ROWS:
            break
    return found


def _check_widths(source: Sequence[Token], width: int) -> None:
    depth, commas = 0, 0
    for before, token in pairwise(source):
        if token.text == "(":
            depth += 1
            commas = 0 if depth == 1 else commas
        elif token.text == ")":
            depth -= 1
            if depth == 0 and commas + 1 != width and before.text != "(":
                raise _disparity(width, commas + 1)
        elif token.text == "," and depth == 1:
            commas += 1


def _disparity(columns: int, values: int) -> SqlError:
    return SqlError(
        SYNTAX_ERROR,
        f"disparity in fields to insert and supplied data: {columns} columns, {values} values",
        hint="Nothing was created. Give one value for each column.",
    )


def _change(resource: Resource, columns: Sequence[TableColumn | str], row: Sequence[Any], defaults: Any) -> Change:
    ids: dict[str, str] = {name: defaults[name] for name in resource.path if name in defaults}
    body: dict[str, Any] = {}
    for column, value in zip(columns, row, strict=True):
        if isinstance(column, str):
            if value is None or value == "":
                raise SqlError(WRONG_TYPE, f"{column}: a value is needed here.")
            ids[column] = str(value)
        elif (given := field_value(column, value)) is not None:
            body[column.name] = given
    return Change(ids, body)
