"""Where callers are asked who they are, every bucket has uniform access: policies count, access controls are refused.

So no access control is kept that would not be kept to (https://cloud.google.com/storage/docs/uniform-bucket-level-access).
Where nobody is asked, everything is open, and both are kept and told as they were set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trainyard.edges.storage.calls import Call
from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.rights import Need, Porter
from trainyard.service.access import Caller

_PARAMETERS: Final = ("predefinedAcl", "predefinedDefaultObjectAcl", "destinationPredefinedAcl")
_FIELDS: Final = ("acl", "defaultObjectAcl")
_READ_MORE: Final = "Read more at https://cloud.google.com/storage/docs/uniform-bucket-level-access"


def refuse_access_controls(call: Call, sent: Mapping[str, Any] | None = None) -> None:
    """Raise HttpFault, in the original's words, for a call that reads or sets one; `sent` is its JSON, where it has."""
    if not call.uniform:
        return
    path = _behind_the_api(call.path)
    on_object = path[2:3] == ("o",) or path == call.path
    of, below = ("an object", path[4:]) if on_object else ("a bucket", path[2:])
    if below and below[0] in _FIELDS:
        raise _fault(
            f"Cannot use ACL API to {'get' if call.method in ('GET', 'HEAD') else 'update'} access control of", of
        )
    if on_object and below == ("iam",) and call.method == "PUT":
        raise _fault("Cannot set the IAM policy of", of)
    if any(call.text(name) for name in _PARAMETERS) or "x-goog-acl" in call.headers or _sets(sent or {}):
        raise _fault("Cannot insert legacy ACL for", of)


def _behind_the_api(path: tuple[str, ...]) -> tuple[str, ...]:
    """`b/BUCKET/o/OBJECT…`; the XML API's paths have nothing before them."""
    return path[path.index("v1") + 1 :] if "storage" in path[:3] and "v1" in path[:4] else path


def _sets(sent: Mapping[str, Any]) -> bool:
    inner = sent.get("destination")  # of compose
    return any(sent.get(name) for name in _FIELDS) or (isinstance(inner, Mapping) and _sets(inner))


def _fault(what: str, of: str) -> HttpFault:
    return HttpFault(400, "invalid", f"{what} {of} when uniform bucket-level access is enabled. {_READ_MORE}")


def shown(porter: Porter, caller: Caller, call: Call, body: Any) -> Any:
    """An answer as this caller sees it: their own permissions, their own projects' buckets, access as it is. Blocks."""
    match body.get("kind") if isinstance(body, dict) else None:
        case "storage#testIamPermissionsResponse":
            names = call.path[3::2]
            needs = [Need(permission, *names[:2]) for permission in body["permissions"]]
            return {**body, "permissions": porter.held(caller, needs)}
        case "storage#buckets":
            items = [_told(each) for each in body.get("items", ()) if porter.sees(caller, each["projectNumber"])]
            return {**body, "items": items}
        case "storage#bucket":
            return _told(body)
    return body


def _told(bucket: dict[str, Any]) -> dict[str, Any]:
    if "iamConfiguration" not in bucket:
        return bucket  # the caller did not ask for it
    told = {**bucket["iamConfiguration"], "uniformBucketLevelAccess": {"enabled": True}}
    return {**bucket, "iamConfiguration": told}
