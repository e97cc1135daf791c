"""What each call of the JSON API needs, in IAM's permission names, and what it writes (a table, read by code).

Source: https://cloud.google.com/storage/docs/access-control/iam-json. An object that replaces another needs no more
here than one that does not: whoever may create objects may delete them (service/access_roles.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from trainyard.edges.storage.calls import Call
from trainyard.service.access import Caller
from trainyard.service.access_signed import SignedRequest

_VERBS: Final = {"GET": "get", "HEAD": "get", "PATCH": "update", "PUT": "update", "DELETE": "delete"}
_READS: Final = ("get", "list", "getIamPolicy")
_PREFIXES: Final = ("upload", "resumable", "download")


@dataclass(frozen=True, slots=True)
class Need:
    """One permission on a bucket (`name` empty) or an object; with neither, on a project."""

    permission: str
    bucket: str = ""
    name: str = ""
    project: str = ""

    @property
    def writes(self) -> bool:
        """Whether what it allows changes anything that others see."""
        return self.permission.rpartition(".")[2] not in _READS and ".multipartUploads." not in self.permission

    def of(self, body: object) -> Need:
        """This, with the object's name where only the answer says it: the name of an upload may be in its body."""
        if self.name or not isinstance(body, dict) or body.get("kind") != "storage#object":
            return self
        return replace(self, name=str(body.get("name", "")))

    @property
    def resource(self) -> str:
        """`b/bucket/o/object`, for the audit log."""
        if not self.bucket:
            return f"projects/{self.project or '_'}"
        return f"b/{self.bucket}/o/{self.name}" if self.name else f"b/{self.bucket}"


class Porter(Protocol):
    """Who may come in, and what is written down about it."""

    enforces: bool
    """Whether callers are asked who they are: then policies of buckets count, and access controls are refused."""

    def identify(self, authorization: str, api_key: str, address: str) -> Caller:
        """Who calls; raises ApiError."""

    def identify_signed(self, asked: SignedRequest, address: str) -> Caller:
        """Who signed a URL; raises BadSignedUrl."""

    def admits(self, caller: Caller, need: Need) -> bool:
        """Whether the caller's role alone is enough; never blocks."""

    def require(self, caller: Caller, need: Need) -> None:
        """Raises PermissionDenied. Blocks."""

    def held(self, caller: Caller, needs: Sequence[Need]) -> list[str]:
        """Those of the permissions that the caller has; all needs are of one bucket. Blocks."""

    def sees(self, caller: Caller, project: str) -> bool:
        """Whether a bucket of a project (its number; 0 for none) is listed for the caller."""

    def note(self, caller: Caller, need: Need, result: str) -> None:
        """One line of the audit log for a write; `result` is OK or a code's name."""


def needs_of(call: Call) -> tuple[Need, ...]:
    """What a call needs, in the order in which it is refused; nothing for what there is not, which is a 404 soon."""
    path = call.path
    if path[0] in _PREFIXES:
        path = path[2:] if path[:2] == ("resumable", "upload") else path[1:]
    if path[:2] != ("storage", "v1"):
        return ()
    return tuple(_needs(call, path[2:]))


def xml_needs(call: Call) -> tuple[Need, ...]:
    """What a call of a multipart upload needs: it names bucket and object in its path alone."""
    bucket, *name = call.path
    completes = call.method == "POST" and call.text("uploadId")
    permission = "objects.create" if completes else "multipartUploads.create"
    return (Need(f"storage.{permission}", bucket, "/".join(name)),)


def _needs(call: Call, path: tuple[str, ...]) -> Iterator[Need]:
    verb = _VERBS.get(call.method, "create")
    match path:
        case ["b"]:
            project = call.text("project")
            yield Need(f"storage.buckets.{'list' if verb == 'get' else 'create'}", project=project)
        case ["b", bucket]:
            yield Need(f"storage.buckets.{verb}", bucket)
        case ["b", bucket, "o"]:
            yield Need(f"storage.{_on_objects(call)}", bucket, call.text("name"))
        case ["b", bucket, "o", name]:
            yield Need(f"storage.objects.{verb}", bucket, name)
        case ["b", bucket, "storageLayout"]:
            yield Need("storage.buckets.get", bucket)
        case ["b", bucket, *below]:
            yield from _on_policies(verb, bucket, below) if call.method != "POST" else _between(bucket, below)


def _between(bucket: str, below: list[str]) -> Iterator[Need]:
    """Of what makes objects out of others, all POST; access control entries are made so, too."""
    match below:
        case ["o", name, "copyTo" | "rewriteTo", "b", target, "o", new_name]:
            yield Need("storage.objects.get", bucket, name)
            yield Need("storage.objects.create", target, new_name)
        case ["o", name, "moveTo", "o", new_name]:
            yield Need("storage.objects.delete", bucket, name)
            yield Need("storage.objects.create", bucket, new_name)
        case ["o", name, "compose"]:
            yield Need("storage.objects.get", bucket)
            yield Need("storage.objects.create", bucket, name)
        case ["o", name, "restore"]:
            yield Need("storage.objects.restore", bucket, name)
        case _:
            yield from _on_policies("create", bucket, below)


def _on_policies(verb: str, bucket: str, below: list[str]) -> Iterator[Need]:
    """Of policies and access controls; what permissions the caller has, everybody may ask."""
    act = "getIamPolicy" if verb == "get" else "setIamPolicy"
    match below:
        case [*_, "iam", "testPermissions"]:
            return
        case ["o", name, "iam" | "acl", *_]:
            yield Need(f"storage.objects.{act}", bucket, name)
        case ["iam" | "acl" | "defaultObjectAcl", *_]:
            yield Need(f"storage.buckets.{act}", bucket)


def _on_objects(call: Call) -> str:
    """Of `b/bucket/o`: a list, or any step of an upload."""
    if call.method in ("GET", "HEAD") and call.path[0] == "storage":
        return "objects.list"
    return "multipartUploads.abort" if call.method == "DELETE" else "objects.create"
