"""The operation book: one Operation per method of the API, read from book.json; standard library only.

Made by tools/build_contract.py together with vertex.binpb. REST, gRPC, SQL, the CLI and the docs are folds over it.
Names carry `{v}` where the API version stands; `versioned` puts one in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One HTTP binding (google.api.http): verb, path template without the version prefix, body field or `*` or ``."""

    verb: str
    template: str
    body: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method.

    `service` and `method` are the gRPC names without version (`JobService`, `CreateCustomJob`); `versions` are the
    prefixes it answers under (`v1`, `v1beta1`, and `ui` for the mixins). `verb` is what it means to the service
    (`create get list delete cancel` for a kind; `get_operation`, `test_iam_permissions` … for the rest);
    `collection` is the kind (`customJobs`) or empty. `stream`: gRPC only, messages go both ways as long as it lasts.
    """

    service: str
    method: str
    verb: str
    collection: str
    request: str  # message full name with `{v}` where the version stands
    response: str
    versions: tuple[str, ...]
    rules: tuple[HttpRule, ...]
    permission: str = ""  # IAM permission, such as aiplatform.customJobs.create
    grpc_path: str = ""  # `/google.cloud.aiplatform.{v}.JobService/CreateCustomJob`
    doc: str = ""
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field as the API documents it.

    `type` is a scalar (`int64`) or a message's or enum's full name; `label` is ``, `optional` (has presence),
    `repeated` or `map` (then `type` names the entry message). `behaviours` are google.api.FieldBehavior names:
    REQUIRED, OUTPUT_ONLY, IMMUTABLE … `versions` are the API versions that have it.
    """

    name: str
    json_name: str
    number: int
    type: str
    label: str
    oneof: str
    behaviours: tuple[str, ...]
    doc: str
    versions: tuple[str, ...] = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True)
class MessageType:
    """One message as the API documents it; fields in the order of their numbers."""

    name: str
    doc: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class EnumValue:
    """One value of an enum, with the sentence that the API gives for it."""

    name: str
    number: int
    doc: str


@dataclass(frozen=True, slots=True)
class EnumType:
    """One enum as the API documents it."""

    name: str
    doc: str
    values: tuple[EnumValue, ...]


def versioned(name: str, version: str) -> str:
    """The full name of a message, service or gRPC path in one API version; names without `{v}` stay as they are."""
    return name.replace("{v}", version)


@cache
def operations() -> tuple[Operation, ...]:
    """The whole book, in the order of the API."""
    return tuple(_operation(entry) for entry in _book()["operations"])


@cache
def messages() -> Mapping[str, MessageType]:
    """Every message by full name with `{v}`, such as `google.cloud.aiplatform.{v}.CustomJob`."""
    return {entry["name"]: _message(entry) for entry in _book()["messages"]}


@cache
def enums() -> Mapping[str, EnumType]:
    """Every enum by full name with `{v}`, such as `google.cloud.aiplatform.{v}.JobState`."""
    return {
        entry["name"]: EnumType(entry["name"], entry["doc"], tuple(EnumValue(**value) for value in entry["values"]))
        for entry in _book()["enums"]
    }


@cache
def elsewhere() -> Mapping[str, str]:
    """Collections of a location that the original has and the book has not, with the service that serves them."""
    return {entry["collection"]: entry["service"] for entry in _book()["elsewhere"]}


@cache
def _book() -> dict[str, list[dict[str, Any]]]:
    book: dict[str, list[dict[str, Any]]] = json.loads(files(__package__).joinpath("book.json").read_text("utf-8"))
    return book


def _operation(entry: Mapping[str, Any]) -> Operation:
    rules = tuple(HttpRule(**rule) for rule in entry["rules"])
    return Operation(**{**entry, "versions": tuple(entry["versions"]), "rules": rules})


def _message(entry: Mapping[str, Any]) -> MessageType:
    return MessageType(entry["name"], entry["doc"], tuple(_field(field) for field in entry["fields"]))


def _field(entry: Mapping[str, Any]) -> Field:
    lists = {key: tuple(entry[key]) for key in ("behaviours", "versions") if key in entry}
    return Field(**{**entry, **lists})
