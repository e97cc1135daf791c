"""What an INSERT or EXEC gives as the JSON body of a call: found by schema, checked before anything is sent.

Bare and `data__` column names mean the same. A manifest's lists of `{name, value}` become objects wherever the schema
has an object, without the blanks that were not filled in; where elements really have these two fields (`env`), they
stay as they are.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from trainyard.contract.operations import Field, messages
from trainyard.edges.sql.errors import UNDEFINED_COLUMN, WRONG_TYPE, SqlError
from trainyard.edges.sql.resources import API_VERSION, Resource, TableColumn, type_of

PREFIX: Final = "data__"
_STAND_INS: Final = frozenset({"$ref", "type"})
"""Names by which a generated manifest speaks of an array's elements as such."""
_TRUTHS: Final = {"true": True, "false": False}


def column_named(resource: Resource, name: str) -> TableColumn | str:
    """The column (or the name of the path parameter) that is meant; raises SqlError with the nearest right name."""
    bare = name.removeprefix(PREFIX)
    for parameter in resource.path:
        if parameter.lower() == name.lower():
            return parameter
    for column in resource.columns:
        if column.name.lower() == bare.lower():
            if column.output_only:
                message = f"{bare}: the service sets this field; leave it out."
                raise SqlError(UNDEFINED_COLUMN, message)
            return column
    known = [*resource.path, *(column.name for column in resource.columns if not column.output_only)]
    raise unknown(bare, bare, known)


def unknown(path: str, name: str, known: Sequence[str]) -> SqlError:
    """The error for a name that there is not, with the nearest that there is."""
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    return SqlError(UNDEFINED_COLUMN, f"{path}: unknown field", hint=hint)


def field_value(column: TableColumn, value: Any) -> Any:
    """The JSON value of a column's SQL value; None where nothing is given. Raises SqlError, which names the column."""
    if value is None or (value == "" and column.type != "string"):
        return None
    if column.type in ("object", "array"):
        return _folded(_parsed(value, column.name), column.type, column.message, column.name)
    return _scalar(value, column.type, column.name)


def body_value(message: str, value: Any, path: str = "") -> Any:
    """A whole body of this message type, checked and folded like a column's."""
    return _object(value, message, path)


def _parsed(value: Any, path: str) -> Any:
    if not isinstance(value, str):
        return value if isinstance(value, dict | list) else _mistyped(path, "a JSON object or list", value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise SqlError(
            WRONG_TYPE,
            f"{path}: this is not JSON ({error}).",
            hint='Give an object as text: \'{"key": "value"}\'; a quote within it is written \\".',
        ) from None


def _mistyped(path: str, wanted: str, value: Any) -> Any:
    raise SqlError(WRONG_TYPE, f"{path}: {wanted} is expected here, not {json.dumps(value, default=str)[:100]}.")


def _scalar(value: Any, kind: str, path: str) -> Any:
    if kind == "boolean":
        if isinstance(value, str) and value.lower() in _TRUTHS:
            return _TRUTHS[value.lower()]
        return bool(value) if value in (0, 1) else _mistyped(path, "true or false", value)
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # 64-bit numbers are texts in this API's JSON
    return value


def _folded(value: Any, kind: str, message: str, path: str) -> Any:
    if kind == "array":
        return _array(value, message, path)
    if isinstance(value, str):
        value = _parsed(value, path)
    if _is_pairs(value):
        # A blank of a manifest that nobody filled in is rendered as an empty text.
        value = {pair["name"]: pair["value"] for pair in value if pair["value"] != ""}
        return (_object(value, message, path) if message in messages() else value) or None
    if not isinstance(value, dict):
        return _mistyped(path, "an object", value)
    return _object(value, message, path) if message in messages() else value


def _object(value: Any, message: str, path: str) -> Any:
    fields = messages()[message].fields
    if not isinstance(value, dict) or message.startswith("google.protobuf."):
        return value
    known = {name: field for field in fields if API_VERSION in field.versions for name in (field.json_name, field.name)}
    made: dict[str, Any] = {}
    for name, inner in value.items():
        below = f"{path}.{name}".removeprefix(".")
        field = known.get(name)
        if field is None:
            raise unknown(below, name, sorted({each.json_name for each in known.values()}))
        found = _of_field(field, inner, below)
        if found is not None:
            made[field.json_name] = found
    return made


def _of_field(field: Field, value: Any, path: str) -> Any:
    kind = type_of(field)
    if value is None or (value == "" and (field.type != "string" or field.label)):
        return None
    if kind in ("object", "array"):
        return _folded(value, kind, field.type if field.label != "map" else "", path)
    return _scalar(value, kind, path)


def _array(value: Any, message: str, path: str) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(value, path)
    if not isinstance(value, list):
        return _mistyped(path, "a list", value)
    elements = list(_without_stand_ins(value, path))
    if message not in messages() or message.startswith("google.protobuf."):
        return elements
    of_element = {field.json_name for field in messages()[message].fields}
    if _is_pairs(elements) and not {"name", "value"} <= of_element:
        elements = [elements]
    folded = (_folded(element, "object", message, f"{path}[{at}]") for at, element in enumerate(elements))
    return [element for element in folded if element is not None]


def _without_stand_ins(elements: Iterable[Any], path: str) -> Iterable[Any]:
    """The elements, those that a generated manifest only stands for put in their place."""
    for element in elements:
        if _is_pair(element) and element["name"] in _STAND_INS:
            inner = element["value"]
            if isinstance(inner, str) and inner.lstrip().startswith(("[", "{")):
                inner = _parsed(inner, path)
            yield from inner if isinstance(inner, list) else [] if inner == "" else [inner]
        else:
            yield element


def _is_pairs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_pair, value))


def _is_pair(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"name", "value"} and isinstance(value["name"], str)
