"""Cloud Logging, as far as its clients use it for jobs: pages of entries, and a tail that goes on while it is read.

What is here is what jobs wrote; nothing is written through it (https://docs.cloud.google.com/logging/docs/reference/v2).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from trainyard.core.errors import FieldViolation, InvalidArgument, Unimplemented
from trainyard.service.access import require
from trainyard.service.log_entries import Key, fill
from trainyard.service.log_search import MOST_JOBS, Entry, Search, Source, ascending, descending
from trainyard.service.rendering import message

if TYPE_CHECKING:
    from trainyard.service.call import Call

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000
LONGEST_TOKEN = 1 << 18
SHORTEST_WINDOW_SECONDS, USUAL_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS = 0.1, 2.0, 60.0
MOST_TAILED_AT_ONCE = 1000
PERMISSION = "logging.logEntries.list"


async def list_(call: Call, request: Any) -> Any:
    """One page of entries. Raises InvalidArgument on a bad filter, order, size, token or resource."""
    search = _search(call, request)
    backwards = _backwards(request.order_by)
    size = _size(request.page_size)
    asked = _digest(*sorted(request.resource_names), request.filter, str(backwards))
    token = _read_token(request.page_token, asked)
    answer = message("google.logging.v2.ListLogEntriesResponse")
    if backwards:
        entries, below = await descending(search, _key(token), size)
        next_token: Mapping[str, Any] = {"below": list(below)} if below else {}
    else:
        entries, cursors = await ascending(search, _cursors(token), size)
        next_token = {"cursors": cursors} if cursors else {}
    for entry in entries:
        fill(entry, answer.entries.add())
    if next_token:
        answer.next_page_token = _write_token({"asked": asked, **next_token})
    return answer


async def tail(call: Call, request: Any) -> NoReturn:  # noqa: ARG001 - the signature of every handler
    """Raises Unimplemented: a tail is a stream both ways, which plain HTTP has not."""
    raise Unimplemented(
        "entries:tail goes both ways and is spoken over gRPC, on this same port; over HTTP, follow one job with "
        "GET /trainyard/v1/{job}/logs?follow=true."
    )


async def tailed(call: Call, requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """Entries written from now on, in groups by `buffer_window`, until the caller goes away.

    A later request of the same stream takes the first one's place. Raises InvalidArgument as `list_` does, and
    Unauthenticated once the caller's credential is revoked.
    """
    first = await anext(aiter(requests), None)
    if first is None:
        return
    latest = [first]
    listening = asyncio.ensure_future(_listen(requests, latest))
    try:
        start_ns = call.keepers.clock.now_us() * 1000
        sources: dict[int, Source] = {}
        search, window = _search(call, first), _window(first.buffer_window)
        yield message("google.logging.v2.TailLogEntriesResponse")  # Google's Python client waits for a first one
        while True:
            request = latest[-1]
            search, window = _search(call, request), _window(request.buffer_window)
            for entries in await _news(search, sources, start_ns):
                answer = message("google.logging.v2.TailLogEntriesResponse")
                for entry in entries:
                    fill(entry, answer.entries.add())
                yield answer
            await _rest(call, window)
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def _rest(call: Call, window: float) -> None:
    """Wait the window out, looking every now and then whether the caller may still listen."""
    while window > 0:
        await asyncio.sleep(min(window, USUAL_WINDOW_SECONDS))
        window -= USUAL_WINDOW_SECONDS
        call.access.recheck(call.caller)


async def _listen(requests: AsyncIterator[Any], latest: list[Any]) -> None:
    async for request in requests:
        latest[:] = [request]


async def _news(search: Search, sources: dict[int, Source], start_ns: int) -> list[list[Entry]]:
    """What was written since the last look, in order of time, in groups of at most MOST_TAILED_AT_ONCE."""
    jobs = {job.id: job for job in await search.jobs()}
    for job_id in [each for each in sources if each not in jobs]:
        del sources[job_id]
    entries: list[Entry] = []
    for job in jobs.values():
        if job.id not in sources and job.is_final and (job.status.end_time_us or 0) * 1000 < start_ns:
            continue
        source = sources.setdefault(job.id, Source(search.view(job)))
        source.view, source.more = search.view(job), True
        while source.more:
            await source.fill(search, MOST_TAILED_AT_ONCE)
            found = (search.entry(source.view, source.take()) for _ in range(len(source.lines)))
            entries += (entry for entry in found if entry is not None and entry["timestamp"] >= start_ns)
            await asyncio.sleep(0)
    entries.sort(key=lambda entry: (entry["timestamp"], entry["insertId"]))
    return [entries[at : at + MOST_TAILED_AT_ONCE] for at in range(0, len(entries), MOST_TAILED_AT_ONCE)]


def _search(call: Call, request: Any) -> Search:
    for name in request.resource_names:
        require(call.access, call.caller, PERMISSION, name)
    return Search.of(call.keepers.desk, call.keepers.logbook, request.resource_names, request.filter)


def _backwards(order_by: str) -> bool:
    match order_by.split():
        case [] | ["timestamp"] | ["timestamp", "asc"]:
            return False
        case ["timestamp", "desc"]:
            return True
    raise _bad("order_by", f'order_by is "timestamp asc" or "timestamp desc", not {order_by!r}.')


def _size(page_size: int) -> int:
    if page_size < 0:
        raise _bad("page_size", f"page_size must not be negative, but is {page_size}.")
    return min(page_size or DEFAULT_PAGE, LARGEST_PAGE)


def _window(duration: Any) -> float:
    if not duration.seconds and not duration.nanos:
        return USUAL_WINDOW_SECONDS
    seconds: float = duration.seconds + duration.nanos / 1e9
    if not 0 <= seconds <= LONGEST_WINDOW_SECONDS:
        raise _bad("buffer_window", f"buffer_window is between 0 and {LONGEST_WINDOW_SECONDS:g} seconds.")
    return max(seconds, SHORTEST_WINDOW_SECONDS)


def _digest(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=9)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def _write_token(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode())).decode().rstrip("=")


def _read_token(token: str, asked: str) -> Mapping[str, Any]:
    """What a token of this very list holds; empty for none. Raises InvalidArgument."""
    if not token:
        return {}
    try:
        packed = base64.b64decode(token[:LONGEST_TOKEN] + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        value = json.loads(zlib.decompressobj().decompress(packed, 4 * LONGEST_TOKEN))
        if value["asked"] == asked and (_key(value) or _cursors(value)):
            return dict(value)
    except (binascii.Error, zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise _bad("page_token", "page_token is not one that this list gave; it goes with the same resources and filter.")


def _key(token: Mapping[str, Any]) -> Key | None:
    if "below" not in token:
        return None
    time_ns, insert_id = token["below"]
    return int(time_ns), str(insert_id)


def _cursors(token: Mapping[str, Any]) -> Mapping[str, str] | None:
    if "cursors" not in token:
        return None
    pairs: Sequence[tuple[str, str]] = list(token["cursors"].items())
    if len(pairs) > MOST_JOBS or not all(job.isdecimal() and int(job) < 2**63 for job, _ in pairs):
        raise ValueError("not cursors of jobs")
    return {str(int(job)): str(cursor) for job, cursor in pairs}


def _bad(field: str, message_text: str) -> InvalidArgument:
    return InvalidArgument(message_text, [FieldViolation(field, message_text)])
