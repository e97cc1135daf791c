"""Uploads in one request: bare media, and multipart with the object's metadata in front (objects.insert).

Bytes stream into a draft in chunks, the disk writing one while the next one comes; only a whole body becomes an object.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainyard.core.errors import InvalidArgument, NotFound
from trainyard.core.object_paths import check_object
from trainyard.edges.storage.calls import Call, Reply, json_object, refuse_encryption
from trainyard.edges.storage.exchange import Exchange
from trainyard.edges.storage.multipart import RelatedBody
from trainyard.edges.storage.places import Places
from trainyard.edges.storage.resources import object_resource, predefined_acl, set_on_object
from trainyard.edges.storage.uniform import refuse_access_controls
from trainyard.objects import ANY, Draft, StoredObject, Target

Aside = Callable[..., Awaitable[Any]]
"""Runs a blocking function with its arguments off the event loop."""
_HASH: Final = re.compile(r"(crc32c|md5)=([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class Insertion:
    """What a request to insert an object said before its bytes."""

    bucket: str
    name: str
    attributes: Mapping[str, Any]
    crc32c: int | None
    md5: bytes | None

    def target(self, call: Call) -> Target:
        """Where the bytes go."""
        return Target(self.bucket, self.name, self.attributes, call.conditions(), self.crc32c, self.md5)


async def media(places: Places, exchange: Exchange, aside: Aside) -> Reply:
    """uploadType=media: the body is the object."""
    call = exchange.call
    said = insertion(call, {}, exchange.headers.get("content-type", ""))
    stored = await taken(places, call, said, exchange.chunks(), aside)
    return Reply(body=object_resource(stored, call.base, full=call.full))


async def multipart(places: Places, exchange: Exchange, aside: Aside) -> Reply:
    """uploadType=multipart: JSON first, then the object."""
    call = exchange.call
    related = RelatedBody(exchange.headers.get("content-type", ""), exchange.chunks())
    await related.part()
    metadata = b"".join([piece async for piece in related.data()])
    headers = await related.part()
    said = insertion(call, json_object(metadata), headers.get("content-type", ""))
    stored = await taken(places, call, said, related.data(), aside)
    return Reply(body=object_resource(stored, call.base, full=call.full))


def insertion(call: Call, sent: Mapping[str, Any], content_type: str) -> Insertion:
    """What the caller wants, from parameters, metadata and headers. Raises InvalidArgument."""
    refuse_encryption(call)
    refuse_access_controls(call, sent)
    name = call.text("name") or sent.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidArgument("Required", reason="required")
    attributes = set_on_object(sent, {}, replacing=True, new=True)
    if content_type:
        attributes.setdefault("contentType", content_type)
    if call.text("contentEncoding"):
        attributes["contentEncoding"] = call.text("contentEncoding")
    if call.text("predefinedAcl"):
        attributes["acl"] = predefined_acl(call.text("predefinedAcl"))
    crc32c, md5 = hashes_of(sent, call.headers)
    return Insertion(call.path[-2], check_object(name), attributes, crc32c, md5)


def hashes_of(sent: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int | None, bytes | None]:
    """CRC32C and MD5 that the sender computed, from metadata or X-Goog-Hash. Raises InvalidArgument."""
    told = {"crc32c": sent.get("crc32c"), "md5": sent.get("md5Hash")}
    header = headers.get("x-goog-hash", "")
    told |= dict(_HASH.findall(header))
    if "content-md5" in headers:
        told["md5"] = headers["content-md5"]
    crc32c, md5 = _hash("crc32c", told["crc32c"], 4), _hash("md5Hash", told["md5"], 16)
    return (None if crc32c is None else int.from_bytes(crc32c, "big")), md5


async def write_all(draft: Draft, pieces: AsyncIterator[bytes], aside: Aside) -> None:
    """Write one piece while the next one comes."""
    writing: Awaitable[Any] | None = None
    try:
        async for piece in pieces:
            if writing is not None:
                await writing
            writing = asyncio.ensure_future(aside(draft.write, piece))
    finally:
        if writing is not None:
            await writing


async def taken(
    places: Places, call: Call, said: Insertion, pieces: AsyncIterator[bytes], aside: Aside
) -> StoredObject:
    """The object that the pieces become, durable."""
    first = await anext(pieces, b"")
    draft: Draft = await aside(_begun, places, said, call, first)
    try:
        await write_all(draft, pieces, aside)
        stored: StoredObject = await aside(places.store.put, draft, said.target(call))
    finally:
        await aside(draft.discard)
    return stored


def _begun(places: Places, said: Insertion, call: Call, first: bytes) -> Draft:
    """A draft with the first bytes, once it is clear that it may become an object."""
    check_beforehand(places, said, call)
    draft = places.store.draft()
    if said.md5 is not None:
        draft.want_md5()
    draft.write(first)
    return draft


def check_beforehand(places: Places, said: Insertion, call: Call) -> None:
    """Raise before the bytes come what would be raised after them."""
    places.asked_for(said.bucket)
    conditions = call.conditions()
    if conditions != ANY:
        try:
            old = places.store.stat(said.bucket, said.name)
            conditions.check(old.generation, old.metageneration)
        except NotFound:
            conditions.check(0, 0)


def _hash(field: str, text: Any, size: int) -> bytes | None:
    if text is None or text == "":
        return None
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        value = b""
    if len(value) != size:
        raise InvalidArgument(f"Invalid value for {field}: {text!r} is not the base64 of {size} bytes.")
    return value
