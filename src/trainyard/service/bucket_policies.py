"""IAM policies of buckets: they give more than a credential's role gives, never less, and say nothing that is ignored.

Roles and their permissions: https://cloud.google.com/storage/docs/access-control/iam-roles. Members are those that the
service knows: holders of tokens and API keys (`user:NAME`), service accounts, and everybody who holds a credential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trainyard.core.errors import InvalidArgument
from trainyard.core.names import project_number
from trainyard.service.access import Caller

_UPLOADS: Final = ("multipartUploads.create", "multipartUploads.abort", "multipartUploads.listParts")
_VIEWER: Final = ("objects.get", "objects.list")
_USER: Final = (
    *_VIEWER, *_UPLOADS, "multipartUploads.list", "objects.create", "objects.delete", "objects.restore",
    "objects.update",
)  # fmt: skip
_POLICIES: Final = ("getIamPolicy", "setIamPolicy")
_OBJECT_ADMIN: Final = (*_USER, *(f"objects.{each}" for each in _POLICIES))
_BUCKET_READER: Final = ("buckets.get", "objects.list", "multipartUploads.list")
_BUCKET_WRITER: Final = (*_BUCKET_READER, *_UPLOADS, "objects.create", "objects.delete", "objects.restore")
_BUCKET_OWNER: Final = (*_BUCKET_WRITER, "buckets.update", *(f"buckets.{each}" for each in _POLICIES))
_OBJECT_READER: Final = ("objects.get",)
ROLES: Final[Mapping[str, frozenset[str]]] = {
    f"roles/storage.{role}": frozenset(f"storage.{each}" for each in permissions)
    for role, permissions in {
        "objectViewer": _VIEWER,
        "objectCreator": (*_UPLOADS, "objects.create"),
        "objectUser": _USER,
        "objectAdmin": _OBJECT_ADMIN,
        "admin": (*_OBJECT_ADMIN, *_BUCKET_OWNER, "buckets.delete"),
        "bucketViewer": ("buckets.get",),
        "legacyBucketReader": _BUCKET_READER,
        "legacyBucketWriter": _BUCKET_WRITER,
        "legacyBucketOwner": _BUCKET_OWNER,
        "legacyObjectReader": _OBJECT_READER,
        "legacyObjectOwner": (*_OBJECT_READER, "objects.update", *(f"objects.{each}" for each in _POLICIES)),
    }.items()
}
EVERYBODY: Final = "allAuthenticatedUsers"
_ROLE_HOLDERS: Final = {"projectViewer": "viewer", "projectEditor": "user", "projectOwner": "admin"}
_KNOWN: Final = "user:NAME, serviceAccount:EMAIL, projectViewer:ID, projectEditor:ID, projectOwner:ID and " + EVERYBODY


def gives(bindings: Sequence[Mapping[str, Any]], caller: Caller, permission: str) -> bool:
    """Whether a policy that was checked gives the caller a permission on its bucket."""
    return any(
        permission in ROLES.get(binding["role"], ())
        and any(_is(member, caller) for member in binding.get("members", ()))
        for binding in bindings
    )


def _is(member: str, caller: Caller) -> bool:
    if not caller.member:
        return False
    kind, _, name = member.partition(":")
    if kind in _ROLE_HOLDERS:
        inside = caller.projects is None or project_number(name) in caller.projects
        return inside and caller.role == _ROLE_HOLDERS[kind]
    return member in (EVERYBODY, caller.member)


def check(bindings: Sequence[Any]) -> None:
    """Raise InvalidArgument naming the first thing in a policy that could not be kept to."""
    for place, binding in ((f"bindings[{index}]", each) for index, each in enumerate(bindings)):
        if not isinstance(binding, Mapping) or not isinstance(binding.get("members", []), list):
            raise InvalidArgument(f"{place}: it has a role and a list of members.")
        if binding.get("condition"):
            raise InvalidArgument(f"{place}.condition: conditions are not evaluated here; leave it out.")
        if binding.get("role") not in ROLES:
            raise InvalidArgument(f"{place}.role: {binding.get('role')!r} is none of {', '.join(ROLES)}.")
        for member in binding.get("members", []):
            if not _may_be_member(member):
                raise InvalidArgument(
                    f"{place}.members: {member!r} is nobody that Trainyard knows; there are {_KNOWN}."
                )


def _may_be_member(member: Any) -> bool:
    if not isinstance(member, str):
        return False
    kind, _, name = member.partition(":")
    return member == EVERYBODY or (kind in ("user", "serviceAccount", *_ROLE_HOLDERS) and bool(name))
