"""Multipart uploads of the XML API, which the official client uses to upload the parts of a file side by side.

Protocol: https://cloud.google.com/storage/docs/multipart-uploads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html import escape, unescape
from typing import Any, Final

from trainyard.core.errors import InvalidArgument, NotFound
from trainyard.core.object_paths import check_object
from trainyard.edges.storage.calls import Call, Reply, refuse_encryption
from trainyard.edges.storage.exchange import Exchange
from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.places import Places
from trainyard.edges.storage.resources import crc32c_text, etag, predefined_acl, set_on_object
from trainyard.edges.storage.resumable import Sessions
from trainyard.edges.storage.uploads import Aside, hashes_of, write_all
from trainyard.objects import Draft, StoredObject, Target

MOST_PARTS: Final = 10_000
MOST_LIST_BYTES: Final = 4 * 1024 * 1024
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_PART: Final = re.compile(r"<Part>\s*(.*?)\s*</Part>", re.DOTALL)
_FIELD: Final = re.compile(r"<(PartNumber|ETag)>\s*(.*?)\s*</\1>", re.DOTALL)
_READ_BYTES: Final = 1024 * 1024
_HEADERS: Final = {
    "cache-control": "cacheControl",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "content-language": "contentLanguage",
    "content-type": "contentType",
    "x-goog-custom-time": "customTime",
    "x-goog-storage-class": "storageClass",
}
_META: Final = "x-goog-meta-"
_CODES: Final = {400: "InvalidArgument", 403: "AccessDenied", 404: "NoSuchUpload", 412: "PreconditionFailed"}


class XmlUploads:
    """Uploads in parts; their state lies with the resumable sessions."""

    def __init__(self, places: Places, sessions: Sessions, aside: Aside) -> None:
        """None at hand; those of earlier processes are in the store."""
        self._places = places
        self._sessions = sessions
        self._aside = aside

    async def answer(self, exchange: Exchange) -> Reply:
        """One request on `/bucket/object` with `uploads` or `uploadId`."""
        call = exchange.call
        match call.method, "uploads" in call.query, bool(call.text("partNumber")):
            case "POST", True, False:
                return await self._begin(exchange)
            case "PUT", False, True:
                return await self._part(exchange)
            case "POST", False, False:
                return await self._complete(exchange)
            case "DELETE", False, False:
                return await self._abort(call)
        raise HttpFault(405, "methodNotAllowed", f"{call.method} is no method of a multipart upload.")

    async def _begin(self, exchange: Exchange) -> Reply:
        await exchange.drain()
        call = exchange.call
        refuse_encryption(call)
        bucket, name = _names(call)
        note = {"multipart": [bucket, name], "attributes": attributes_of(call.headers), "parts": {}}

        def begun() -> str:
            self._places.asked_for(bucket)
            draft = self._places.store.draft()
            self._places.store.keep(draft, note)
            return draft.id

        upload_id = await self._aside(begun)
        told = f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key><UploadId>{upload_id}</UploadId>"
        return _xml("InitiateMultipartUploadResult", told)

    async def _part(self, exchange: Exchange) -> Reply:
        call = exchange.call
        number = call.number("partNumber") or 0
        if not 1 <= number <= MOST_PARTS:
            raise InvalidArgument(f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive.")
        await self._aside(self._note, call)
        draft: Draft = await self._aside(self._places.store.draft)
        crc32c, md5 = hashes_of({}, call.headers)
        try:
            if md5 is not None:
                draft.want_md5()
            await write_all(draft, exchange.chunks(), self._aside)
            await self._aside(draft.verify, crc32c, md5)
            tag = f"{draft.crc32c:08x}-{draft.size}"
            async with self._sessions.alone(call.text("uploadId")):
                await self._aside(self._register, call, number, draft, tag)
        except BaseException:
            await self._aside(draft.discard)
            raise
        told = f"crc32c={crc32c_text(draft.crc32c)}".encode()
        return Reply(200, b"", ((b"etag", f'"{tag}"'.encode()), (b"x-goog-hash", told)))

    async def _complete(self, exchange: Exchange) -> Reply:
        call = exchange.call
        wanted = _parts(await exchange.body(MOST_LIST_BYTES))
        async with self._sessions.alone(call.text("uploadId")):
            stored: StoredObject = await self._aside(self._put, call, wanted)
        told = (
            f"<Bucket>{stored.bucket}</Bucket><Key>{escape(stored.name)}</Key><ETag>&quot;{etag(stored)}&quot;</ETag>"
        )
        generation = (b"x-goog-generation", b"%d" % stored.generation)
        return _xml("CompleteMultipartUploadResult", told, generation)

    async def _abort(self, call: Call) -> Reply:
        async with self._sessions.alone(call.text("uploadId")):
            note = await self._aside(self._note, call)
            await self._aside(self._forget, call, note)
        return Reply(204)

    def _note(self, call: Call) -> Mapping[str, Any]:
        """What is known of the upload; raises NotFound where it is not one of this object."""
        _, note = self._places.store.kept(call.text("uploadId"))
        if note.get("multipart") != list(_names(call)):
            raise NotFound("The specified multipart upload does not exist.")
        return note

    def _register(self, call: Call, number: int, draft: Draft, tag: str) -> None:
        """Durable: the part's bytes, then that it is one; a part that it replaces is forgotten last."""
        upload, note = self._places.store.kept(call.text("uploadId"))
        if upload is None:
            raise NotFound("The specified multipart upload does not exist.")
        self._places.store.keep(draft, {"part_of": upload.id})
        before = note["parts"].get(str(number))
        parts = {**note["parts"], str(number): [draft.id, tag, draft.size]}
        self._places.store.keep(upload, {**note, "parts": parts})
        if before:
            self._places.store.forget(before[0])

    def _put(self, call: Call, wanted: list[tuple[int, str]]) -> StoredObject:
        note = self._note(call)
        draft = self._places.store.draft()
        try:
            for number, tag in wanted:
                known = note["parts"].get(str(number))
                if known is None or known[1] != tag:
                    raise InvalidArgument(f"One or more of the specified parts could not be found: part {number}.")
                part, _ = self._places.store.kept(known[0])
                if part is None:
                    raise NotFound("The specified multipart upload does not exist.")
                for offset in range(0, part.size, _READ_BYTES):
                    draft.write(part.read(offset, min(_READ_BYTES, part.size - offset)))
            bucket, name = note["multipart"]
            stored = self._places.store.put(draft, Target(bucket, name, note["attributes"], call.conditions()))
        finally:
            draft.discard()
        self._forget(call, note)
        return stored

    def _forget(self, call: Call, note: Mapping[str, Any]) -> None:
        self._places.store.forget(call.text("uploadId"))
        for draft_id, _, _ in note["parts"].values():
            self._places.store.forget(draft_id)


def is_multipart(method: str, query: bytes) -> bool:
    """Whether a request's query is one of a multipart upload: `?uploads`, or one with an uploadId."""
    names = {pair.partition(b"=")[0] for pair in query.split(b"&")}
    return method in ("POST", "PUT", "DELETE") and (b"uploads" in names or b"uploadId" in names)


def xml_fault(fault: HttpFault) -> Reply:
    """An error as the XML API tells it."""
    code = "BadDigest" if "doesn't match calculated" in fault.message else _CODES.get(fault.status, "InternalError")
    message = fault.message
    if code == "NoSuchUpload" and "upload" not in message:
        code, message = ("NoSuchBucket", message) if "bucket" in message else ("NoSuchKey", _NO_KEY)
    reply = xml_error(fault.status, code, message, fault.message)
    return replace(reply, headers=(*reply.headers, *fault.headers))


def xml_error(status: int, code: str, message: str, details: str, more: str = "") -> Reply:
    """An error of the XML API; `more` is XML behind the details."""
    told = (escape(text, quote=False) for text in (code, message, details))
    body = "<Error><Code>{}</Code><Message>{}</Message><Details>{}</Details>{}</Error>".format(*told, more)
    return Reply(status, _DECLARED + body.encode("utf-8", "replace"), (_TYPE,))


XML: Final = b"application/xml; charset=UTF-8"
_DECLARED: Final = b"<?xml version='1.0' encoding='UTF-8'?>"
_TYPE: Final = (b"content-type", XML)
_NO_KEY: Final = "The specified key does not exist."


def _xml(name: str, inner: str, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(200, _DECLARED + f"<{name} xmlns='{_NAMESPACE}'>{inner}</{name}>".encode(), (_TYPE, *headers))


def _names(call: Call) -> tuple[str, str]:
    return call.path[0], check_object("/".join(call.path[1:]))


def attributes_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """An object's attributes as the XML API says them. Raises InvalidArgument."""
    sent: dict[str, Any] = {field: headers[name] for name, field in _HEADERS.items() if name in headers}
    metadata = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
    if metadata:
        sent["metadata"] = metadata
    attributes = set_on_object(sent, {}, replacing=True, new=True)
    if "x-goog-acl" in headers:
        words = headers["x-goog-acl"].split("-")
        attributes["acl"] = predefined_acl(words[0] + "".join(word.title() for word in words[1:]))
    return attributes


def _parts(body: bytes) -> list[tuple[int, str]]:
    """Numbers and tags of the parts to put together, in order. Raises InvalidArgument."""
    found = []
    for inner in _PART.findall(body.decode("utf-8", "replace")):
        fields = dict(_FIELD.findall(inner))
        if not fields.get("PartNumber", "").isdecimal() or "ETag" not in fields:
            raise InvalidArgument("The XML you provided was not well formed: a Part has a PartNumber and an ETag.")
        found.append((int(fields["PartNumber"]), unescape(fields["ETag"]).strip('"')))
    numbers = [number for number, _ in found]
    if not found or numbers != sorted(set(numbers)):
        raise InvalidArgument("The list of parts was not in ascending order, or it was empty.")
    return found
