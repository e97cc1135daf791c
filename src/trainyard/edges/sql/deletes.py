"""DELETE and UPDATE: the rows are found by the whole WHERE clause first, and only these are touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainyard.edges.sql.answers import Answer
from trainyard.edges.sql.clauses import AWAIT, Reader
from trainyard.edges.sql.errors import NOT_SUPPORTED, SqlError
from trainyard.edges.sql.local_tables import change_local
from trainyard.edges.sql.names import quoted, resource_named
from trainyard.edges.sql.plans import missing
from trainyard.edges.sql.runner import TO_DELETE
from trainyard.edges.sql.writing import MOST_ROWS, Change, Order, carry_out

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.resources import Resource
    from trainyard.edges.sql.runner import Runner


def delete(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any]) -> Answer:
    """Delete the rows that meet every predicate; their ids have to be among these, unless ALLOW ALL is said."""
    reader = Reader(tokens)
    reader.need("DELETE")
    hints = reader.hints()
    reader.need("FROM")
    resource = resource_named(reader.chain().parts, runner.provider)
    if resource is None:
        return change_local(runner, tokens, parameters, "DELETE")
    deletes = resource.of_verb("DELETE")
    if not deletes:
        raise SqlError(NOT_SUPPORTED, f"{resource.full_name} can't be deleted from.")
    named = reader.take("AS") or not (reader.next is None or reader.next.is_word("WHERE", "RETURNING", "ALLOW"))
    alias = reader.chain().parts[0] if named else resource.full_name
    where = reader.until("RETURNING", "ALLOW")
    items = reader.until("ALLOW")[1:] if reader.next is not None and reader.next.is_word("RETURNING") else ()
    everything = reader.take("ALLOW")
    if everything:
        reader.need("ALL")
    reader.end()
    changes = _found(runner, resource, alias, where, parameters, everything=everything)
    return carry_out(runner, Order(resource, deletes[0], changes, AWAIT in hints, items, "DELETE"))


def _found(
    runner: Runner,
    resource: Resource,
    alias: str,
    where: Sequence[Token],
    parameters: Sequence[Any],
    *,
    everything: bool,
) -> list[Change]:
    table = resource.full_name + ("" if everything else TO_DELETE)
    ids = ", ".join(f"{quoted(alias)}.{quoted(name)}" for name in resource.path)
    clause = runner.translator().text(where)
    text = f"SELECT DISTINCT {ids} FROM {quoted(table)} AS {quoted(alias)} {clause} LIMIT {MOST_ROWS + 1}"  # noqa: S608 - names of ours; literals are quoted
    rows = runner.execute(text, parameters)
    return [Change(dict(zip(resource.path, map(str, row), strict=True))) for row in rows]


def update(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any]) -> Answer:
    """The API has no update of these tables; a table of the caller's own is changed."""
    reader = Reader(tokens)
    reader.need("UPDATE")
    reader.hints()
    resource = resource_named(reader.chain().parts, runner.provider)
    if resource is None:
        return change_local(runner, tokens, parameters, "UPDATE")
    raise missing(
        resource, (), frozenset(), "update", hint="A job is what it was created as: INSERT another, and DELETE this."
    )
