"""The API as an OpenAPI 3.1 document: a fold over the operation book, with the service's own routes beside it.

What the book says of an operation, a message, a field or an enum stands in the document once for each API version that
has it. Built at the first request, from data alone; nothing in it depends on who asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import orjson

from trainyard import __version__
from trainyard.contract.operations import EnumType, Field, HttpRule, MessageType, Operation, enums, messages, operations
from trainyard.edges.rest.key_docs import KEY_PATHS, KEY_SCHEMAS
from trainyard.edges.rest.nas_docs import NAS_PATHS, NAS_SCHEMAS
from trainyard.edges.rest.own_docs import OWN_PATHS, OWN_SCHEMAS
from trainyard.edges.rest.pool_docs import POOL_PATHS, POOL_SCHEMAS
from trainyard.edges.rest.sql_docs import SQL_PATHS, SQL_SCHEMAS

Json = dict[str, Any]

_ABOUT: Final = (
    "Custom jobs as Vertex AI serves them, and what shows their output. Fields may be written in camelCase or in "
    "snake_case, 64-bit integers as text or as numbers, enums by name or by number. The same methods are served over "
    "gRPC on this port. The original's long-running operations answer under /ui as well as under /v1 and /v1beta1. "
    "Cloud Storage's JSON API is served under /storage and /upload and described by its own publisher."
)
_SCALARS: Final[Mapping[str, Json]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "double": {"type": "number", "format": "double"},
    "float": {"type": "number", "format": "float"},
    "int32": {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    "uint32": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1},
    "int64": {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"},
    "uint64": {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"},
}
_WELL_KNOWN: Final[Mapping[str, Json]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$", "examples": ["3.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["name,state"]},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
    "google.protobuf.Empty": {"type": "object", "additionalProperties": False},
    **{
        f"google.protobuf.{name.capitalize() if name[0] != 'u' else name}Value": _SCALARS[name]
        for name in ("bool", "string", "double", "float", "int32", "int64", "bytes")
    },
}
_PLURALS: Final = {"nasTrialDetails": "nasTrialDetail"}
_VARIABLE: Final = re.compile(r"\{([\w.]+)(?:=([^{}]+))?\}")


@cache
def document_bytes() -> bytes:
    """The document as JSON text."""
    return orjson.dumps(document())


def document() -> Json:
    """The document as JSON values."""
    paths: dict[str, Json] = {}
    schemas: Json = {"Error": _ERROR, **OWN_SCHEMAS, **NAS_SCHEMAS, **POOL_SCHEMAS, **KEY_SCHEMAS, **SQL_SCHEMAS}
    for operation in operations():
        for version in operation.versions:
            if version == "ui":
                continue
            for number, rule in enumerate(operation.rules):
                path = f"/{version}/{_path(rule.template)[0]}"
                described = _operation(operation, version, rule, number)
                paths.setdefault(path, {})[rule.verb.lower()] = described
    for name in _reached(paths):
        schemas[_schema_name(*name)] = _schema(*name)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trainyard", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": _tags(),
        "paths": {**paths, **OWN_PATHS, **NAS_PATHS, **POOL_PATHS, **KEY_PATHS, **SQL_PATHS},
        "components": {"schemas": schemas, "parameters": _PARAMETERS, "responses": {"Error": _ERROR_ANSWER},
                       "securitySchemes": _SECURITY},
        "security": [{}, {"bearer": []}, {"apiKey": []}],
    }  # fmt: skip


def _tags() -> list[Json]:
    found = {
        _tag(operation, version) for operation in operations() for version in operation.versions if version != "ui"
    }
    return [
        *({"name": name} for name in sorted(found)),
        {"name": "Trainyard", "description": "What the original has not."},
    ]


def _tag(operation: Operation, version: str) -> str:
    return f"{operation.service} {version}"


def _operation(operation: Operation, version: str, rule: HttpRule, number: int) -> Json:
    request = messages()[operation.request]
    bound = {name for name, _ in _VARIABLE.findall(rule.template)} | {rule.body}
    described: Json = {
        "operationId": f"{version}.{operation.method}" + (f".{number}" if number else ""),
        "tags": [_tag(operation, version)],
        "summary": operation.doc.partition(". ")[0].removesuffix("."),
        "description": operation.doc,
        "parameters": [
            *(_segment(name) for name in _path(rule.template)[1]),
            *(_query(field, version) for field in request.fields if rule.body != "*" and _asks(field, bound, version)),
            *({"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS),
        ],
        "responses": {
            "200": {"description": "Done.", "content": _content(_reference(operation.response, version))},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }  # fmt: skip
    if operation.permission:
        described["x-permission"] = operation.permission
    if rule.body == "*":
        described["requestBody"] = {"content": _content(_object(request, version, frozenset(bound)))}
    elif rule.body:
        field = next(field for field in request.fields if field.name == rule.body)
        described["requestBody"] = {"required": True, "content": _content(_reference(field.type, version))}
    return described


def _path(template: str) -> tuple[str, list[str]]:
    """`{name=projects/*/locations/*}/x` as `projects/{project}/locations/{location}/x`, and the names in it."""
    names: list[str] = []

    def segments(found: re.Match[str]) -> str:
        parts = (found[2] or "*").replace("/**", "/customJobs/*").split("/")
        for at, part in enumerate(parts):
            if part == "*":
                collection = parts[at - 1] if at else found[1]
                names.append(_PLURALS.get(collection, collection.removesuffix("s")))
                parts[at] = f"{{{names[-1]}}}"
        return "/".join(parts)

    return _VARIABLE.sub(segments, template), names


def _segment(name: str) -> Json:
    """What stands between two slashes of a path."""
    patterns = {"customJob": "^[0-9]{1,18}$", "nasJob": "^[0-9]{1,18}$", "operation": "^[0-9]{1,18}$",
                "location": "^[a-z][a-z0-9-]{0,62}$", "project": "^[a-z][a-z0-9-]{0,62}$"}  # fmt: skip
    schema = {"type": "string", **({"pattern": patterns[name]} if name in patterns else {"minLength": 1})}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _asks(field: Field, bound: set[str], version: str) -> bool:
    scalar = field.type in _SCALARS or field.type in _WELL_KNOWN or field.type in enums()
    return field.name not in bound and scalar and version in (*field.versions, "v2")


def _query(field: Field, version: str) -> Json:
    schema = _field(field, version)
    return {"name": field.json_name, "in": "query", "description": schema.pop("description", ""), "schema": schema}


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _reached(paths: Mapping[str, Json]) -> list[tuple[str, str]]:
    """(full name, version) of every message and enum that the paths refer to, directly or not."""
    spelled = {_schema_name(name, version): (name, version) for name in (*messages(), *enums())
               for version in ("v1", "v1beta1", "v2")}  # fmt: skip
    todo, seen = list(_references(paths)), set()
    while todo:
        name = todo.pop()
        if name in spelled and name not in seen:
            seen.add(name)
            todo += _references(_schema(*spelled[name]))
    return [spelled[name] for name in sorted(seen)]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _schema_name(full_name: str, version: str) -> str:
    """`v1.CustomJob`; what has no version in its name goes without: `longrunning.Operation`."""
    return full_name.replace("google.cloud.aiplatform.{v}", version).removeprefix("google.")


def _reference(full_name: str, version: str) -> Json:
    if full_name in _SCALARS:
        return dict(_SCALARS[full_name])
    if full_name in _WELL_KNOWN:
        return dict(_WELL_KNOWN[full_name])
    return {"$ref": f"#/components/schemas/{_schema_name(full_name, version)}"}


def _schema(full_name: str, version: str) -> Json:
    if full_name in messages():
        return _object(messages()[full_name], version)
    return _enum(enums()[full_name])


def _object(message: MessageType, version: str, without: frozenset[str] = frozenset()) -> Json:
    fields = [field for field in message.fields if version in (*field.versions, "v2") and field.name not in without]
    required = [field.json_name for field in fields if "REQUIRED" in field.behaviours]
    return {
        "type": "object",
        **({"description": message.doc} if message.doc else {}),
        "properties": {field.json_name: _field(field, version) for field in fields},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _field(field: Field, version: str) -> Json:
    one = _reference(field.type, version) if field.label != "map" else {}
    schema: Json = one
    if field.label == "repeated":
        schema = {"type": "array", "items": one}
    elif field.label == "map":
        schema = {"type": "object", "additionalProperties": {"type": "string"}}
    if field.doc:
        schema["description"] = field.doc
    if "OUTPUT_ONLY" in field.behaviours:
        schema["readOnly"] = True
    if field.oneof:
        schema["x-oneof"] = field.oneof
    if "IMMUTABLE" in field.behaviours:
        schema["x-immutable"] = True
    return schema


def _enum(enum: EnumType) -> Json:
    return {
        "type": "string",
        "enum": [value.name for value in enum.values],
        **({"description": enum.doc} if enum.doc else {}),
        "x-values": {value.name: {"number": value.number, "description": value.doc} for value in enum.values},
    }


_ERROR: Final[Json] = {
    "type": "object",
    "description": "Every answer that is not a success (https://google.aip.dev/193).",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "message": {"type": "string", "description": "For people."},
                "status": {"type": "string", "description": "The canonical code, such as NOT_FOUND."},
                "details": {"type": "array", "items": dict(_WELL_KNOWN["google.protobuf.Any"])},
            },
            "required": ["code", "message", "status"],
        }
    },
    "required": ["error"],
}
_ERROR_ANSWER: Final[Json] = {
    "description": "Why it was not done.",
    "content": _content({"$ref": "#/components/schemas/Error"}),
}
_PARAMETERS: Final[Json] = {
    "fields": {
        "name": "fields",
        "in": "query",
        "description": "Only these fields of the answer, such as name,state.",
        "schema": {"type": "string"},
    },
    "alt": {
        "name": "$alt",
        "in": "query",
        "description": "How enums are written in the answer: by name, or by number.",
        "schema": {"type": "string", "enum": ["json", "json;enum-encoding=int"]},
    },
    "prettyPrint": {
        "name": "prettyPrint",
        "in": "query",
        "description": "Whether the answer is indented; it is unless this is false.",
        "schema": {"type": "boolean"},
    },
}
_SECURITY: Final[Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "With `trainyard serve --auth`: a token."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
}
