"""Bodies of several parts: multipart/related as it streams in (RFC 2387), multipart/mixed as a whole (batches).

Lines end in CRLF, or in LF alone where the first boundary's does: some clients write so.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from email.message import Message
from typing import Final

from trainyard.edges.storage.faults import HttpFault

MOST_HEAD_BYTES: Final = 64 * 1024
_BLANK: Final = re.compile(rb"\r?\n\r?\n")


class RelatedBody:
    """The parts of a streaming body, one after the other: `part()` opens one, `data()` runs to its end."""

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        """Raises HttpFault where the type names no boundary."""
        self._chunks = chunks
        self._mark = b"--" + boundary_of(content_type)
        self._end = b""
        self._buffer = b""

    async def part(self) -> Mapping[str, str]:
        """The headers of the next part, by lower-case name. Raises HttpFault where there is none."""
        if not self._end:
            await self._opening()
        while not (found := _BLANK.search(self._buffer)) and not self._buffer.startswith((b"\n", b"\r\n")):
            if len(self._buffer) > MOST_HEAD_BYTES:
                raise malformed("a part's headers do not end")
            await self._more()
        if self._buffer.startswith((b"\n", b"\r\n")):
            self._buffer = self._buffer.split(b"\n", 1)[1]
            return {}
        assert found is not None
        head, self._buffer = self._buffer[: found.start()], self._buffer[found.end() :]
        return _headers(head)

    async def data(self) -> AsyncIterator[bytes]:
        """The bytes of the part that was opened. Raises HttpFault where the body ends before it does."""
        while (at := self._buffer.find(self._end)) < 0:
            safe = len(self._buffer) - len(self._end) + 1
            if safe > 0:
                ready, self._buffer = self._buffer[:safe], self._buffer[safe:]
                yield ready
            await self._more()
        ready, self._buffer = self._buffer[:at], self._buffer[at + len(self._end) :]
        if ready:
            yield ready
        while b"\n" not in self._buffer and not self._buffer.startswith(b"--"):
            await self._more()
        if not self._buffer.startswith(b"--"):
            self._buffer = self._buffer.split(b"\n", 1)[1]

    async def _opening(self) -> None:
        while b"\n" not in self._buffer[self._buffer.find(self._mark) + 1 :] or self._mark not in self._buffer:
            if len(self._buffer) > MOST_HEAD_BYTES:
                raise malformed("the first boundary is missing")
            await self._more()
        line, self._buffer = self._buffer[self._buffer.find(self._mark) :].split(b"\n", 1)
        self._end = (b"\r\n" if line.endswith(b"\r") else b"\n") + self._mark

    async def _more(self) -> None:
        async for chunk in self._chunks:
            self._buffer += chunk
            return
        raise malformed("it ends in the middle of a part")


def mixed_parts(content_type: str, body: bytes) -> Iterator[tuple[Mapping[str, str], bytes]]:
    """Headers and content of every part of a whole body. Raises HttpFault."""
    mark = b"--" + boundary_of(content_type)
    pieces = re.split(rb"(?:^|\r?\n)" + re.escape(mark) + rb"(?=--|[ \t]*\r?\n)", body)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return
        head, _, content = _partition(piece.split(b"\n", 1)[1] if b"\n" in piece else b"")
        yield _headers(head), content
    raise malformed("its last boundary is missing")


def split_head(message: bytes) -> tuple[bytes, bytes]:
    """What stands before the first empty line, and what behind it."""
    head, _, content = _partition(message)
    return head, content


def boundary_of(content_type: str) -> bytes:
    """The boundary that a content type names. Raises HttpFault."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if not boundary or not isinstance(boundary, str):
        raise malformed("its Content-Type names no boundary")
    return boundary.encode("latin-1", "replace")


def malformed(why: str) -> HttpFault:
    """The fault for a body that is not what its Content-Type says."""
    return HttpFault(400, "badRequest", f"Malformed multipart body: {why}.")


def _partition(message: bytes) -> tuple[bytes, bytes, bytes]:
    if message.startswith((b"\n", b"\r\n")):
        return b"", b"", message.split(b"\n", 1)[1]
    found = _BLANK.search(message)
    return (message[: found.start()], b"", message[found.end() :]) if found else (message, b"", b"")


def _headers(head: bytes) -> Mapping[str, str]:
    found = {}
    for line in head.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        found[name.strip().lower()] = value.strip()
    return found
