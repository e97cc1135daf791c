"""What the JSON API can do with objects, uploads and downloads apart: one function per method, all blocking."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from trainyard.core.errors import InvalidArgument, NotFound
from trainyard.edges.storage.calls import Call, Reply, refuse_encryption
from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.places import Places
from trainyard.edges.storage.resources import object_resource, predefined_acl, set_on_object
from trainyard.objects import MOST_COMPONENTS, Query, StoredObject, Target, no_object

MEGABYTE: Final = 1024 * 1024
_READ_BYTES: Final = 1024 * 1024
_LEFT_BEHIND: Final = ("acl", "temporaryHold", "eventBasedHold", "_iamPolicy")


def get(places: Places, call: Call) -> Reply:
    """objects.get, without its media."""
    refuse_encryption(call)
    bucket, name = call.names
    stored = places.store.stat(bucket, name, call.number("generation"))
    call.conditions().check(stored.generation, stored.metageneration, reading=True)
    if call.flag("softDeleted"):
        raise no_object(bucket, name)  # nothing is ever soft-deleted here
    return _answer(call, stored)


def patch(places: Places, call: Call) -> Reply:
    """objects.patch: fields that are named, null removing one."""
    return _set(places, call, replacing=False)


def update(places: Places, call: Call) -> Reply:
    """objects.update: all fields."""
    return _set(places, call, replacing=True)


def delete(places: Places, call: Call) -> Reply:
    """objects.delete."""
    bucket, name = call.names
    places.store.delete(bucket, name, call.number("generation"), call.conditions())
    return Reply(204)


def listed(places: Places, call: Call) -> Reply:
    """objects.list."""
    (bucket,) = call.names
    query = Query(
        prefix=call.text("prefix"),
        delimiter=call.text("delimiter"),
        start=call.text("startOffset"),
        end=call.text("endOffset"),
        glob=call.text("matchGlob"),
        versions=call.flag("versions"),
        trailing_delimiter=call.flag("includeTrailingDelimiter"),
        size=call.page_size(),
        after=call.text("pageToken"),
    )
    if call.flag("softDeleted"):
        places.store.bucket(bucket)
        return Reply(body={"kind": "storage#objects"})
    if call.text("filter"):
        raise InvalidArgument("filter: objects have no contexts here to filter by; leave it out.")
    page = places.store.list(places.asked_for(bucket), query)
    body: dict[str, Any] = {"kind": "storage#objects"}
    if page.next_after:
        body["nextPageToken"] = page.next_after
    if page.prefixes:
        body["prefixes"] = list(page.prefixes)
    if page.objects:
        body["items"] = [object_resource(each, call.base, full=call.full) for each in page.objects]
    return Reply(body=body)


def copy(places: Places, call: Call) -> Reply:
    """objects.copy: all at once."""
    return _answer(call, _copied(places, call))


def rewrite(places: Places, call: Call) -> Reply:
    """objects.rewrite: all at once, or as many bytes a call as the caller allows, going on by token."""
    most = call.number("maxBytesRewrittenPerCall")
    if most is not None and (most % MEGABYTE or not most):
        raise InvalidArgument("maxBytesRewrittenPerCall has to be a multiple of 1 MiB (1048576 bytes).")
    token = call.text("rewriteToken")
    if token or most is not None:
        source = _source(places, call)
        if token or source.size > (most or 0):
            return _rewrite_part(places, call, source, most or source.size)
    stored = _copied(places, call)
    return _rewritten(call, stored.size, stored.size, stored)


def move(places: Places, call: Call) -> Reply:
    """objects.move: under its new name first, then away with the old one, which must not have changed meanwhile."""
    bucket, name, new_name = call.names
    source = places.store.stat(bucket, name)
    call.conditions("Source").check(source.generation, source.metageneration)
    if source.held:
        places.store.delete(bucket, name, None, replace(call.conditions("Source"), generation=source.generation))
    if name == new_name:
        raise InvalidArgument("The source and the destination of a move are the same object.")
    target = Target(bucket, new_name, source.attributes, call.conditions())
    stored = places.store.copy(source, target)
    with contextlib.suppress(NotFound):
        places.store.delete(bucket, name, None, replace(call.conditions("Source"), generation=source.generation))
    return _answer(call, stored)


def compose(places: Places, call: Call) -> Reply:
    """objects.compose: up to 32 objects one behind the other."""
    refuse_encryption(call)
    bucket, name = call.names
    body = call.json()
    sources = body.get("sourceObjects")
    if not isinstance(sources, list) or not 1 <= len(sources) <= MOST_COMPONENTS:
        raise InvalidArgument(f"The number of source components is not between 1 and {MOST_COMPONENTS}.")
    parts = [_component(places, bucket, each) for each in sources]
    attributes = set_on_object(_destination(body), {}, replacing=True, new=True)
    attributes |= _predefined(call, "destinationPredefinedAcl")
    if "contentType" not in attributes and (first := parts[0].attributes.get("contentType")):
        attributes["contentType"] = first
    draft = places.store.draft()
    try:
        for part in parts:
            _append(places, draft, part)
        count = sum(part.components or 1 for part in parts)
        target = Target(places.asked_for(bucket), name, attributes, call.conditions(), components=count)
        stored = places.store.put(draft, target)
    finally:
        draft.discard()
    if body.get("deleteSourceObjects"):
        for part in parts:
            if part.name != name:
                places.store.delete(bucket, part.name, part.generation)
    return _answer(call, stored)


def restore(places: Places, call: Call) -> Reply:
    """objects.restore: nothing is ever soft-deleted here."""
    places.store.bucket(call.names[0])
    raise no_object(*call.names)


def _set(places: Places, call: Call, *, replacing: bool) -> Reply:
    bucket, name = call.names
    old = places.store.stat(bucket, name, call.number("generation"))
    attributes = set_on_object(call.json(), old.attributes, replacing=replacing, new=False) | _predefined(call)
    stored = places.store.update(
        bucket, name, call.number("generation"), attributes,
        replace(call.conditions(), **_unless_changed(call, old)),
    )  # fmt: skip
    return _answer(call, stored)


def _unless_changed(call: Call, old: StoredObject) -> Mapping[str, int]:
    """What a change was merged into must still be there, unless the caller says otherwise."""
    asked = call.conditions()
    asked.check(old.generation, old.metageneration)
    return {"generation": old.generation, "metageneration": old.metageneration}


def _source(places: Places, call: Call) -> StoredObject:
    refuse_encryption(call)
    source = places.store.stat(call.names[0], call.names[1], call.number("sourceGeneration"))
    call.conditions("Source").check(source.generation, source.metageneration)
    return source


def _target(places: Places, call: Call, source: StoredObject) -> Target:
    """Metadata that is sent replaces the source's; none sent leaves it."""
    body = call.json()
    inherited = {name: value for name, value in source.attributes.items() if name not in _LEFT_BEHIND}
    sent = {name: value for name, value in body.items() if value is not None}
    attributes = set_on_object(sent, inherited if not sent else {}, replacing=bool(sent), new=True)
    if "contentType" in inherited:
        attributes.setdefault("contentType", inherited["contentType"])
    attributes |= _predefined(call, "destinationPredefinedAcl")
    return Target(places.asked_for(call.names[2]), call.names[3], attributes, call.conditions())


def _copied(places: Places, call: Call) -> StoredObject:
    source = _source(places, call)
    return places.store.copy(source, _target(places, call, source))


def _rewrite_part(places: Places, call: Call, source: StoredObject, most: int) -> Reply:
    """Some more bytes into a draft that the token names; it becomes the object with the last of them."""
    token = call.text("rewriteToken")
    note = {"rewrite": list(call.names), "generation": source.generation}
    if token:
        draft, known = places.store.kept(token)
        if draft is None or known != note:
            raise InvalidArgument("The rewriteToken does not belong to this rewrite; begin again without it.")
    else:
        draft = places.store.draft()
    stored, reader = places.store.open(source.bucket, source.name, source.generation)
    with contextlib.closing(reader):
        last = min(stored.size, draft.size + most)
        while draft.size < last:
            draft.write(reader.read(draft.size, min(_READ_BYTES, last - draft.size)))
    if draft.size < stored.size:
        places.store.keep(draft, note)
        return _rewritten(call, draft.size, stored.size, token=draft.id)
    done = places.store.put(draft, replace(_target(places, call, source), components=stored.components))
    places.store.forget(draft.id)
    return _rewritten(call, stored.size, stored.size, done)


def _rewritten(call: Call, done: int, size: int, stored: StoredObject | None = None, token: str = "") -> Reply:
    body: dict[str, Any] = {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": str(done),
        "objectSize": str(size),
        "done": stored is not None,
    }
    if stored is not None:
        body["resource"] = object_resource(stored, call.base, full=call.full)
    else:
        body["rewriteToken"] = token or secrets.token_urlsafe()
    return Reply(body=body)


def _component(places: Places, bucket: str, sent: Any) -> StoredObject:
    if not isinstance(sent, dict) or not isinstance(sent.get("name"), str):
        raise InvalidArgument("Each of sourceObjects has a name.", reason="required")
    generation = sent.get("generation")
    stored = places.store.stat(bucket, sent["name"], int(generation) if generation else None)
    wanted = (sent.get("objectPreconditions") or {}).get("ifGenerationMatch")
    if wanted is not None and int(wanted) != stored.generation:
        raise HttpFault(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
    return stored


def _append(places: Places, draft: Any, part: StoredObject) -> None:
    stored, reader = places.store.open(part.bucket, part.name, part.generation)
    with contextlib.closing(reader):
        for offset in range(0, stored.size, _READ_BYTES):
            draft.write(reader.read(offset, min(_READ_BYTES, stored.size - offset)))


def _destination(body: Mapping[str, Any]) -> dict[str, Any]:
    destination = body.get("destination") or {}
    if not isinstance(destination, dict):
        raise InvalidArgument("destination: it is not an object's JSON.")
    return destination


def _predefined(call: Call, parameter: str = "predefinedAcl") -> dict[str, Any]:
    name = call.text(parameter)
    return {"acl": predefined_acl(name)} if name else {}


def _answer(call: Call, stored: StoredObject) -> Reply:
    return Reply(body=object_resource(stored, call.base, full=call.full))
