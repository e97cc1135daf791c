"""The tables that the API amounts to, read from the operation book: nothing here is written for one resource.

Names are StackQL's: `customJobs` is google.aiplatform.custom_jobs, `projects/*` in a path is the parameter projectsId.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

from trainyard.contract.json_text import snake
from trainyard.contract.operations import Field, Operation, enums, messages, operations

PROVIDER: Final = "google"
SERVICE: Final = "aiplatform"
SERVICE_TITLE: Final = "Vertex AI API"
API_VERSION: Final = "v1"

_VERBS: Final = {"get": "SELECT", "list": "SELECT", "create": "INSERT", "delete": "DELETE"}
_ORDER: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "EXEC")
_VARIABLE: Final = re.compile(r"\{(\w+)=([^{}]+)\}")
_TEXTS: Final = frozenset(
    {"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask", "string", "bytes"}
)
_KINDS: Final = {"string": "text", "boolean": "boolean", "integer": "bigint", "number": "double"}
_SCALARS: Final[Mapping[str, str]] = {
    "bool": "boolean",
    "double": "number",
    "float": "number",
    **dict.fromkeys(("int32", "uint32", "sint32", "fixed32", "sfixed32"), "integer"),
    **dict.fromkeys(("int64", "uint64", "sint64", "fixed64", "sfixed64"), "string"),  # as proto3 JSON has them
}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One field of a resource. `type` is DESCRIBE's word (string, object, array, boolean, integer, number).

    `message` is the full name of the message that an object (or each element of an array) is, else empty.
    """

    name: str
    type: str
    doc: str
    message: str = ""
    output_only: bool = False
    required: bool = False

    @property
    def kind(self) -> str:
        """The kind of a result's column (session.Column)."""
        return _KINDS.get(self.type, "json")


@dataclass(frozen=True, slots=True)
class Method:
    """One operation of a resource; `required` are path parameters in the order of the path."""

    name: str
    verb: str
    operation: Operation
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    body: str = ""  # the request's field that the body is: a name, `*`, or empty


@dataclass(frozen=True, slots=True)
class Resource:
    """One table of the API. Columns are sorted by name, as `SELECT *` gives them; `path` names all of its ids."""

    name: str
    collection: str
    doc: str
    columns: tuple[TableColumn, ...]
    methods: tuple[Method, ...]
    path: tuple[str, ...]
    schema: str = f"{PROVIDER}.{SERVICE}"

    @property
    def full_name(self) -> str:
        """`google.aiplatform.custom_jobs`."""
        return f"{self.schema}.{self.name}"

    def of_verb(self, verb: str) -> tuple[Method, ...]:
        """The methods that a statement of this verb may mean, in the order in which they are tried."""
        return tuple(method for method in self.methods if method.verb == verb)

    @property
    def optional(self) -> tuple[str, ...]:
        """Parameters that some SELECT takes besides the ids."""
        return tuple(dict.fromkeys(name for method in self.of_verb("SELECT") for name in method.optional))


@cache
def resources() -> Mapping[str, Resource]:
    """Every resource by its short name (`custom_jobs`), in the order of their names."""
    found: dict[str, list[Operation]] = {}
    for operation in operations():
        if operation.collection and API_VERSION in operation.versions and operation.rules:
            found.setdefault(operation.collection, []).append(operation)
    made = (_resource(collection, group) for collection, group in found.items())
    return {resource.name: resource for resource in sorted(made, key=lambda resource: resource.name)}


def _resource(collection: str, group: Iterable[Operation]) -> Resource:
    by_verb = {operation.verb: operation for operation in group}
    shown = messages()[by_verb["get"].response]
    methods = sorted(map(_method, by_verb.values()), key=lambda method: _ORDER.index(method.verb))
    methods.sort(key=lambda method: (_ORDER.index(method.verb), method.name != "get"))
    return Resource(
        name=snake(collection),
        collection=collection,
        doc=shown.doc,
        columns=tuple(sorted(columns_of(shown.name), key=lambda column: column.name)),
        methods=tuple(methods),
        path=_parameters(by_verb["get"].rules[0].template),
    )


def _method(operation: Operation) -> Method:
    rule = operation.rules[0]
    taken = _VARIABLE.search(rule.template)
    named = taken.group(1) if taken else ""
    optional = tuple(
        field.json_name
        for field in messages()[operation.request].fields
        if not rule.body and field.name != named and API_VERSION in field.versions
    )
    verb = _VERBS.get(operation.verb, "EXEC")
    return Method(operation.verb, verb, operation, _parameters(rule.template), optional, rule.body)


def _parameters(template: str) -> tuple[str, ...]:
    found = _VARIABLE.search(template)
    parts = found.group(2).split("/") if found else []
    return tuple(f"{name}Id" for name, star in pairwise(parts) if star == "*")


@cache
def columns_of(message: str) -> tuple[TableColumn, ...]:
    """The fields of a message as columns, in the order of their numbers."""
    return tuple(_column(field) for field in messages()[message].fields if API_VERSION in field.versions)


def _column(field: Field) -> TableColumn:
    inner = field.type if field.type in messages() and field.type not in _TEXTS else ""
    return TableColumn(
        field.json_name,
        type_of(field),
        field.doc,
        message=inner if field.label != "map" else "",
        output_only="OUTPUT_ONLY" in field.behaviours,
        required="REQUIRED" in field.behaviours,
    )


def type_of(field: Field) -> str:
    """DESCRIBE's word for a field."""
    if field.label == "repeated":
        return "array"
    if field.type in _TEXTS or field.type in enums():
        return "string"
    return _SCALARS.get(field.type, "object")
