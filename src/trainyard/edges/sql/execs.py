"""EXEC: a method by its name, with its parameters as `@name = value`; commas between them may be missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainyard.contract.operations import messages
from trainyard.edges.sql.answers import Answer
from trainyard.edges.sql.bodies import body_value
from trainyard.edges.sql.clauses import AWAIT, Reader
from trainyard.edges.sql.errors import SYNTAX_ERROR, UNDEFINED, UNDEFINED_COLUMN, WRONG_TYPE, SqlError
from trainyard.edges.sql.lexer import statement_tokens
from trainyard.edges.sql.names import resource_named
from trainyard.edges.sql.resources import Method, Resource, columns_of
from trainyard.edges.sql.writing import Change, Order, carry_out

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner

_WORDS = {"TRUE": True, "FALSE": False, "NULL": None}


def execute(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any]) -> Answer:
    """Call the method; SHOWRESULTS shows its answer. Raises SqlError."""
    reader = Reader(tokens)
    reader.need("EXEC", "EXECUTE")
    hints = reader.hints()
    parts = reader.chain().parts
    resource = resource_named(parts[:-1], runner.provider)
    method = _method(resource, parts[-1]) if resource is not None else None
    if resource is None or method is None:
        raise SqlError(UNDEFINED, f"There is no method {'.'.join(parts)}.", hint="SHOW METHODS IN <table> lists them.")
    given, body = _arguments(reader, parameters)
    names = {name.lower(): name for name in method.required}
    ids = {
        **runner.work.defaults,
        **{names[name.lower()]: value for name, value in given.items() if name.lower() in names},
    }
    for name in method.required:
        if name not in ids:
            message = f"required param not supplied for exec: could not find variable '{name}'"
            raise SqlError(SYNTAX_ERROR, message, hint=f"Add @{name} = '…'.")
    for name in given:
        if name.lower() not in names:
            known = ", ".join(f"@{each}" for each in method.required)
            raise SqlError(UNDEFINED_COLUMN, f"@{name} is not a parameter of {method.name}.", hint=f"It takes {known}.")
    change = Change({name: ids[name] for name in method.required}, _body(method, body))
    items = statement_tokens("*") if "SHOWRESULTS" in hints else ()
    return carry_out(runner, Order(resource, method, [change], AWAIT in hints, items, "EXEC"))


def _method(resource: Resource, name: str) -> Method | None:
    return next((method for method in resource.methods if method.name.lower() == name.lower()), None)


def _arguments(reader: Reader, parameters: Sequence[Any]) -> tuple[dict[str, str], Any]:
    """`@name = value` …, and the JSON of `@@json`; None where it is not given."""
    given: dict[str, str] = {}
    body: Any = None
    while (token := reader.next) is not None:
        if token.kind != "parameter" or not token.text.startswith("@"):
            raise reader.fault("@name = value is expected")
        reader.at += 1
        reader.need("=")
        value = _value(reader, parameters)
        if token.text.startswith("@@"):
            body = _json(token.text, value)
        elif value is not None:
            given[token.text[1:]] = str(value)
        reader.take(",")
    return given, body


def _value(reader: Reader, parameters: Sequence[Any]) -> Any:
    token = reader.next
    if token is None:
        raise reader.fault("a value is expected")
    reader.at += 1
    if token.kind in ("string", "number"):
        return token.value
    if token.is_word(*_WORDS):
        return _WORDS[token.text.upper()]
    if token.kind == "parameter" and token.text[1:].isdecimal() and int(token.text[1:]) <= len(parameters):
        return parameters[int(token.text[1:]) - 1]
    raise SqlError(SYNTAX_ERROR, f"syntax error at or near {token.text!r}: EXEC takes values, no expressions.")


def _json(name: str, value: Any) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise SqlError(WRONG_TYPE, f"{name}: this is not JSON ({error}).") from None


def _body(method: Method, body: Any) -> Mapping[str, Any] | None:
    """The body, checked against the request; raises SqlError on a key that it has not."""
    if body is None:
        return None
    if not isinstance(body, dict):
        raise SqlError(WRONG_TYPE, "@@json: an object is expected here.")
    message = method.operation.request
    known = {column.name for column in columns_of(message)} - {"name", "parent"} if method.body == "*" else set[str]()
    if method.body not in ("", "*"):
        field = next(each for each in messages()[message].fields if each.name == method.body)
        message, known = field.type, {column.name for column in columns_of(field.type)}
    for key in body:
        if key not in known:
            raise SqlError(UNDEFINED_COLUMN, f"schema does not possess payload key '{key}'")
    checked: dict[str, Any] = body_value(message, body)
    return checked
