"""HTTP request -> message, from the operation book's HTTP rules alone (google.api.http); no path is written by hand.

`Router.match` finds the operation of a verb and a path; `request_of` fills its request from path, query and body;
`system_parameters` reads what is meant for the answer's form and not for the operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from google.protobuf.message import Message

from trainyard.contract.codec import load
from trainyard.contract.json_faults import Findings, JsonFaults
from trainyard.contract.json_read import Reader, Slot, element, read_value, reader
from trainyard.contract.operations import HttpRule, Operation, operations, versioned
from trainyard.contract.pool import message_class
from trainyard.contract.system_parameters import Query, is_system
from trainyard.contract.versions import api_version


class NoRoute(LookupError):
    """No operation has this path."""


class WrongMethod(LookupError):
    """The path exists, but not with this HTTP verb; `allowed` are the verbs that it has."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = tuple(sorted(allowed))
        super().__init__(f"allowed are: {', '.join(self.allowed)}")


@dataclass(frozen=True, slots=True)
class Match:
    """Which operation a request means. `version` is the path's prefix: `v1`, `v1beta1` or `ui`."""

    operation: Operation
    version: str
    variables: Mapping[str, str]  # field path -> value, decoded once
    rule: HttpRule

    @property
    def request_class(self) -> type[Message]:
        """The class of the request message in this version."""
        return message_class(versioned(self.operation.request, api_version(self.version)))


@dataclass(frozen=True, slots=True)
class _Route:
    pattern: re.Pattern[str]
    operation: Operation
    rule: HttpRule
    names: tuple[str, ...]


class Router:
    """Finds operations by verb and path. Routes of one prefix, custom verb and verb lie together."""

    def __init__(self, book: Iterable[Operation] | None = None) -> None:
        self._routes: dict[tuple[str, str], dict[str, list[_Route]]] = {}
        for operation in operations() if book is None else book:
            for rule in operation.rules:
                route = _route(operation, rule)
                for version in operation.versions:
                    by_verb = self._routes.setdefault((version, _custom_verb(rule.template)), {})
                    by_verb.setdefault(rule.verb, []).append(route)

    def match(self, http_verb: str, path: str) -> Match:
        """The operation of e.g. `POST /v1/projects/p/locations/l/customJobs/1:cancel`.

        `path` is as it came, undecoded and without the query. Raises NoRoute or WrongMethod.
        """
        version, _, rest = path.removeprefix("/").partition("/")
        by_verb = self._routes.get((version, _custom_verb(rest)), {})
        for route in by_verb.get(http_verb, ()):
            found = route.pattern.fullmatch(rest)
            if found is not None:
                values = (unquote(value, errors="surrogateescape") for value in found.groups())
                return Match(route.operation, version, dict(zip(route.names, values, strict=True)), route.rule)
        allowed = [verb for verb, routes in by_verb.items() if any(one.pattern.fullmatch(rest) for one in routes)]
        if allowed:
            raise WrongMethod(allowed)
        raise NoRoute(path)


def _route(operation: Operation, rule: HttpRule) -> _Route:
    """`{name=projects/*/locations/*}/operations` becomes a pattern with one group per variable."""
    pattern, names = "", []
    for literal, name, segments in _TEMPLATE.findall(rule.template):
        pattern += re.escape(literal)
        if name:
            names.append(name)
            parts = (_SEGMENTS.get(part, re.escape(part)) for part in (segments or "*").split("/"))
            pattern += f"({'/'.join(parts)})"
    return _Route(re.compile(pattern), operation, rule, tuple(names))


_TEMPLATE = re.compile(r"([^{}]+)|\{([\w.]+)(?:=([^{}]+))?\}")
_SEGMENTS = {"*": "[^/]+", "**": "[^/]+(?:/[^/]+)*"}


def _custom_verb(path: str) -> str:
    last = path.rpartition("/")[2]
    return last.rpartition(":")[2] if ":" in last else ""


# ------------------------------------------------------------------------------------------------------ the request


def request_of(match: Match, query: Query, body: bytes) -> Message:
    """The request message of a matched call; raises JsonFaults with everything that is wrong in query and body.

    A query parameter fills the field of its name (`a.b` goes inwards, a repeated field takes several), system
    parameters are passed over. An empty body, `{}`, `""` and `null` are all a body without fields.
    """
    cls = match.request_class
    faults = Findings(match.rule.body if match.rule.body != "*" else "")
    fields = _body_fields(match, cls, body, faults)
    for name, value in match.variables.items():
        if fields.get(name, value) != value:
            faults.add_unknown(None, name, "The URL path already says it, otherwise.")
        if not _is_text(value):
            faults.add_invalid((None, name), "TYPE_STRING", value)
        fields[name] = value
    bound = {match.rule.body, *match.variables}
    for name, value in query:
        if not is_system(name):
            _bind(cls, bound, fields, (name, value), faults)
    if faults:
        raise JsonFaults(*faults)
    return cls(**fields)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _body_fields(match: Match, cls: type[Message], body: bytes, faults: Findings) -> dict[str, Any]:
    """The request's fields that the body gives."""
    value = load(body) if body and not body.isspace() else {}
    if value is None or value == "":
        value = {}
    target = match.rule.body
    if target == "*":
        return reader(cls.DESCRIPTOR.full_name)(value, None, faults) or {}
    if target:
        body_field: Any = cls.DESCRIPTOR.fields_by_name[target]
        inner = body_field.message_type.full_name
        return {target: reader(inner)(value, (None, target), faults)}
    if value != {}:
        faults.add_unknown(None, "", f"{match.operation.method} takes no body.")
    return {}


def _bind(cls: type[Message], bound: set[str], fields: dict[str, Any], pair: tuple[str, str], faults: Findings) -> None:
    """Put one query parameter where its name says."""
    name, text = pair
    *outer, last = name.split(".")
    full_name: str = cls.DESCRIPTOR.full_name
    path: Any = None
    for part in outer:
        slot = _slot(full_name, part)
        if slot is None or slot.deep is None or not isinstance(slot.deep, Reader) or slot.name in bound:
            return _cannot_bind(name, faults)
        full_name, path = slot.deep.full_name, (path, slot.name)
        fields = fields.setdefault(slot.name, {})
        bound = set()
    slot = _slot(full_name, last)
    if slot is None or slot.name in bound:
        return _cannot_bind(name, faults)
    field = message_class(full_name).DESCRIPTOR.fields_by_name[slot.name]
    one, path = element(field), (path, slot.name)
    if isinstance(one.deep, Reader):  # a message has no text
        return _cannot_bind(name, faults)
    if not field.is_repeated and slot.name in fields:
        return faults.add_unknown(None, name, "Cannot bind query parameter. It is given twice, but is not repeated.")
    value = _read_text(one, text, path, faults)
    fields[slot.name] = [*fields.get(slot.name, []), value] if field.is_repeated else value
    return None


def _slot(full_name: str, name: str) -> Slot | None:
    found = reader(full_name)
    return found.slots.get(name) if isinstance(found, Reader) else None


def _cannot_bind(name: str, faults: Findings) -> None:
    why = f"Cannot bind query parameter. Field '{name}' could not be found in request message."
    faults.add_unknown(None, name, why)


def _read_text(one: Slot, text: str, path: Any, faults: Findings) -> Any:
    value: Any = {"true": True, "false": False}.get(text, text) if one.type_text == "TYPE_BOOL" else text
    return read_value(one, value, path, faults)
