"""Batches: several calls in one multipart/mixed request, each answered on its own (no media in them, as the original).

Format: https://cloud.google.com/storage/docs/batch.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import orjson

from trainyard.core.errors import InvalidArgument
from trainyard.edges.storage.calls import Call, Reply, read_query, read_segments
from trainyard.edges.storage.exchange import Exchange
from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.multipart import malformed, mixed_parts, split_head

MOST_CALLS: Final = 1000
MOST_BYTES: Final = 10 * 1024 * 1024
_STATUS: Final = {200: "OK", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 404: "Not Found"}


async def batch(exchange: Exchange, answer: Callable[[Call], Awaitable[Reply]]) -> Reply:
    """All calls in order, one after the other."""
    content_type = exchange.headers.get("content-type", "")
    parts = list(mixed_parts(content_type, await exchange.body(MOST_BYTES)))
    if len(parts) > MOST_CALLS:
        raise HttpFault(400, "badRequest", f"A batch holds at most {MOST_CALLS} calls; this one has {len(parts)}.")
    boundary = f"batch_{secrets.token_urlsafe(18)}"
    out = []
    for headers, content in parts:
        reply = await answer(_call(exchange, content))
        out.append(_part(boundary, headers.get("content-id", ""), reply))
    body = b"".join((*out, f"--{boundary}--\r\n".encode()))
    return Reply(200, body, ((b"content-type", f'multipart/mixed; boundary="{boundary}"'.encode()),))


def _call(exchange: Exchange, content: bytes) -> Call:
    head, body = split_head(content)
    first, *lines = head.decode("latin-1").splitlines() or [""]
    words = first.split(" ")
    if len(words) < 2:
        raise malformed("a part does not begin with a request line")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    split = urlsplit(words[1])
    path = split.path if split.path.startswith("/") else f"/{split.path}"
    try:
        segments, query = read_segments(path), read_query(split.query)
    except InvalidArgument as error:
        raise malformed(error.message) from None
    return Call(words[0].upper(), segments, query, headers, exchange.call.base, raw_body=body.strip(),
                uniform=exchange.call.uniform)  # fmt: skip


def _part(boundary: str, content_id: str, reply: Reply) -> bytes:
    body = b"" if reply.body is None else orjson.dumps(reply.body)
    lines = [f"--{boundary}", "Content-Type: application/http"]
    if content_id:
        inner = content_id.strip("<>")
        lines.append(f"Content-ID: <response-{inner}>")
    lines += ["", f"HTTP/1.1 {reply.status} {_STATUS.get(reply.status, 'Status')}", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json; charset=UTF-8")
    return "\r\n".join((*lines, "", "")).encode() + body + b"\r\n"
