"""The operation book: one Operation per method of the API, read from book.json; standard library only.

Made by tools/build_contract.py together with vertex.binpb. REST, gRPC, SQL, the CLI and the docs are folds over it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


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
    `collection` is the kind (`customJobs`) or empty.
    """

    service: str
    method: str
    verb: str
    collection: str
    request: str                          # message full name with `{v}` where the version stands
    response: str
    versions: tuple[str, ...]
    rules: tuple[HttpRule, ...]
    permission: str = ""                  # IAM permission, such as aiplatform.customJobs.create
    grpc_path: str = ""                   # `/google.cloud.aiplatform.{v}.JobService/CreateCustomJob`


@cache
def operations() -> tuple[Operation, ...]:
    """The whole book, in the order of the API."""
    book = json.loads(files(__package__).joinpath("book.json").read_text("utf-8"))
    return tuple(_operation(entry) for entry in book["operations"])


def _operation(entry: Mapping[str, object]) -> Operation:
    fields = dict(entry)
    fields["versions"] = tuple(fields["versions"])                                  # type: ignore[arg-type]
    fields["rules"] = tuple(HttpRule(**rule) for rule in fields["rules"])           # type: ignore[attr-defined]
    return Operation(**fields)                                                      # type: ignore[arg-type]
