"""The exact bytes of a replica's output over HTTP, of any size in little memory, whole or one range (RFC 9110, 14)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from trainyard.core.errors import Code
from trainyard.edges.rest.exchange import Exchange, Refusal

CHUNK_BYTES: Final = 512 * 1024
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)\Z")


class File(AbstractContextManager["File"], Protocol):
    """One file, open for reading."""

    size: int

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from the offset."""


Opener = Callable[[str], File]
"""Opens a path; raises FileNotFoundError."""


async def send_files(exchange: Exchange, paths: Sequence[str], opener: Opener) -> None:
    """Answer with the files one after the other, as long as they are at this moment."""
    sizes = [size_of(path, opener) for path in paths]
    total = sum(sizes)
    asked = exchange.headers.get("range")
    first, last = (0, total - 1) if asked is None else parse_range(asked, total)
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"accept-ranges", b"bytes"),
        (b"content-length", b"%d" % (last - first + 1)),
    ]
    if (first, last) != (0, total - 1):
        headers.append((b"content-range", b"bytes %d-%d/%d" % (first, last, total)))
    await exchange.start(200 if asked is None else 206, headers)
    if exchange.scope["method"] != "HEAD":
        await _send_pieces(exchange, slices(list(zip(paths, sizes, strict=True)), first, last + 1), opener)
    await exchange.finish()


def size_of(path: str, opener: Opener) -> int:
    """Its size now; 0 where it has not been made yet."""
    try:
        with opener(path) as file:
            return file.size
    except FileNotFoundError:
        return 0


def parse_range(asked: str, total: int) -> tuple[int, int]:
    """First and last byte of a Range header with one range; the whole for what the standard lets us ignore.

    Raises Refusal (416) where no byte of it is there.
    """
    match = _RANGE.match(asked.strip())
    if not match or match.groups() == ("", ""):
        return 0, total - 1
    start, end = match.groups()
    if not start:
        first, last = max(0, total - int(end)), total - 1
    else:
        first, last = int(start), min(int(end), total - 1) if end else total - 1
    if first > last:
        sentence = f"The range {asked!r} lies outside of the {total} bytes that there are."
        raise Refusal(416, Code.OUT_OF_RANGE, sentence, {"content-range": f"bytes */{total}"})
    return first, last


def slices(files: Sequence[tuple[str, int]], start: int, stop: int) -> Iterator[tuple[str, int, int]]:
    """Path, offset and length of what lies between two offsets of the files laid end to end."""
    base = 0
    for path, size in files:
        first, last = max(start - base, 0), min(stop - base, size)
        if first < last:
            yield path, first, last - first
        base += size


async def _send_pieces(exchange: Exchange, pieces: Iterator[tuple[str, int, int]], opener: Opener) -> None:
    loop = asyncio.get_running_loop()
    gone = asyncio.ensure_future(exchange.gone())
    try:
        for path, start, length in pieces:
            with opener(path) as file:
                for offset in range(start, start + length, CHUNK_BYTES):
                    if gone.done():
                        return
                    size = min(CHUNK_BYTES, start + length - offset)
                    data = await loop.run_in_executor(None, file.pread, size, offset)
                    if len(data) < size:
                        raise OSError(f"{path} has become shorter while it was sent")
                    await exchange.write(data)
    finally:
        gone.cancel()
