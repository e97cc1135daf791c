"""Media out: the bytes of one generation, whole or one range, in chunks that neither side has to hold as a whole.

Headers: https://cloud.google.com/storage/docs/xml-api/reference-headers. What is stored gzip-encoded is unpacked on
the way to clients that do not take gzip (https://cloud.google.com/storage/docs/transcoding).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from trainyard.edges.storage.calls import Call, refuse_encryption
from trainyard.edges.storage.exchange import CHUNK_BYTES, Exchange
from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.places import Places
from trainyard.edges.storage.resources import crc32c_text, etag
from trainyard.edges.storage.uploads import Aside
from trainyard.objects import Reader, StoredObject

AT_ONCE_BYTES: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")
_PASSED_ON: Final = {
    "cacheControl": b"cache-control",
    "contentDisposition": b"content-disposition",
    "contentEncoding": b"content-encoding",
    "contentLanguage": b"content-language",
}
NOTHING: Final[Mapping[bytes, bytes]] = {}
Header = tuple[bytes, bytes]


async def media(
    places: Places, exchange: Exchange, names: tuple[str, str], aside: Aside, instead: Mapping[bytes, bytes] = NOTHING
) -> None:
    """Answer with the bytes; `instead`: headers in place of the object's own."""
    call = exchange.call
    stored, reader, first = await aside(_opened, places, call, names)
    try:
        headers = [*(each for each in _headers(stored) if each[0] not in instead), *instead.items()]
        if _to_unpack(stored, call):
            await _send_unpacked(exchange, stored, reader, aside, headers)
            return
        begin, end, status = _span(call.headers.get("range", ""), stored.size)
        if status == 206:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (begin, end - 1, stored.size)))
        headers.append((b"content-length", b"%d" % (end - begin)))
        if exchange.scope["method"] == "HEAD" or begin == end:
            await exchange.whole(status, headers, b"")
        elif first is not None:
            await exchange.whole(status, headers, first[begin:end])
        else:
            await exchange.start(status, headers)
            await _send(exchange, _read(reader, begin, end, aside))
    finally:
        await aside(reader.close)


def _opened(places: Places, call: Call, names: tuple[str, str]) -> tuple[StoredObject, Reader, bytes | None]:
    """The object, its bytes, and all of them at once where they are few."""
    refuse_encryption(call)
    stored, reader = places.store.open(*names, call.number("generation"))
    try:
        call.conditions().check(stored.generation, stored.metageneration, reading=True)
        first = reader.read(0, stored.size) if stored.size <= AT_ONCE_BYTES else None
    except BaseException:
        reader.close()
        raise
    return stored, reader, first


def _headers(stored: StoredObject) -> list[Header]:
    attributes = stored.attributes
    hashes = [] if stored.crc32c is None else [f"crc32c={crc32c_text(stored.crc32c)}"]
    hashes += [] if stored.md5 is None else [f"md5={base64.b64encode(stored.md5).decode()}"]
    changed = datetime.fromtimestamp(stored.updated_us // 1_000_000, UTC)
    headers = [
        (b"content-type", _line(attributes.get("contentType", "application/octet-stream"))),
        (b"accept-ranges", b"bytes"),
        (b"etag", etag(stored).encode()),
        (b"last-modified", format_datetime(changed, usegmt=True).encode()),
        (b"x-goog-generation", b"%d" % stored.generation),
        (b"x-goog-metageneration", b"%d" % stored.metageneration),
        (b"x-goog-stored-content-length", b"%d" % stored.size),
        (b"x-goog-stored-content-encoding", _line(attributes.get("contentEncoding", "identity"))),
        (b"x-goog-storage-class", _line(attributes.get("storageClass", "STANDARD"))),
        *((header, _line(attributes[name])) for name, header in _PASSED_ON.items() if name in attributes),
    ]
    if hashes:
        headers.append((b"x-goog-hash", ",".join(hashes).encode()))
    return headers


def _span(asked: str, size: int) -> tuple[int, int, int]:
    """First byte, the byte behind the last, and the status. A range that is none is ignored (RFC 9110, 14.2).

    Raises HttpFault (416) where no byte of it is there.
    """
    found = _RANGE.match(asked.strip())
    if not found or found.groups() == ("", ""):
        return 0, size, 200
    first, last = found.groups()
    begin = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return 0, size, 200
    if begin >= end:
        raise HttpFault(
            416, "requestedRangeNotSatisfiable", "Request range not satisfiable",
            ((b"content-range", b"bytes */%d" % size),),
        )  # fmt: skip
    return begin, end, 206


def _to_unpack(stored: StoredObject, call: Call) -> bool:
    if stored.attributes.get("contentEncoding", "").lower() != "gzip":
        return False
    kept = "no-transform" in stored.attributes.get("cacheControl", "").lower()
    return not kept and "gzip" not in call.headers.get("accept-encoding", "").lower()


async def _read(reader: Reader, begin: int, end: int, aside: Aside) -> AsyncIterator[bytes]:
    """Chunks in order, the next one read while the last one is sent."""
    coming = asyncio.ensure_future(aside(reader.read, begin, min(CHUNK_BYTES, end - begin)))
    try:
        while begin < end:
            chunk = await coming
            begin += len(chunk)
            if begin < end:
                coming = asyncio.ensure_future(aside(reader.read, begin, min(CHUNK_BYTES, end - begin)))
            yield chunk
    finally:
        if not coming.done():
            with contextlib.suppress(OSError):
                await coming  # the file must not be closed under the thread that reads it


async def _send(exchange: Exchange, chunks: AsyncIterator[bytes]) -> None:
    gone = asyncio.ensure_future(exchange.gone())
    try:
        async with contextlib.aclosing(chunks) as flow:  # type: ignore[type-var]  # an async generator, as written above
            async for chunk in flow:
                if gone.done():
                    return
                await exchange.write(chunk)
        await exchange.finish()
    finally:
        gone.cancel()


async def _send_unpacked(
    exchange: Exchange, stored: StoredObject, reader: Reader, aside: Aside, headers: list[Header]
) -> None:
    """Whole always: an offset in what is unpacked is not one in what is stored."""
    shown = [header for header in headers if header[0] not in (b"content-encoding", b"accept-ranges")]
    shown.append((b"warning", b"214 UploadServer gunzipped"))
    await exchange.start(200, shown)
    if exchange.scope["method"] == "HEAD":
        await exchange.finish()
        return
    await _send(exchange, _unpacked(_read(reader, 0, stored.size, aside)))


async def _unpacked(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    async for chunk in chunks:
        rest = chunk
        while rest:
            plain = unpacker.decompress(rest, CHUNK_BYTES)
            if plain:
                yield plain
            rest = unpacker.unconsumed_tail
            if unpacker.eof:
                rest, unpacker = unpacker.unused_data, zlib.decompressobj(wbits=31)


def _line(text: str) -> bytes:
    return text.encode("utf-8", "replace")
