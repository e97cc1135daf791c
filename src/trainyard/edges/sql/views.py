"""Views, materialized views and tables of the caller's own, kept in the caller's file from one session to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from trainyard.edges.sql.answers import Answer, told
from trainyard.edges.sql.clauses import Reader
from trainyard.edges.sql.errors import NOT_SUPPORTED, SYNTAX_ERROR, UNDEFINED, SqlError
from trainyard.edges.sql.lexer import Token
from trainyard.edges.sql.names import Chain, quoted
from trainyard.edges.sql.plans import DEFAULT
from trainyard.edges.sql.resources import resources
from trainyard.edges.sql.spreading import spread

if TYPE_CHECKING:
    from trainyard.edges.sql.runner import Runner

DONE: Final = "DDL Execution Completed"
KEPT: Final = '"trainyard materialized"'
"""The table that has the queries of materialized views."""


def create(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """CREATE [OR REPLACE] [MATERIALIZED] VIEW, CREATE TABLE, CREATE INDEX. Raises SqlError."""
    reader = Reader(tokens)
    reader.need("CREATE")
    replaces = reader.take("OR")
    if replaces:
        reader.need("REPLACE")
    materialized = reader.take("MATERIALIZED")
    temporary = reader.take("TEMP", "TEMPORARY")
    if not reader.take("VIEW"):
        return _other(runner, reader, tokens)
    if_not_there = _take_all(reader, "IF", "NOT", "EXISTS")
    name = _own_name(reader.chain())
    columns = reader.names_in_parentheses() if reader.next is not None and reader.next.text == "(" else []
    reader.need("AS")
    query = reader.rest()
    if any(token.kind == "parameter" for token in query):
        raise SqlError(SYNTAX_ERROR, "syntax error: a view must not have parameters; write the values.")
    head = f"{quoted(name)}{_listed(columns)}"
    if materialized:
        return _materialize(runner, name, head, query, replaces=replaces)
    if replaces:
        runner.execute(f"DROP VIEW IF EXISTS {quoted(name)}")
    text = runner.translator().text(with_defaults(spread(query, runner.provider)))
    where = "TEMP VIEW" if temporary else "VIEW"
    runner.execute(f"CREATE {where} {'IF NOT EXISTS ' if if_not_there else ''}{head} AS {text}")
    return told("CREATE VIEW", DONE)


def with_defaults(tokens: Sequence[Token]) -> list[Token]:
    """A view's own ids as what holds where the one who reads it gives no other: StackQL's rule."""
    names = {name.lower(): name for resource in resources().values() for name in resource.path}
    made = list(tokens)
    for at, token in enumerate(tokens[:-1]):
        if not token.is_name or token.value.lower() not in names:
            continue
        start = at - 2 if at > 1 and tokens[at - 1].text == "." else at
        before = tokens[start - 1] if start else token
        compared = tokens[at + 1].text in ("=", "==") or tokens[at + 1].is_word("IN")
        literal = at + 2 < len(tokens) and (tokens[at + 2].kind in ("string", "number") or tokens[at + 2].text == "(")
        if compared and literal and (before.is_word("WHERE", "AND", "OR", "ON") or before.text == "("):
            name = DEFAULT + names[token.value.lower()]
            made[at] = token._replace(kind="quoted", text=quoted(name), value=name)
    return made


def _other(runner: Runner, reader: Reader, tokens: Sequence[Token]) -> Answer:
    what = next((word for word in ("TABLE", "INDEX", "UNIQUE") if reader.take(word)), None)
    if what is None:
        near = reader.next.text if reader.next is not None else "end of input"
        raise SqlError(
            NOT_SUPPORTED, f"CREATE {near} is not supported; there are VIEW, MATERIALIZED VIEW, TABLE and INDEX."
        )
    if what == "TABLE":
        _take_all(reader, "IF", "NOT", "EXISTS")
        _own_name(reader.chain())
    runner.execute(runner.translator().text(tokens))
    return told(f"CREATE {'TABLE' if what == 'TABLE' else 'INDEX'}", DONE)


def _materialize(runner: Runner, name: str, head: str, query: Sequence[Token], *, replaces: bool) -> Answer:
    text = runner.translator().text(spread(query, runner.provider))
    with runner.database.connection:
        runner.database.unguarded(
            f"CREATE TABLE IF NOT EXISTS {KEPT} (name TEXT PRIMARY KEY COLLATE NOCASE, query TEXT)"
        )
        if replaces:
            _forget(runner, name)
        if "(" in head:
            runner.execute(
                f"CREATE TABLE {quoted(name)} AS WITH made{head[len(quoted(name)) :]} AS ({text}) SELECT * FROM made"  # noqa: S608 - as above
            )
        else:
            runner.execute(f"CREATE TABLE {quoted(name)} AS {text}")
        runner.database.unguarded(f"INSERT INTO {KEPT} VALUES (?, ?)", (name, text))  # noqa: S608 - a name of ours
    return told("CREATE MATERIALIZED VIEW", DONE)


def refresh(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """REFRESH MATERIALIZED VIEW: its query once more, all or nothing."""
    reader = Reader(tokens)
    reader.need("REFRESH")
    reader.need("MATERIALIZED")
    reader.need("VIEW")
    name = _own_name(reader.chain())
    reader.end()
    query = _query_of(runner, name)
    if query is None:
        raise SqlError(UNDEFINED, f'materialized view "{name}" does not exist')
    with runner.database.connection:
        runner.execute(f"DELETE FROM {quoted(name)}")  # noqa: S608 - a quoted name
        runner.execute(f"INSERT INTO {quoted(name)} {query}").fetchall()
    return told("REFRESH MATERIALIZED VIEW", DONE)


def drop(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """DROP [MATERIALIZED] VIEW, DROP TABLE, DROP INDEX."""
    reader = Reader(tokens)
    reader.need("DROP")
    materialized = reader.take("MATERIALIZED")
    what = next((word for word in ("VIEW", "TABLE", "INDEX") if reader.take(word)), None)
    if what is None:
        raise reader.fault("VIEW, MATERIALIZED VIEW, TABLE or INDEX is expected")
    if_there = _take_all(reader, "IF", "EXISTS")
    name = _own_name(reader.chain())
    reader.take("CASCADE", "RESTRICT")
    reader.end()
    if not materialized:
        runner.execute(f"DROP {what} {'IF EXISTS ' if if_there else ''}{quoted(name)}")
        return told(f"DROP {what}", DONE)
    if _query_of(runner, name) is None:
        if not if_there:
            raise SqlError(UNDEFINED, f'materialized view "{name}" does not exist')
    else:
        with runner.database.connection:
            _forget(runner, name)
    return told("DROP MATERIALIZED VIEW", DONE)


def alter(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """ALTER TABLE of the caller's own."""
    reader = Reader(tokens)
    reader.need("ALTER")
    reader.need("TABLE")
    _own_name(reader.chain())
    runner.execute(runner.translator().text(tokens))
    return told("ALTER TABLE", DONE)


def _query_of(runner: Runner, name: str) -> str | None:
    if not runner.database.connection.table_exists("main", KEPT.strip('"')):
        return None
    found = runner.database.unguarded(f"SELECT query FROM {KEPT} WHERE name = ?", (name,))  # noqa: S608 - a name of ours
    return str(found[0][0]) if found else None


def _forget(runner: Runner, name: str) -> None:
    if _query_of(runner, name) is not None:
        runner.execute(f"DROP TABLE IF EXISTS {quoted(name)}")
        runner.database.unguarded(f"DELETE FROM {KEPT} WHERE name = ?", (name,))  # noqa: S608 - a name of ours


def _own_name(chain: Chain) -> str:
    """The name of something of the caller's own; raises SqlError on one of a schema that is not theirs."""
    parts = [part for part in chain.parts if part.lower() not in ("main", "public")] or chain.parts
    if len(parts) > 1 or "." in parts[0] or parts[0].lower().startswith(("sqlite_", "trainyard ")):
        name = ".".join(chain.parts)
        raise SqlError(NOT_SUPPORTED, f"{name}: views and tables of your own have a name of their own, without a dot.")
    return parts[0]


def _take_all(reader: Reader, *words: str) -> bool:
    taken = reader.take(words[0])
    for word in words[1:] if taken else ():
        reader.need(word)
    return taken


def _listed(columns: Sequence[Token]) -> str:
    return f" ({', '.join(quoted(column.value) for column in columns)})" if columns else ""
