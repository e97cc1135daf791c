"""Resumable uploads: a session that outlives connections and restarts, told byte by byte how far it came.

Protocol: https://cloud.google.com/storage/docs/performing-resumable-uploads. Bytes that a 308 has counted are durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from trainyard.core.errors import NotFound
from trainyard.edges.storage.calls import Call, Reply, json_object
from trainyard.edges.storage.exchange import Disconnected, Exchange
from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.places import Places
from trainyard.edges.storage.resources import object_resource
from trainyard.edges.storage.uploads import Aside, Insertion, check_beforehand, hashes_of, insertion, write_all
from trainyard.objects import ConditionNotMet, Conditions, Draft, HashMismatch, ObjectHeld, Target

QUANTUM: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)\Z")


@dataclass(frozen=True, slots=True)
class Part:
    """What a Content-Range says: the offset of the first byte, how many, and of how many in all; None: not said."""

    offset: int | None
    size: int | None
    total: int | None
    to_the_end: bool = False  # no Content-Range at all: the body is all that is missing

    @property
    def last(self) -> bool:
        """Whether nothing comes behind it."""
        if self.to_the_end:
            return True
        return self.total is not None and self.offset is not None and self.offset + (self.size or 0) == self.total


class Sessions:
    """Resumable uploads under way; one request at a time works on each."""

    def __init__(self, places: Places, aside: Aside) -> None:
        """None at hand; those of earlier processes are in the store."""
        self._places = places
        self._aside = aside
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}

    async def begin(self, exchange: Exchange) -> Reply:
        """A new session, durable before its address is told."""
        call = exchange.call
        sent = json_object(await exchange.body())
        return await self.begin_for(exchange, insertion(call, sent, call.headers.get("x-upload-content-type", "")))

    async def begin_for(self, exchange: Exchange, said: Insertion) -> Reply:
        """The same for what was said in another form."""
        await exchange.drain()
        call = exchange.call
        length = call.headers.get("x-upload-content-length", "")
        note = {
            "bucket": said.bucket, "name": said.name, "attributes": said.attributes, "crc32c": said.crc32c,
            "md5": said.md5.hex() if said.md5 is not None else None, "full": call.full,
            "who": exchange.who,
            "conditions": _plain(call.conditions()), "total": int(length) if length.isdecimal() else None,
        }  # fmt: skip

        def open_session() -> str:
            check_beforehand(self._places, said, call)
            draft = self._places.store.draft()
            if said.md5 is not None:
                draft.want_md5()
            self._places.store.keep(draft, note)
            return draft.id

        upload_id = await self._aside(open_session)
        path = f"upload/storage/v1/b/{quote(said.bucket, safe='')}/o"
        query = urlencode({"uploadType": "resumable", "name": said.name, "upload_id": upload_id})
        return Reply(200, None, (
            (b"location", f"{call.base}/{path}?{query}".encode()), (b"x-guploader-uploadid", upload_id.encode()),
        ))  # fmt: skip

    async def who(self, upload_id: str) -> str:
        """Who began an upload; raises NotFound."""
        _, note = await self._session(upload_id)
        return str(note["who"])

    async def _session(self, upload_id: str) -> tuple[Draft | None, Mapping[str, Any]]:
        """What was kept of an upload; raises NotFound, also for the id of what is no resumable upload."""
        draft, note = await self._aside(self._places.store.kept, upload_id)
        if "who" not in note:
            raise NotFound(f"No such upload: {upload_id}")
        return draft, note

    async def go_on(self, exchange: Exchange) -> Reply:
        """PUT: more bytes, or a question how many there are."""
        upload_id = exchange.call.text("upload_id")
        async with self.alone(upload_id):
            draft, note = await self._session(upload_id)
            if draft is None or "done" in note:
                await exchange.drain()
                return await self._reply(self._finished, exchange.call, note)
            part = read_range(exchange.headers)
            _agree(part, note)
            if part.offset is None:
                await exchange.drain()
            else:
                await self._append(exchange, draft, note, part)
            if not part.to_the_end and draft.size != part.total:
                return _so_far(draft)
            return await self._reply(self._complete, exchange.call, draft, note)

    async def cancel(self, exchange: Exchange) -> Reply:
        """DELETE: forget the session; the original answers 499."""
        upload_id = exchange.call.text("upload_id")
        async with self.alone(upload_id):
            await self._session(upload_id)
            await self._aside(self._places.store.forget, upload_id)
        return Reply(499)

    @contextlib.asynccontextmanager
    async def alone(self, upload_id: str) -> AsyncIterator[None]:
        """Within it, no other request works on the upload."""
        lock, waiting = self._busy.get(upload_id, (asyncio.Lock(), 0))
        self._busy[upload_id] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._busy.pop(upload_id)
            if waiting > 1:
                self._busy[upload_id] = (lock, waiting - 1)

    async def _append(self, exchange: Exchange, draft: Draft, note: Mapping[str, Any], part: Part) -> None:
        """Bytes behind those that are there; what is there already is skipped, what would leave a gap refused."""
        assert part.offset is not None
        if part.offset > draft.size:
            await exchange.drain()
            raise HttpFault(
                400, "invalid",
                f"Invalid request.  According to the Content-Range header, the upload offset is {part.offset} byte(s), "
                f"which exceeds already uploaded size of {draft.size} byte(s).",
            )  # fmt: skip
        if not part.last and part.size is not None and part.size < QUANTUM:
            await exchange.drain()
            raise HttpFault(
                400, "invalid",
                "Invalid request.  The number of bytes uploaded is required to be equal or greater than 262144, except "
                "for the final request (it's recommended to be the exact multiple of 262144).  The received request "
                f"contained {part.size} bytes, which does not meet this requirement.",
            )  # fmt: skip
        incoming = _Incoming(exchange, part, draft.size - part.offset)
        try:
            await write_all(draft, incoming.pieces(), self._aside)
        except Disconnected:
            await asyncio.shield(self._aside(self._places.store.keep, draft, note))
            raise
        await self._aside(self._places.store.keep, draft, note)
        incoming.check()

    async def _reply(self, function: Callable[..., Reply], *arguments: Any) -> Reply:
        reply: Reply = await self._aside(function, *arguments)
        return reply

    def _complete(self, call: Call, draft: Draft, note: Mapping[str, Any]) -> Reply:
        crc32c, md5 = hashes_of({}, call.headers)
        known_md5 = bytes.fromhex(note["md5"]) if note["md5"] else None
        target = Target(
            note["bucket"], note["name"], note["attributes"], Conditions(**note["conditions"]),
            note["crc32c"] if crc32c is None else crc32c, known_md5 if md5 is None else md5,
        )  # fmt: skip
        try:
            stored = self._places.store.put(draft, target)
        except (HashMismatch, ConditionNotMet, ObjectHeld):
            self._places.store.forget(draft.id)
            raise
        self._places.store.keep(draft, {**note, "done": stored.generation})
        return Reply(body=object_resource(stored, call.base, full=note["full"]))

    def _finished(self, call: Call, note: Mapping[str, Any]) -> Reply:
        """A session that has become an object answers with it as often as it is asked."""
        store, name = self._places.store, (note["bucket"], note["name"])
        try:
            stored = store.stat(*name, note.get("done"))
        except NotFound:
            raise HttpFault(410, "gone", "The object of this upload has been replaced or deleted.") from None
        return Reply(body=object_resource(stored, call.base, full=note["full"]))


class _Incoming:
    """The body of one PUT, cut to what the session takes of it."""

    def __init__(self, exchange: Exchange, part: Part, skip: int) -> None:
        self._exchange = exchange
        self._part = part
        self._skip = skip
        self._came = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is new of it; of a part that is not the last, whole quanta only."""
        held = b""
        position = (self._part.offset or 0) + self._skip
        async for chunk in self._exchange.chunks():
            before, self._came = self._came, self._came + len(chunk)
            end = None if self._part.size is None else max(0, self._part.size - before)
            fresh = chunk[max(0, self._skip - before) : end]
            if self._part.last:
                yield fresh
                continue
            held += fresh
            whole = len(held) - (position + len(held)) % QUANTUM
            if whole > 0:
                yield held[:whole]
                position += whole
                held = held[whole:]

    def check(self) -> None:
        """Raise HttpFault where the body was not as long as its Content-Range said."""
        if self._part.size is not None and self._came != self._part.size:
            first = self._part.offset or 0
            raise HttpFault(
                400, "invalid",
                f"Invalid request.  There were {self._came} byte(s) in the request body.  There should have been "
                f"{self._part.size} byte(s) (starting at offset {first} and ending at offset "
                f"{first + self._part.size - 1}) according to the Content-Range header.",
            )  # fmt: skip


def read_range(headers: Mapping[str, str]) -> Part:
    """What a PUT brings. Raises HttpFault (400) for a Content-Range that cannot be meant."""
    text = headers.get("content-range")
    length = headers.get("content-length", "")
    if text is None:
        return Part(0, int(length) if length.isdecimal() else None, None, to_the_end=True)
    found = _RANGE.match(text.strip())
    if found is None:
        raise _bad_range(text)
    first, last, total = found.groups()
    whole = None if total == "*" else int(total)
    if first is None:
        return Part(None, None, whole)
    if int(last) < int(first) or (whole is not None and int(last) >= whole):
        raise _bad_range(text)
    return Part(int(first), int(last) - int(first) + 1, whole)


def _bad_range(text: str) -> HttpFault:
    return HttpFault(400, "invalid", f"Invalid request.  Failed to parse Content-Range header: {text!r}.")


def _agree(part: Part, note: Mapping[str, Any]) -> None:
    """Raise HttpFault where a request counts the whole otherwise than the session's first one."""
    if part.total is not None and note["total"] is not None and part.total != note["total"]:
        raise HttpFault(
            400, "invalid",
            f"Invalid request.  The upload was begun with {note['total']} bytes in all, not with {part.total}.",
        )  # fmt: skip


def _so_far(draft: Draft) -> Reply:
    got = ((b"range", b"bytes=0-%d" % (draft.size - 1)),) if draft.size else ()
    return Reply(308, None, got)


def _plain(conditions: Conditions) -> dict[str, int | None]:
    return {name: getattr(conditions, name) for name in conditions.__slots__}
