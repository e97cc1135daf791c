"""What the JSON API can do with buckets, and with access controls and policies of buckets and objects.

Where nobody is asked who they are, access controls and policies are kept and told as they were set, and decide nothing;
where callers are, policies count and access controls are refused before they come here (uniform.py).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from trainyard.core.errors import InvalidArgument, NotFound
from trainyard.edges.storage.calls import Call, Reply
from trainyard.edges.storage.places import Places
from trainyard.edges.storage.resources import access_entry, bucket_resource, object_acl, predefined_acl, set_on_bucket
from trainyard.service import bucket_policies

_POLICY = "_iamPolicy"


def insert(places: Places, call: Call) -> Reply:
    """buckets.insert."""
    body = call.json()
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidArgument("Required", reason="required")
    attributes = set_on_bucket(body, {}, replacing=True)
    if call.text("project"):
        attributes["_project"] = call.text("project")
    if call.text("predefinedAcl"):
        attributes["acl"] = predefined_acl(call.text("predefinedAcl"))
    if call.text("predefinedDefaultObjectAcl"):
        attributes["defaultObjectAcl"] = predefined_acl(call.text("predefinedDefaultObjectAcl"))
    made = places.store.create_bucket(name, attributes)
    return Reply(body=bucket_resource(made, call.base, full=call.full))


def listed(places: Places, call: Call) -> Reply:
    """buckets.list; there is one name space, so every project sees all of them."""
    prefix, after, size = call.text("prefix"), call.text("pageToken"), call.page_size()
    found = [each for each in places.store.buckets() if each.name.startswith(prefix) and each.name > _opened(after)]
    body: dict[str, Any] = {"kind": "storage#buckets"}
    if found:
        body["items"] = [bucket_resource(each, call.base, full=call.full) for each in found[:size]]
    if len(found) > size:
        body["nextPageToken"] = base64.urlsafe_b64encode(found[size - 1].name.encode()).decode()
    return Reply(body=body)


def get(places: Places, call: Call) -> Reply:
    """buckets.get."""
    found = places.bucket(*call.names)
    call.conditions().check(found.created_us, found.metageneration, reading=True)
    return Reply(body=bucket_resource(found, call.base, full=call.full))


def patch(places: Places, call: Call) -> Reply:
    """buckets.patch: fields that are named, null removing one."""
    return _set(places, call, replacing=False)


def update(places: Places, call: Call) -> Reply:
    """buckets.update: all fields."""
    return _set(places, call, replacing=True)


def delete(places: Places, call: Call) -> Reply:
    """buckets.delete: only an empty one."""
    (name,) = call.names
    places.store.delete_bucket(name, call.conditions())
    return Reply(204)


def layout(places: Places, call: Call) -> Reply:
    """buckets.getStorageLayout: a flat name space in one place."""
    found = places.bucket(*call.names)
    return Reply(body={
        "kind": "storage#storageLayout", "bucket": found.name, "location": str(found.attributes.get("location", "US")),
        "locationType": "multi-region", "hierarchicalNamespace": {"enabled": False},
    })  # fmt: skip


def service_account(places: Places, call: Call) -> Reply:  # noqa: ARG001 - every call has this form
    """projects.serviceAccount.get."""
    return Reply(body={
        "kind": "storage#serviceAccount",
        "email_address": f"service-{call.names[0]}@gs-project-accounts.iam.gserviceaccount.com",
    })  # fmt: skip


def policy(places: Places, call: Call) -> Reply:
    """Tell the policy of a bucket or an object: as it was set, empty where nobody did."""
    return Reply(body=_policy_body(call.names, _attributes(places, call.names).get(_POLICY) or {}))


def set_policy(places: Places, call: Call) -> Reply:
    """Set the policy of a bucket or an object."""
    sent = call.json()
    bindings = sent.get("bindings", [])
    if not isinstance(bindings, list):
        raise InvalidArgument("bindings: it is not a list.")
    if call.uniform:
        bucket_policies.check(bindings)
    kept = {"bindings": bindings, "version": sent.get("version", 1)}
    _keep(places, call.names, dict(_attributes(places, call.names)) | {_POLICY: kept})
    return Reply(body=_policy_body(call.names, kept))


def test_permissions(places: Places, call: Call) -> Reply:
    """Tell the permissions; uniform.py leaves those that the caller has."""
    _attributes(places, call.names)
    asked = list(call.query.get("permissions", ()))
    return Reply(body={"kind": "storage#testIamPermissionsResponse", "permissions": asked})


def acl_list(places: Places, call: Call) -> Reply:
    """Access controls of a bucket, an object, or (defaultObjectAcl) of a bucket's objects."""
    return Reply(body={"kind": _kind(call) + "s", "items": _acl(places, call)})


def acl_get(places: Places, call: Call) -> Reply:
    """One access control; raises NotFound."""
    return Reply(body=_entry(_acl(places, call), call))


def acl_set(places: Places, call: Call) -> Reply:
    """Insert, patch or update one access control."""
    sent = call.json()
    if _entity(call):
        sent["entity"] = _entity(call)
    entry = access_entry(sent)
    others = [each for each in _plain(_acl(places, call)) if each["entity"] != entry["entity"]]
    _keep_acl(places, call, [*others, entry])
    return Reply(body={"kind": _kind(call), **entry})


def acl_delete(places: Places, call: Call) -> Reply:
    """Remove one access control; raises NotFound."""
    gone = _entry(_acl(places, call), call)
    _keep_acl(places, call, [each for each in _plain(_acl(places, call)) if each["entity"] != gone["entity"]])
    return Reply(204)


def _set(places: Places, call: Call, *, replacing: bool) -> Reply:
    old = places.bucket(*call.names)
    attributes = set_on_bucket(call.json(), old.attributes, replacing=replacing)
    for parameter, name in (("predefinedAcl", "acl"), ("predefinedDefaultObjectAcl", "defaultObjectAcl")):
        if call.text(parameter):
            attributes[name] = predefined_acl(call.text(parameter))
    new = places.store.update_bucket(old.name, attributes, call.conditions())
    return Reply(body=bucket_resource(new, call.base, full=call.full))


def _opened(token: str) -> str:
    try:
        return base64.b64decode(token, b"-_", validate=True).decode()
    except ValueError:
        raise InvalidArgument(f"Invalid pageToken: {token!r}") from None


def _attributes(places: Places, names: tuple[str, ...]) -> Mapping[str, Any]:
    return places.store.stat(names[0], names[1]).attributes if len(names) > 1 else places.bucket(names[0]).attributes


def _keep(places: Places, names: tuple[str, ...], attributes: Mapping[str, Any]) -> None:
    if len(names) > 1:
        places.store.update(names[0], names[1], None, attributes)
    else:
        places.store.update_bucket(names[0], attributes)


def _policy_body(names: tuple[str, ...], kept: Mapping[str, Any]) -> dict[str, Any]:
    resource = f"projects/_/buckets/{names[0]}" + (f"/objects/{names[1]}" if len(names) > 1 else "")
    return {
        "kind": "storage#policy", "resourceId": resource, "version": kept.get("version", 1), "etag": "CAE=",
        "bindings": kept.get("bindings", []),
    }  # fmt: skip


def _resource(call: Call) -> tuple[tuple[str, ...], str]:
    """Whose access controls are meant, and the attribute that holds them."""
    if call.path[4] == "o":
        return call.names[:2], "acl"
    return call.names[:1], call.path[4]


def _entity(call: Call) -> str:
    named, _ = _resource(call)
    return call.names[len(named)] if len(call.names) > len(named) else ""


def _kind(call: Call) -> str:
    named, attribute = _resource(call)
    return "storage#bucketAccessControl" if len(named) == 1 and attribute == "acl" else "storage#objectAccessControl"


def _acl(places: Places, call: Call) -> list[dict[str, Any]]:
    named, attribute = _resource(call)
    if len(named) > 1:
        return object_acl(places.store.stat(named[0], named[1]))
    return [{"kind": _kind(call), **entry} for entry in places.bucket(named[0]).attributes.get(attribute, ())]


def _keep_acl(places: Places, call: Call, entries: list[dict[str, str]]) -> None:
    named, attribute = _resource(call)
    _keep(places, named, dict(_attributes(places, named)) | {attribute: entries})


def _entry(entries: list[dict[str, Any]], call: Call) -> dict[str, Any]:
    for entry in entries:
        if entry["entity"] == _entity(call):
            return entry
    raise NotFound(f"The specified ACL entry does not exist: {_entity(call)}")


def _plain(entries: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"entity": each["entity"], "role": each["role"]} for each in entries]
