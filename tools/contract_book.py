"""What of the API is kept, and how it is told in book.json: operations with their HTTP rules, messages, fields, enums.

The methods come from the two tables below; everything else in the book is read from the .proto files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

API_VERSIONS = ("v1", "v1beta1")
JOB_SERVICE = "google.cloud.aiplatform.{v}.JobService"

# Method -> (what it means to the service, the collection it acts on).
KINDS = {
    "CreateCustomJob": ("create", "customJobs"),
    "GetCustomJob": ("get", "customJobs"),
    "ListCustomJobs": ("list", "customJobs"),
    "DeleteCustomJob": ("delete", "customJobs"),
    "CancelCustomJob": ("cancel", "customJobs"),
    "CreateNasJob": ("create", "nasJobs"),
    "GetNasJob": ("get", "nasJobs"),
    "ListNasJobs": ("list", "nasJobs"),
    "DeleteNasJob": ("delete", "nasJobs"),
    "CancelNasJob": ("cancel", "nasJobs"),
    "GetNasTrialDetail": ("get", "nasTrialDetails"),
    "ListNasTrialDetails": ("list", "nasTrialDetails"),
}

# The HTTP bindings of a mixin are not in its .proto: each API publishes its own. These are the ones that the official
# REST clients send (their /ui prefix first), for our resources; nasJobs follows customJobs.
_OPERATION = [f"{{name=projects/*/locations/*{job}/operations/*}}" for job in ("", "/customJobs/*", "/nasJobs/*")]
_OWNER = [f"{{name=projects/*/locations/*{job}}}/operations" for job in ("", "/customJobs/*", "/nasJobs/*")]
_RESOURCE = "{resource=projects/*/locations/*/**}"
MIXINS: dict[str, dict[str, tuple[str, list[str], str]]] = {
    "google.longrunning.Operations": {
        "ListOperations": ("GET", _OWNER, ""),
        "GetOperation": ("GET", _OPERATION, ""),
        "DeleteOperation": ("DELETE", _OPERATION, ""),
        "CancelOperation": ("POST", [f"{name}:cancel" for name in _OPERATION], "*"),
        "WaitOperation": ("POST", [f"{name}:wait" for name in _OPERATION], "*"),
    },
    "google.cloud.location.Locations": {
        "ListLocations": ("GET", ["{name=projects/*}/locations"], ""),
        "GetLocation": ("GET", ["{name=projects/*/locations/*}"], ""),
    },
    "google.iam.v1.IAMPolicy": {
        "SetIamPolicy": ("POST", [f"{_RESOURCE}:setIamPolicy"], "*"),
        "GetIamPolicy": ("POST", [f"{_RESOURCE}:getIamPolicy"], "*"),
        "TestIamPermissions": ("POST", [f"{_RESOURCE}:testIamPermissions"], "*"),
    },
}
# Documented for customJobs; for a job of another kind the service puts that kind in.
PERMISSIONS = {
    "ListOperations": "aiplatform.customJobs.get",
    "GetOperation": "aiplatform.customJobs.get",
    "DeleteOperation": "aiplatform.customJobs.get",
    "WaitOperation": "aiplatform.customJobs.get",
    "CancelOperation": "aiplatform.customJobs.delete",
    "ListLocations": "aiplatform.locations.list",
    "GetLocation": "aiplatform.locations.get",
}
MIXIN_PREFIXES = ("ui", *API_VERSIONS)

# Of Cloud Logging: what shows the output of jobs to its clients. HTTP bindings are in its .proto.
CARRIED = ("google.api.MonitoredResource",)  # the only message of google.api that is no option
LOGGING = "google.logging.v2.LoggingServiceV2"
LOGGING_VERSION = "v2"
LOGGING_METHODS = {"ListLogEntries": "logging.logEntries.list", "TailLogEntries": "logging.logEntries.list"}

SCALARS = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}
Path = tuple[int, ...]  # as in google.protobuf.SourceCodeInfo.Location
_COLLECTION = re.compile(r"projects/\*/locations/\*\}?/([A-Za-z]+)")
_LINK = re.compile(r"\[([^\]]*)\](?:\[[^\]]*\]|\([^)]*\))")
_BEHAVIOUR_WORDS = re.compile(r"^((Required|Optional|Immutable|Output only|Input only|Deprecated)[.:] )+")


class Index(NamedTuple):
    """Every symbol by full name: its definition, comment, file, and the message around a nested one."""

    messages: dict[str, DescriptorProto]
    enums: dict[str, Any]
    services: dict[str, Any]
    comments: dict[str, str]
    files: dict[str, str]
    around: dict[str, str]

    @property
    def field_behaviours(self) -> dict[int, str]:
        """google.api.FieldBehavior by number."""
        return {value.number: value.name for value in self.enums["google.api.FieldBehavior"].value}


def index(everything: FileDescriptorSet) -> Index:
    found = Index({}, {}, {}, {}, {}, {})
    for file in everything.file:
        spots: dict[Path, str] = {}
        _index_types(found, spots, file, file.package, ())
        for i, service in enumerate(file.service):
            name = f"{file.package}.{service.name}"
            found.services[name] = service
            spots |= {(6, i, 2, j): f"{name}.{method.name}" for j, method in enumerate(service.method)}
        names = [*spots.values(), *(f"{file.package}.{extension.name}" for extension in file.extension)]
        found.files.update(dict.fromkeys(names, file.name))
        for place in file.source_code_info.location:
            if place.leading_comments and tuple(place.path) in spots:
                found.comments[spots[tuple(place.path)]] = place.leading_comments
    return found


def _index_types(found: Index, spots: dict[Path, str], scope: Any, parent: str, path: Path) -> None:
    """The types of a file (path is empty) or nested in a message; numbers are descriptor.proto's own field numbers."""
    inner, enums, messages_at, enums_at = (
        (scope.nested_type, scope.enum_type, 3, 4) if path else (scope.message_type, scope.enum_type, 4, 5)
    )
    for i, message in enumerate(inner):
        name, here = f"{parent}.{message.name}", (*path, messages_at, i)
        found.messages[name], spots[here] = message, name
        spots |= {(*here, 2, j): f"{name}.{field.name}" for j, field in enumerate(message.field)}
        found.around.update({name: parent} if path else {})
        _index_types(found, spots, message, name, here)
    for i, enum in enumerate(enums):
        name, here = f"{parent}.{enum.name}", (*path, enums_at, i)
        found.enums[name], spots[here] = enum, name
        spots |= {(*here, 2, j): f"{name}.{value.name}" for j, value in enumerate(enum.value)}
        found.around.update({name: parent} if path else {})


def kept_methods(found: Index) -> Iterator[tuple[str, str, Any]]:
    """(service, version or "", method), in the order of the book."""
    for v in API_VERSIONS:
        methods = {method.name: method for method in found.services[JOB_SERVICE.format(v=v)].method}
        yield from ((JOB_SERVICE.format(v=v), v, methods[name]) for name in KINDS)
    for service, bindings in MIXINS.items():
        methods = {method.name: method for method in found.services[service].method}
        yield from ((service, "", methods[name]) for name in bindings)
    methods = {method.name: method for method in found.services[LOGGING].method}
    yield from ((LOGGING, "", methods[name]) for name in LOGGING_METHODS)


def write(found: Index, kept: set[str], source: str) -> bytes:
    """book.json, one line per operation, message and enum, so that a change of the API reads well as a diff."""
    operations = ",\n".join(json.dumps(operation) for operation in _operations(found))
    messages = ",\n".join(json.dumps(message) for message in _messages(found, kept))
    enums = ",\n".join(json.dumps(enum) for enum in _enums(found, kept))
    elsewhere = ",\n".join(json.dumps({"collection": name, "service": service}) for name, service in _elsewhere(found))
    return (
        f'{{"source": {json.dumps(source)},\n"operations": [\n{operations}\n],\n'
        f'"messages": [\n{messages}\n],\n"enums": [\n{enums}\n],\n"elsewhere": [\n{elsewhere}\n]}}\n'
    ).encode()


def _elsewhere(found: Index) -> list[tuple[str, str]]:
    """Collections of a location that no kept method has, with the service that serves them in the original."""
    kept = {collection for _, collection in KINDS.values()} | {"operations"}
    there: dict[str, str] = {}
    for name, service in sorted(found.services.items(), reverse=True):  # v1's word counts where both have one
        if _versionless(name) != name:
            templates = [template for method in service.method for _, template, _ in _bindings(method)]
            collections = [_COLLECTION.search(template) for template in templates]
            there |= dict.fromkeys((each[1] for each in collections if each and each[1] not in kept), service.name)
    return sorted(there.items())


def _operations(found: Index) -> Iterator[dict[str, Any]]:
    for service, version, method in kept_methods(found):
        if version == API_VERSIONS[-1]:
            continue  # the versions differ by name only; tests hold them against each other
        if version:
            verb, collection = KINDS[method.name]
            versions, rules, permission = API_VERSIONS, _rules(method), f"aiplatform.{collection}.{verb}"
        elif service == LOGGING:
            verb, collection, versions = _snake(method.name), "", (LOGGING_VERSION,)
            rules, permission = _rules(method), LOGGING_METHODS[method.name]
        else:
            http, templates, body = MIXINS[service][method.name]
            verb, collection, versions = _snake(method.name), "", MIXIN_PREFIXES
            rules = [{"verb": http, "template": template, "body": body} for template in templates]
            permission = PERMISSIONS.get(method.name, "")
        yield {
            "service": service.rpartition(".")[2],
            "method": method.name,
            "verb": verb,
            "collection": collection,
            "request": _versionless(method.input_type[1:]),
            "response": _versionless(method.output_type[1:]),
            "versions": versions,
            "rules": rules,
            "permission": permission,
            "grpc_path": f"/{_versionless(service)}/{method.name}",
            "doc": _prose(found.comments.get(f"{service}.{method.name}", "")),
            **({"stream": True} if method.server_streaming else {}),
        }


def _rules(method: Any) -> list[dict[str, str]]:
    return [
        {"verb": verb, "template": template.split("/", 2)[2], "body": body}
        for verb, template, body in _bindings(method)
    ]


def _bindings(method: Any) -> Iterator[tuple[str, str, str]]:
    """(verb, template, body) of every HTTP binding; none of what gRPC alone has."""
    for http in (value for option, value in method.options.ListFields() if option.full_name == "google.api.http"):
        for rule in (http, *http.additional_bindings):
            verb = rule.WhichOneof("pattern")
            yield verb.upper(), getattr(rule, verb), rule.body


def _messages(found: Index, kept: set[str]) -> Iterator[dict[str, Any]]:
    """Both versions of a message become one entry; a field says where it exists when that is not everywhere."""
    for name in _names(found.messages, kept):
        spellings = {v: name.replace("{v}", v) for v in API_VERSIONS} if "{v}" in name else {"": name}
        newest = list(spellings.values())[-1]
        if found.messages[newest].options.map_entry:
            continue
        fields: dict[int, dict[str, Any]] = {}
        present: dict[int, list[str]] = {}
        for version, spelling in spellings.items():
            for field in found.messages[spelling].field:
                fields[field.number] = _field(found, spelling, field)
                present.setdefault(field.number, []).append(version)
        for number, field in fields.items():
            if len(present[number]) < len(spellings):
                field["versions"] = present[number]
        doc = _prose(found.comments.get(newest, ""))
        yield {"name": name, "doc": doc, "fields": [fields[number] for number in sorted(fields)]}


def _field(found: Index, message: str, field: FieldDescriptorProto) -> dict[str, Any]:
    behaviours = [value for option, value in field.options.ListFields() if option.name == "field_behavior"]
    names = found.field_behaviours
    oneof = found.messages[message].oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return {
        "name": field.name,
        "json_name": field.json_name,
        "number": field.number,
        "type": _versionless(field.type_name[1:]) if field.type_name else SCALARS[field.type],
        "label": _label(found, field),
        "oneof": "" if field.proto3_optional else oneof,
        "behaviours": [names[number] for value in behaviours for number in value if names[number] != "OPTIONAL"],
        "doc": _prose(found.comments.get(f"{message}.{field.name}", "")),
    }


def _label(found: Index, field: FieldDescriptorProto) -> str:
    entry = found.messages.get(field.type_name[1:])
    if entry is not None and entry.options.map_entry:
        return "map"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return "repeated"
    return "optional" if field.proto3_optional else ""


def _enums(found: Index, kept: set[str]) -> Iterator[dict[str, Any]]:
    for name in _names(found.enums, kept):
        spelling = name.replace("{v}", API_VERSIONS[-1])
        docs = {value.name: found.comments.get(f"{spelling}.{value.name}", "") for value in found.enums[spelling].value}
        values = [
            {"name": value.name, "number": value.number, "doc": _prose(docs[value.name])}
            for value in found.enums[spelling].value
        ]
        yield {"name": name, "doc": _prose(found.comments.get(spelling, "")), "values": values}


def _names(symbols: dict[str, Any], kept: set[str]) -> list[str]:
    shown = (name for name in kept if name in symbols and (name in CARRIED or not name.startswith("google.api.")))
    return sorted({_versionless(name) for name in shown})


def _versionless(name: str) -> str:
    """google.cloud.aiplatform.v1.CustomJob -> google.cloud.aiplatform.{v}.CustomJob; other names stay."""
    return re.sub(r"^google\.cloud\.aiplatform\.[^.]+", "google.cloud.aiplatform.{v}", name)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _prose(comment: str) -> str:
    """The comment's first paragraph on one line, links as their text, without the words that `behaviours` says."""
    paragraph = re.split(r"\n\s*\n", comment.strip())[0]
    return _BEHAVIOUR_WORDS.sub("", " ".join(_LINK.sub(r"\1", paragraph).split()) + " ").strip()
