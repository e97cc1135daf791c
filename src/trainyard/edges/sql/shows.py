"""SHOW, DESCRIBE and REGISTRY: the operation book as tables, in StackQL's columns."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from trainyard import __version__
from trainyard.contract.operations import Field, messages
from trainyard.edges.sql.answers import Answer, table, told
from trainyard.edges.sql.bodies import PREFIX
from trainyard.edges.sql.clauses import Reader
from trainyard.edges.sql.errors import UNDEFINED, SqlError
from trainyard.edges.sql.names import resource_named
from trainyard.edges.sql.own_tables import own_tables
from trainyard.edges.sql.resources import (
    API_VERSION,
    PROVIDER,
    SERVICE,
    SERVICE_TITLE,
    Method,
    Resource,
    columns_of,
    resources,
    type_of,
)

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner

_RELEASE: Final = f"v{__version__}"
_DEEPEST_SHAPE: Final = 6


def show(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """SHOW PROVIDERS, SERVICES, RESOURCES, METHODS, INSERT, VERSION. Raises SqlError."""
    reader = Reader(tokens)
    reader.need("SHOW")
    extended = reader.take("EXTENDED")
    if reader.take("PROVIDERS"):
        return _filtered(reader, ("name", "version"), [(PROVIDER, _RELEASE)])
    if reader.take("SERVICES"):
        _need_place(reader, PROVIDER)
        told_of = "Custom training and neural architecture search, run on this server's machine."
        service = [(f"{SERVICE}:{_RELEASE}", SERVICE, SERVICE_TITLE, told_of)]
        return _filtered(reader, *_cut(("id", "name", "title", "description"), service, extended=extended), on=1)
    if reader.take("RESOURCES"):
        _need_place(reader, PROVIDER, SERVICE)
        found = [(resource.name, resource.full_name, resource.doc) for resource in resources().values()]
        return _filtered(reader, *_cut(("name", "id", "description"), found, extended=extended))
    if reader.take("METHODS"):
        resource = _placed_resource(runner, reader)
        names = ("MethodName", "RequiredParams", "SQLVerb", "description")
        rows = [
            (method.name, ", ".join(sorted(method.required)), method.verb, method.operation.doc)
            for method in resource.methods
        ]
        return _filtered(reader, *_cut(names, rows, extended=extended))
    if reader.take("INSERT"):
        return _show_insert(runner, reader)
    if reader.take("VERSION"):
        names = ("version", "commit", "build_date", "platform")
        return table(*_cut(names, [(__version__, "", "", platform.platform())], extended=extended, least=1), "SHOW")
    raise reader.fault("PROVIDERS, SERVICES, RESOURCES, METHODS, INSERT or VERSION is expected")


def describe(runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """DESCRIBE [EXTENDED] table, DESCRIBE METHOD [EXTENDED] table.method. Raises SqlError."""
    reader = Reader(tokens)
    reader.need("DESCRIBE", "DESC")
    if reader.take("METHOD"):
        return _describe_method(runner, reader)
    extended = reader.take("EXTENDED")
    parts = reader.chain().parts
    reader.end()
    known = {**{each.full_name: each for each in own_tables()}, **_by_parts(runner, parts)}
    resource = known.get(".".join(parts).lower())
    if resource is None:
        return _describe_own(runner, ".".join(parts))
    rows = [(column.name, column.type, column.doc) for column in resource.columns]
    return table(*_cut(("name", "type", "description"), rows, extended=extended), "DESCRIBE")


def registry(_runner: Runner, tokens: Sequence[Token], _: Sequence[Any]) -> Answer:
    """REGISTRY LIST, REGISTRY PULL: the one provider is this server itself. Raises SqlError."""
    reader = Reader(tokens)
    reader.need("REGISTRY")
    if reader.take("LIST"):
        asked = reader.chain().parts[0] if reader.next is not None else ""
        reader.end()
        rows = [(PROVIDER, _RELEASE)] if asked in ("", PROVIDER) else []
        return table(("provider", "versions" if asked else "version"), rows, "REGISTRY LIST")
    reader.need("PULL")
    name = reader.chain().parts[0]
    if name.lower() != PROVIDER:
        raise SqlError(UNDEFINED, f"There is no provider {name!r} here.", hint=f"There is {PROVIDER}.")
    return told("REGISTRY PULL", f"{PROVIDER} provider, version '{_RELEASE}' successfully installed")


def _by_parts(runner: Runner, parts: Sequence[str]) -> dict[str, Resource]:
    found = resource_named(parts, runner.provider)
    return {".".join(parts).lower(): found} if found is not None else {}


def _describe_own(runner: Runner, name: str) -> Answer:
    rows = runner.database.unguarded("SELECT name, type FROM pragma_table_info(?)", (name,))
    if not rows:
        raise SqlError(
            UNDEFINED, f'relation "{name}" does not exist', hint="SHOW RESOURCES IN google.aiplatform lists the tables."
        )
    return table(("name", "type"), [(column, kind.lower() or "any") for column, kind in rows], "DESCRIBE")


def _describe_method(runner: Runner, reader: Reader) -> Answer:
    extended = reader.take("EXTENDED")
    parts = reader.chain().parts
    reader.end()
    resource = next(iter(_by_parts(runner, parts[:-1]).values()), None)
    method = next((each for each in resource.methods if each.name == parts[-1].lower()), None) if resource else None
    if method is None:
        raise SqlError(UNDEFINED, f"There is no method {'.'.join(parts)}.", hint="SHOW METHODS IN <table> lists them.")
    names = ("name", "type", "param_type", "shape", "description")
    return table(*_cut(names, list(_shapes(method)), extended=extended, least=4), "DESCRIBE")


def _shapes(method: Method) -> Iterator[tuple[str, str, str, str, str]]:
    for name in sorted(method.required):
        yield name, "string", "input_required", '{"type":"string"}', f"The part of the path after {name[:-2]}/."
    for name in method.optional:
        yield name, "string", "input_optional", '{"type":"string"}', ""
    request = messages()[method.operation.request]
    body = next((field for field in request.fields if field.name == method.body), None)
    for field in messages()[body.type].fields if body is not None else ():
        if API_VERSION in field.versions and "OUTPUT_ONLY" not in field.behaviours:
            kind = "input_required" if "REQUIRED" in field.behaviours else "input_optional"
            yield PREFIX + field.json_name, type_of(field), kind, _shape_text(field), field.doc
    answer = messages().get(method.operation.response)
    for field in answer.fields if answer is not None else ():
        if API_VERSION in field.versions:
            yield field.json_name, type_of(field), "output", _shape_text(field), field.doc


def _shape_text(field: Field) -> str:
    return json.dumps(_shape(field, _DEEPEST_SHAPE), separators=(",", ":"))


def _shape(field: Field, depth: int) -> dict[str, Any]:
    """The field's JSON schema, as far down as it is of use."""
    inner: dict[str, Any] = {"type": "object"}
    known = messages().get(field.type)
    if field.label == "map" or known is None or type_of(field) not in ("object", "array"):
        kind = type_of(field)
        return {"type": "array", "items": {"type": "string"}} if kind == "array" else {"type": kind}
    if depth and not field.type.startswith("google.protobuf."):
        fields = (each for each in known.fields if API_VERSION in each.versions)
        inner["properties"] = {each.json_name: _shape(each, depth - 1) for each in fields}
    return {"type": "array", "items": inner} if field.label == "repeated" else inner


def _show_insert(runner: Runner, reader: Reader) -> Answer:
    """A statement to fill in: the values first, then the INSERT that takes them."""
    only_required = "REQUIRED" in reader.hints()
    reader.need("INTO")
    resource = next(iter(_by_parts(runner, reader.chain().parts).values()), None)
    reader.end()
    creates = resource.of_verb("INSERT") if resource is not None else ()
    if resource is None or not creates:
        raise SqlError(
            UNDEFINED,
            "SHOW INSERT INTO needs a table that can be inserted into, such as google.aiplatform.custom_jobs.",
        )
    fields = [
        column
        for column in columns_of(creates[0].operation.response)
        if not column.output_only and (column.required or not only_required)
    ]
    names = [*creates[0].required, *(column.name for column in fields)]
    values = ",\n".join(f'    {name}: "{{{{ {name} }}}}"' for name in names)
    listed = ", ".join([*creates[0].required, *(PREFIX + column.name for column in fields)])
    selected = [f"'{{{{ .values.{name} }}}}'" for name in creates[0].required]
    selected += [_placeholder(column.name, column.type) for column in fields]
    head = f"<<<jsonnet\n{{\n  values: {{\n{values}\n  }}\n}}\n>>>\n"
    text = f"{head}INSERT INTO {resource.full_name}( {listed} )\nSELECT {', '.join(selected)};"
    return table(("insert",), [(text,)], "SHOW")


def _placeholder(name: str, kind: str) -> str:
    filled = f"{{{{ .values.{name} }}}}"
    return filled if kind in ("boolean", "integer", "number") else f"'{filled}'"


def _need_place(reader: Reader, *expected: str) -> None:
    reader.need("IN", "FROM")
    parts = tuple(part.lower() for part in reader.chain().parts)
    if parts != expected and parts != expected[1:]:
        raise SqlError(UNDEFINED, f"There is no {'.'.join(parts)} here.", hint=f"There is {'.'.join(expected)}.")


def _placed_resource(runner: Runner, reader: Reader) -> Resource:
    reader.need("IN", "FROM")
    parts = reader.chain().parts
    found = next(iter(_by_parts(runner, parts).values()), None)
    if found is None:
        known = ", ".join(resource.full_name for resource in resources().values())
        raise SqlError(UNDEFINED, f"There is no table {'.'.join(parts)} here.", hint=f"The tables are: {known}.")
    return found


def _cut(
    names: Sequence[str], rows: Sequence[tuple[Any, ...]], *, extended: bool, least: int = 0
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """Without the description, unless EXTENDED is asked for."""
    width = len(names) if extended else least or len(names) - 1
    return names[:width], [row[:width] for row in rows]


def _filtered(reader: Reader, names: Sequence[str], rows: Iterable[tuple[Any, ...]], on: int = 0) -> Answer:
    """The rows whose name is LIKE the pattern, where one is given."""
    found = list(rows)
    if reader.take("LIKE"):
        token = reader.next
        if token is None or token.kind != "string":
            raise reader.fault("a pattern in quotes is expected")
        reader.at += 1
        pieces = [piece.lower() for piece in token.value.split("%")]
        found = [row for row in found if _like(str(row[on]).lower(), pieces)]
    reader.end()
    return table(names, found, "SHOW")


def _like(name: str, pieces: Sequence[str]) -> bool:
    if len(pieces) == 1:
        return name == pieces[0]
    if not name.startswith(pieces[0]) or not name.endswith(pieces[-1]):
        return False
    at = len(pieces[0])
    for piece in pieces[1:-1]:
        at = name.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return at <= len(name) - len(pieces[-1])
