"""Signed URLs: the part of the XML API that they are made for, one object's GET, HEAD, PUT, DELETE and resumable start.

Reference: https://cloud.google.com/storage/docs/xml-api/overview. The bytes take the same ways as in the JSON API.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from html import escape
from typing import Final
from urllib.parse import parse_qsl

from trainyard.core.errors import InvalidArgument
from trainyard.core.object_paths import check_object
from trainyard.edges.storage import downloads, uploads
from trainyard.edges.storage.calls import Call, Reply, refuse_encryption
from trainyard.edges.storage.exchange import Exchange
from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.places import Places
from trainyard.edges.storage.resources import crc32c_text, etag
from trainyard.edges.storage.resumable import Sessions
from trainyard.edges.storage.rights import Need
from trainyard.edges.storage.uploads import Aside, Insertion, hashes_of
from trainyard.edges.storage.xml_uploads import XML, attributes_of, xml_error
from trainyard.objects import StoredObject
from trainyard.service.access_signed import BadSignedUrl, SignedRequest, is_signed_url

_CONDITIONS: Final = {
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}
_INSTEAD: Final = {
    "response-content-type": b"content-type",
    "response-content-disposition": b"content-disposition",
}
_PERMISSIONS: Final = {"GET": "get", "HEAD": "get", "PUT": "create", "POST": "create", "DELETE": "delete"}
_STATUS: Final = {"ExpiredToken": 400, "InvalidArgument": 400, "MalformedSecurityHeader": 400}
_MESSAGES: Final = {
    "ExpiredToken": "The provided token has expired.",
    "InvalidArgument": "Invalid argument.",
    "MalformedSecurityHeader": "Your request has a malformed header.",
}


def is_signed(query: bytes) -> bool:
    """Whether a request's query has a signature in it."""
    return b"ignature=" in query and is_signed_url(name for name, _ in _pairs(query))


def request_of(exchange: Exchange) -> SignedRequest:
    """The request as its signature has it."""
    scope = exchange.scope
    pairs = _pairs(scope["query_string"])
    return SignedRequest(exchange.method, scope["raw_path"].decode("latin-1"), pairs, exchange.headers)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")


def needs_of(call: Call) -> tuple[Need, ...]:
    """What the signer must be allowed."""
    return (Need(f"storage.objects.{_PERMISSIONS.get(call.method, 'get')}", call.path[0], "/".join(call.path[1:])),)


def fault_of(error: BadSignedUrl) -> Reply:
    """Why a signed URL is refused, as the XML API tells it."""
    more = "".join(f"<{name}>{escape(value, quote=False)}</{name}>" for name, value in error.more.items())
    message = _MESSAGES.get(error.code, "Access denied.")
    return xml_error(_STATUS.get(error.code, 403), error.code, message, error.details, more)


class SignedObjects:
    """What a signed URL may do with its object."""

    def __init__(self, places: Places, sessions: Sessions, aside: Aside) -> None:
        """Over the same store and sessions as the JSON API."""
        self._places = places
        self._sessions = sessions
        self._aside = aside

    async def download(self, exchange: Exchange) -> None:
        """GET and HEAD."""
        exchange.call = _as_json_has_it(exchange.call)
        wanted = [(_INSTEAD[k], v.encode()) for k, (*_, v) in exchange.call.query.items() if k in _INSTEAD]
        await downloads.media(self._places, exchange, _names(exchange.call), self._aside, dict(wanted))

    async def answer(self, exchange: Exchange) -> Reply:
        """PUT, DELETE, and POST of a resumable start."""
        call = exchange.call = _as_json_has_it(exchange.call)
        refuse_encryption(call)
        if "x-goog-copy-source" in call.headers:
            raise HttpFault(501, "notImplemented", "x-goog-copy-source is not served here; use objects.rewrite.")
        match call.method, call.headers.get("x-goog-resumable"):
            case "PUT", None:
                return await self._put(exchange)
            case "POST", "start":
                return await self._sessions.begin_for(exchange, _said(call))
            case "DELETE", _:
                await exchange.drain()
                await self._aside(
                    self._places.store.delete, *_names(call), call.number("generation"), call.conditions()
                )
                return Reply(204)
        raise HttpFault(405, "methodNotAllowed", f"{call.method} is nothing that a signed URL can do here.")

    async def _put(self, exchange: Exchange) -> Reply:
        call = exchange.call
        stored = await uploads.taken(self._places, call, _said(call), exchange.chunks(), self._aside)
        return Reply(200, b"", tuple(_told(stored)))


def _names(call: Call) -> tuple[str, str]:
    bucket, *name = call.path
    if not "/".join(name):
        raise InvalidArgument("A signed URL is one of an object here: /BUCKET/OBJECT.")
    return bucket, check_object("/".join(name))


def _said(call: Call) -> Insertion:
    crc32c, md5 = hashes_of({}, call.headers)
    return Insertion(*_names(call), attributes_of(call.headers), crc32c, md5)


def _as_json_has_it(call: Call) -> Call:
    """Preconditions are headers here, and parameters there."""
    given = {_CONDITIONS[name]: (value,) for name, value in call.headers.items() if name in _CONDITIONS}
    return replace(call, query={**call.query, **given})


def _told(stored: StoredObject) -> list[tuple[bytes, bytes]]:
    hashes = [f"crc32c={crc32c_text(stored.crc32c)}"] if stored.crc32c is not None else []
    hashes += [f"md5={base64.b64encode(stored.md5).decode()}"] if stored.md5 is not None else []
    tag = stored.md5.hex() if stored.md5 is not None else etag(stored)
    return [
        (b"etag", f'"{tag}"'.encode()),
        (b"x-goog-generation", b"%d" % stored.generation),
        (b"x-goog-metageneration", b"%d" % stored.metageneration),
        (b"x-goog-hash", ",".join(hashes).encode()),
        (b"x-goog-stored-content-length", b"%d" % stored.size),
        (b"content-type", XML),
    ]
