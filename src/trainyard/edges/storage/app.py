"""The gs:// endpoint as a plain ASGI application; blocking work runs in threads of its own.

Every request gets exactly one answer in Cloud Storage's own shape; what nobody foresaw is a 500 with an id that the
server's log has.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final

from trainyard.core.errors import ApiError
from trainyard.edges.client_address import client_of
from trainyard.edges.storage import downloads, routes, signed, uploads
from trainyard.edges.storage.batch import batch
from trainyard.edges.storage.calls import Call, Reply
from trainyard.edges.storage.exchange import Disconnected, Exchange, Receive, Send
from trainyard.edges.storage.faults import HttpFault, disk_fault, error_body, fault_of
from trainyard.edges.storage.partial import selected
from trainyard.edges.storage.places import Places
from trainyard.edges.storage.resumable import Sessions
from trainyard.edges.storage.rights import Need, Porter, needs_of, xml_needs
from trainyard.edges.storage.uniform import refuse_access_controls, shown
from trainyard.edges.storage.xml_uploads import XmlUploads, is_multipart, xml_fault
from trainyard.service.access import Caller
from trainyard.service.access_signed import BadSignedUrl

_PREFIXES: Final = (
    b"/storage/v1/",
    b"/download/storage/v1/",
    b"/upload/storage/v1/",
    b"/resumable/upload/storage/v1/",
    b"/batch/storage/v1",
)
_THREADS: Final = 16
_XML_HOST: Final = b"storage.googleapis.com"
SESSION: Final = "session"
"""The role of who shows the address of an upload and nothing else: in it is all that is needed to go on with it."""
_API: Final = ("storage", "v1")

log = logging.getLogger("trainyard.storage")

Guard = Callable[[Mapping[str, str], int | None], None]


class StorageApp:
    """ASGI, http only."""

    def __init__(self, places: Places, guard: Guard, porter: Porter) -> None:
        """`guard` refuses pages of others in a browser, `porter` who has no right; both raise ApiError."""
        self._places = places
        self._guard = guard
        self._porter = porter
        self._threads = ThreadPoolExecutor(_THREADS, "storage")
        self._sessions = Sessions(places, self._aside)
        self._xml = XmlUploads(places, self._sessions, self._aside)
        self._signed = signed.SignedObjects(places, self._sessions, self._aside)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send, uniform=self._porter.enforces)
        try:
            await self._serve(exchange)
        except Disconnected:
            return
        except BadSignedUrl as error:
            await exchange.answer(signed.fault_of(error))
        except Exception as error:
            fault = self._fault(error, f"{exchange.method} {scope['raw_path'].decode('latin-1')}")
            if not exchange.started:  # else the connection is cut, so that half is not taken for all
                await exchange.answer(_told(fault, exchange))
            elif fault.status >= 500:
                raise

    async def close(self) -> None:
        """Let threads finish."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _serve(self, exchange: Exchange) -> None:
        server = exchange.scope.get("server") or ("", None)
        self._guard(exchange.headers, server[1])
        call = exchange.call
        refuse_access_controls(call)
        caller, needs = await self._identified(exchange)
        exchange.who = caller.name
        if _is_object(exchange.scope) and call.method in ("GET", "HEAD"):
            await self._admit(caller, needs)
            await self._signed.download(exchange)
        elif names := _media_names(call):
            await self._admit(caller, needs)
            await downloads.media(self._places, exchange, names, self._aside)
        else:
            await exchange.answer(await self._noted(caller, needs, lambda: self._reply(exchange, caller)))

    async def _identified(self, exchange: Exchange) -> tuple[Caller, Sequence[Need]]:
        """Who calls, and what they need for it. Raises ApiError, BadSignedUrl."""
        call, address = exchange.call, client_of(exchange.scope)
        if _is_signed(exchange.scope):
            return self._porter.identify_signed(signed.request_of(exchange), address), signed.needs_of(call)
        bearer = exchange.headers.get("authorization", "")
        if not bearer and call.text("access_token"):
            bearer = f"Bearer {call.text('access_token')}"
        key = exchange.headers.get("x-goog-api-key") or call.text("key")
        if _goes_on(call) and not bearer and not key:
            return Caller(await self._sessions.who(call.text("upload_id")), SESSION, address=address), needs_of(call)
        needs = xml_needs(call) if _is_xml(exchange.scope) else needs_of(call)
        if _is_object(exchange.scope):
            needs = signed.needs_of(call)
        return self._porter.identify(bearer, key, address), needs

    async def _reply(self, exchange: Exchange, caller: Caller) -> Reply:
        call = exchange.call
        if _is_object(exchange.scope):
            return await self._signed.answer(exchange)
        if _is_xml(exchange.scope):
            return await self._xml.answer(exchange)
        if call.path[0] == "batch":
            return await batch(exchange, partial(self._answer_in_batch, caller))
        if call.path[0] in ("upload", "resumable"):
            return await self._upload(exchange)
        return await self._answer(caller, replace(call, raw_body=await exchange.body()))

    async def _admit(self, caller: Caller, needs: Sequence[Need]) -> None:
        """Raises PermissionDenied. Whose role alone is not enough is looked up in a thread: buckets know more."""
        for need in needs:
            if caller.role != SESSION and not self._porter.admits(caller, need):
                await self._aside(self._porter.require, caller, need)

    async def _noted(self, caller: Caller, needs: Sequence[Need], answer: Callable[[], Awaitable[Reply]]) -> Reply:
        """The answer to a call that is admitted; what it writes, or would have, is in the audit log before."""
        writes = [need for need in needs if need.writes]
        try:
            await self._admit(caller, needs)
            reply = await answer()
        except Exception as error:
            for need in writes:
                self._porter.note(caller, need, _result(error))
            raise
        if not _is_step(reply):
            for need in writes:
                self._porter.note(caller, need.of(reply.body), "OK")
        return reply

    async def _upload(self, exchange: Exchange) -> Reply:
        call = exchange.call
        start = 2 if call.path[0] == "resumable" else 1
        shape = call.path[start:]
        if len(shape) != 5 or shape[:3] != (*_API, "b") or shape[4] != "o":
            raise HttpFault(404, "notFound", "Not Found")
        if call.text("upload_id"):
            if call.method == "DELETE":
                return await self._sessions.cancel(exchange)
            if call.method in ("PUT", "POST"):
                return _cut(call, await self._sessions.go_on(exchange))
        kind = call.text("uploadType") or ("resumable" if start == 2 else "")
        if call.method != "POST":
            raise HttpFault(405, "methodNotAllowed", f"{call.method} is no method of an upload.")
        match kind:
            case "media":
                return _cut(call, await uploads.media(self._places, exchange, self._aside))
            case "multipart":
                return _cut(call, await uploads.multipart(self._places, exchange, self._aside))
            case "resumable":
                return await self._sessions.begin(exchange)
        raise HttpFault(400, "invalid", f"Invalid value for uploadType: {kind!r}; it is media, multipart or resumable.")

    async def _answer(self, caller: Caller, call: Call) -> Reply:
        api = call.path[1:] if call.path[0] == "download" else call.path
        if api[:2] != _API:
            raise HttpFault(404, "notFound", "Not Found")
        verb = "GET" if call.method == "HEAD" else call.method
        function, names = routes.find(verb, api[2:])
        asked = replace(call, names=names, path=api)
        return _cut(call, await self._aside(self._answered, function, caller, asked))

    def _answered(self, function: routes.Function, caller: Caller, call: Call) -> Reply:
        if not call.uniform:
            return function(self._places, call)
        refuse_access_controls(call, call.json() if call.raw_body else None)
        reply = function(self._places, call)
        return replace(reply, body=shown(self._porter, caller, call, reply.body))

    async def _answer_in_batch(self, caller: Caller, call: Call) -> Reply:
        try:
            if _media_names(call) or call.path[0] != "storage":
                raise HttpFault(400, "badRequest", "Uploads and downloads cannot be part of a batch.")
            return await self._noted(caller, needs_of(call), lambda: self._answer(caller, call))
        except Exception as error:
            fault = self._fault(error, f"{call.method} {'/'.join(call.path)} (in a batch)")
            return Reply(fault.status, error_body(fault), fault.headers)

    async def _aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _fault(self, error: Exception, what: str) -> HttpFault:
        if isinstance(error, ApiError | HttpFault):
            return fault_of(error)
        if isinstance(error, OSError) and (fault := disk_fault(error)) is not None:
            return fault
        mark = secrets.token_hex(6)
        log.error("%s failed; the caller was told error id %s", what, mark, exc_info=error)
        return HttpFault(500, "internalError", f"The service failed; its log has the reason under error id {mark}.")


def claims(scope: Mapping[str, Any]) -> bool:
    """Whether a request is for Cloud Storage."""
    if scope["raw_path"].startswith(_PREFIXES) or (b"host", _XML_HOST) in scope["headers"]:
        return True
    return bool(scope["query_string"]) and (_is_xml(scope) or _is_signed(scope))


def _is_step(reply: Reply) -> bool:
    """A part of an upload, or its beginning: nothing is written before its end."""
    return reply.status == 308 or any(name == b"location" for name, _ in reply.headers)


def _result(error: Exception) -> str:
    if isinstance(error, ApiError):
        return error.code.name
    return error.reason if isinstance(error, HttpFault) else "INTERNAL"


def _is_xml(scope: Mapping[str, Any]) -> bool:
    return not scope["raw_path"].startswith(_PREFIXES) and is_multipart(scope["method"], scope["query_string"])


def _goes_on(call: Call) -> bool:
    """Whether a request is a step of an upload that was begun before; it can do nothing else."""
    known = call.path[0] in ("upload", "resumable") and call.method in ("PUT", "POST", "DELETE")
    return known and bool(call.text("upload_id"))


def _is_signed(scope: Mapping[str, Any]) -> bool:
    return not scope["raw_path"].startswith(_PREFIXES) and signed.is_signed(scope["query_string"])


def _is_object(scope: Mapping[str, Any]) -> bool:
    """Whether a request is the XML API's for one object: by a signed URL, or by the host that serves nothing else."""
    if scope["raw_path"].startswith(_PREFIXES) or _is_xml(scope):
        return False
    return _is_signed(scope) or (b"host", _XML_HOST) in scope["headers"]


def _media_names(call: Call) -> tuple[str, str] | None:
    """Bucket and object of a request for media; None for every other."""
    path = call.path[1:] if call.path[0] == "download" else call.path
    if call.method not in ("GET", "HEAD") or len(path) != 6 or path[:3] != (*_API, "b") or path[4] != "o":
        return None
    return (path[3], path[5]) if call.text("alt") == "media" or call.path[0] == "download" else None


def _cut(call: Call, reply: Reply) -> Reply:
    """What the caller's `fields` leave of an answer."""
    return replace(reply, body=selected(reply.body, call.text("fields"))) if call.text("fields") else reply


def _told(fault: HttpFault, exchange: Exchange) -> Reply:
    """A fault in JSON; to who asked for media, in plain text, as the original does."""
    if fault.status == 304:
        return Reply(304)
    if _is_xml(exchange.scope) or _is_object(exchange.scope):
        return xml_fault(fault)
    try:
        wants_media = bool(_media_names(exchange.call))
    except ApiError:
        wants_media = False
    if wants_media:
        plain = (b"content-type", b"text/plain; charset=UTF-8")
        return Reply(fault.status, fault.message.encode(), (*fault.headers, plain))
    return Reply(fault.status, error_body(fault), fault.headers)
