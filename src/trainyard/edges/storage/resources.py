"""Buckets and objects as Cloud Storage writes them in JSON, and what their owners may set, read back strictly.

What is output only is ignored in a request, as the original does; what we cannot honour is refused by name.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from trainyard.core.clock import rfc3339
from trainyard.core.errors import InvalidArgument
from trainyard.core.names import project_number
from trainyard.objects import Bucket, StoredObject

STORAGE_CLASSES: Final = frozenset({
    "STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY",
})  # fmt: skip
MOST_CUSTOM_METADATA_BYTES: Final = 8 * 1024
_TEXTS: Final = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
)
_SWITCHES: Final = ("temporaryHold", "eventBasedHold")
_OUTPUT: Final = frozenset({
    "kind", "id", "selfLink", "mediaLink", "name", "bucket", "generation", "metageneration", "size", "md5Hash",
    "etag", "timeCreated", "updated", "timeDeleted", "timeStorageClassUpdated", "timeFinalized", "owner",
    "crc32c", "componentCount", "retentionExpirationTime", "softDeleteTime", "hardDeleteTime", "restoreToken",
})  # fmt: skip
_BUCKET_KEPT: Final = frozenset({
    "labels", "versioning", "storageClass", "location", "defaultEventBasedHold", "iamConfiguration", "acl",
    "defaultObjectAcl",
})  # fmt: skip
_BUCKET_OUTPUT: Final = frozenset({
    "kind", "id", "selfLink", "name", "projectNumber", "generation", "metageneration", "etag", "timeCreated", "updated",
    "locationType", "owner", "satisfiesPZS", "satisfiesPZI", "softDeleteTime", "hardDeleteTime",
})  # fmt: skip
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")
_PREDEFINED: Final[Mapping[str, list[dict[str, str]]]] = {
    "publicRead": [{"entity": "allUsers", "role": "READER"}],
    "authenticatedRead": [{"entity": "allAuthenticatedUsers", "role": "READER"}],
    "private": [], "projectPrivate": [], "bucketOwnerRead": [], "bucketOwnerFullControl": [],
}  # fmt: skip


def object_resource(stored: StoredObject, base: str, *, full: bool = False) -> dict[str, Any]:
    """An object's JSON; `full` with its access controls."""
    path = f"b/{stored.bucket}/o/{quote(stored.name, safe='')}"
    made = _time(stored.created_us)
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{base}/storage/v1/{path}",
        "mediaLink": f"{base}/download/storage/v1/{path}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        "size": str(stored.size),
        "etag": etag(stored),
        "timeCreated": made,
        "updated": _time(stored.updated_us),
        "timeStorageClassUpdated": made,
        "timeFinalized": made,
    }
    if stored.md5 is not None:
        resource["md5Hash"] = base64.b64encode(stored.md5).decode()
    if stored.crc32c is not None:
        resource["crc32c"] = crc32c_text(stored.crc32c)
    if stored.components:
        resource["componentCount"] = stored.components
    if stored.deleted_us is not None:
        resource["timeDeleted"] = _time(stored.deleted_us)
    resource |= {name: value for name, value in stored.attributes.items() if name != "acl" and not name.startswith("_")}
    if full:
        resource["acl"] = object_acl(stored)
    return resource


def bucket_resource(bucket: Bucket, base: str, *, full: bool = False) -> dict[str, Any]:
    """A bucket's JSON; `full` with its access controls."""
    attributes = bucket.attributes
    resource: dict[str, Any] = {
        "kind": "storage#bucket",
        "selfLink": f"{base}/storage/v1/b/{bucket.name}",
        "id": bucket.name,
        "name": bucket.name,
        "projectNumber": project_number(str(attributes.get("_project") or "0")),
        "generation": str(bucket.created_us),
        "metageneration": str(bucket.metageneration),
        "location": "US",
        "storageClass": "STANDARD",
        "etag": _tag(bucket.created_us, bucket.metageneration),
        "timeCreated": _time(bucket.created_us),
        "updated": _time(bucket.updated_us),
        "locationType": "multi-region",
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": False}, "publicAccessPrevention": "inherited"},
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
    }
    hidden = ("acl", "defaultObjectAcl")
    resource |= {name: value for name, value in attributes.items() if name not in hidden and not name.startswith("_")}
    if full:
        resource |= {name: list(attributes.get(name, [])) for name in hidden}
    return resource


def etag(stored: StoredObject) -> str:
    """Generation and metageneration, in the original's own form."""
    return _tag(stored.generation, stored.metageneration)


def crc32c_text(value: int) -> str:
    """Base64 of its four bytes, the highest first."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def object_acl(stored: StoredObject) -> list[dict[str, Any]]:
    """The access controls as they were set, each with its names."""
    own = {"kind": "storage#objectAccessControl", "bucket": stored.bucket, "object": stored.name,
           "generation": str(stored.generation)}  # fmt: skip
    return [{**own, **entry} for entry in stored.attributes.get("acl", ())]


def set_on_object(sent: Mapping[str, Any], old: Mapping[str, Any], *, replacing: bool, new: bool) -> dict[str, Any]:
    """An object's attributes after a request: `replacing` all of them, or merged, null removing one.

    `new`: the request makes an object, so its storage class counts. Raises InvalidArgument by field.
    """
    after = {name: old[name] for name in ("storageClass", "acl") if name in old} if replacing else dict(old)
    for name, value in sent.items():
        if value is None:
            after.pop(name, None)
        elif name in _READ and (new or name != "storageClass"):
            after[name] = _READ[name](name, value)
        elif name == "metadata":
            after[name] = _custom_metadata(value, {} if replacing else old.get(name, {}))
        elif name not in _OUTPUT and name not in _READ and not _empty(value):
            raise InvalidArgument(f"{name}: this field cannot be set here; leave it out.")
    if not after.get("metadata", True):
        del after["metadata"]
    return after


def set_on_bucket(sent: Mapping[str, Any], old: Mapping[str, Any], *, replacing: bool) -> dict[str, Any]:
    """A bucket's attributes after a request. Raises InvalidArgument by field."""
    hidden = {name: value for name, value in old.items() if name.startswith("_")}
    after = hidden | {n: old[n] for n in ("location", "storageClass") if n in old} if replacing else dict(old)
    for name, value in sent.items():
        if value is None:
            after.pop(name, None)
        elif name == "storageClass":
            after[name] = _storage_class(name, value)
        elif name == "location":
            after[name] = str(_typed(value, str, name)).upper()
        elif name in _BUCKET_KEPT:
            merged = isinstance(value, Mapping) and not replacing
            after[name] = _merged(old.get(name, {}), value) if merged else value
        elif name not in _BUCKET_OUTPUT and not _empty(value) and name != "softDeletePolicy":
            raise InvalidArgument(f"{name}: this setting of a bucket has no effect here; leave it out.")
    return after


def predefined_acl(name: str) -> list[dict[str, str]]:
    """The entries that a predefined access control stands for. Raises InvalidArgument."""
    if name not in _PREDEFINED:
        raise InvalidArgument(f"Invalid value for predefinedAcl: {name!r}.")
    return list(_PREDEFINED[name])


def access_entry(value: Any) -> dict[str, str]:
    """One access control: who, and which role. Raises InvalidArgument."""
    entry = _typed(value, dict, "acl")
    if not isinstance(entry.get("entity"), str) or entry.get("role") not in ("READER", "WRITER", "OWNER"):
        raise InvalidArgument("An access control has an entity and a role: READER, WRITER or OWNER.", reason="required")
    return {"entity": entry["entity"], "role": entry["role"]}


def _access(name: str, value: Any) -> list[dict[str, str]]:
    return [access_entry(entry) for entry in _typed(value, list, name)]


def _switch(name: str, value: Any) -> bool:
    return bool(_typed(value, bool, name))


def _custom_metadata(value: Any, old: Mapping[str, str]) -> dict[str, str]:
    after = dict(old)
    for key, text in _typed(value, dict, "metadata").items():
        if text is None:
            after.pop(key, None)
        else:
            after[key] = str(_typed(text, str, f"metadata.{key}"))
    if sum(len(key.encode()) + len(text.encode()) for key, text in after.items()) > MOST_CUSTOM_METADATA_BYTES:
        raise InvalidArgument(f"The custom metadata is larger than {MOST_CUSTOM_METADATA_BYTES} bytes.")
    return after


def _text(name: str, value: Any) -> str:
    text = str(_typed(value, str, name))
    if "\r" in text or "\n" in text or "\x00" in text:
        raise InvalidArgument(f"{name}: line ends are not allowed in what becomes a header.")
    if name == "customTime" and not _TIME.match(text):
        raise InvalidArgument(f"customTime: {text!r} is not an RFC 3339 time such as 2026-11-21T10:00:00Z.")
    return text


def _storage_class(_: str, value: Any) -> str:
    if value not in STORAGE_CLASSES:
        known = ", ".join(sorted(STORAGE_CLASSES))
        raise InvalidArgument(f"Invalid value for storageClass: {value!r}; there are {known}.")
    return str(value)


_READ: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_SWITCHES, _switch),
    "acl": _access,
    "storageClass": _storage_class,
}


def _typed(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise InvalidArgument(f"{name}: {value!r} is not of the type {kind.__name__}.")
    return value


def _merged(old: Any, new: Mapping[str, Any]) -> dict[str, Any]:
    after = dict(old) if isinstance(old, Mapping) else {}
    for name, value in new.items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = _merged(after.get(name), value) if isinstance(value, Mapping) else value
    return after


def _empty(value: Any) -> bool:
    """Whether nothing is asked for: off, zero, or made of nothing else."""
    if isinstance(value, Mapping):
        return all(_empty(each) for each in value.values())
    return value in (None, False, "", 0) or value == []


def _time(time_us: int) -> str:
    """With milliseconds, always, as the original writes it."""
    text = rfc3339(time_us // 1000 * 1000)
    return text if "." in text else text.replace("Z", ".000Z")


def _tag(generation: int, metageneration: int) -> str:
    return base64.b64encode(b"\x08" + _varint(generation) + b"\x10" + _varint(metageneration)).decode()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
