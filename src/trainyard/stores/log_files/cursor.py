"""A cursor says how far every file was read, in the cursor's own text: it needs no memory here and never expires.

The text is URL-safe: base64 of deflated JSON `{"v":1,"j":job,"n":last seq of the narration,"p":{source:position}}`.
A source is `attempt.replica.incarnation`, of a trial `search-3/attempt.replica.incarnation`; its position is 0 once it
is read to its end for good, else `[index bytes, stdout bytes, stderr bytes]`. A search has `"d"` too: the last of its
trials' jobs of which, as of all before it, nothing is left to read; their sources need not be listed. What a cursor
claims is never trusted further than as numbers.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from trainyard.core.errors import InvalidArgument

_VERSION = 1
_LARGEST_TEXT = 1 << 20  # characters of a cursor, and bytes of what it unfolds to times 16
_LARGEST_OFFSET = 1 << 62
_LARGEST_ID = 1 << 63

Position = tuple[int, int, int]  # bytes of index, stdout and stderr that are behind us
START: Position = (0, 0, 0)


@dataclass(slots=True)
class Cursor:
    """How far a reader has come in one job's output."""

    job_id: int
    narrated: int = 0
    positions: dict[str, Position | None] = field(default_factory=dict)  # None: read to its end for good
    done: int = 0

    def text(self) -> str:
        """The opaque form."""
        positions = {source: list(position) if position else 0 for source, position in self.positions.items()}
        said = {"v": _VERSION, "j": self.job_id, "n": self.narrated, "p": positions}
        plain = json.dumps({**said, "d": self.done} if self.done else said, separators=(",", ":"))
        return base64.urlsafe_b64encode(zlib.compress(plain.encode())).decode().rstrip("=")

    @classmethod
    def parse(cls, job_id: int, text: str) -> Cursor:
        """Read a cursor of this job; empty is the start. Raises InvalidArgument on anything that is none."""
        if not text:
            return cls(job_id)
        try:
            read = json.loads(_unfolded(text))
            version, job, narrated, positions, done = read["v"], read["j"], read["n"], read["p"], read.get("d", 0)
            if version != _VERSION or job != job_id or not _is_offset(narrated) or not 0 <= done < _LARGEST_ID:
                raise ValueError("not a cursor of this job")
            return cls(job_id, narrated, {str(source): _position(value) for source, value in positions.items()}, done)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error):
            raise InvalidArgument(
                "The log cursor is not one that was given out for this job; leave it empty to read from the start."
            ) from None


def _unfolded(text: str) -> bytes:
    if len(text) > _LARGEST_TEXT:
        raise ValueError("too long")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as odd:
        raise ValueError("not base64") from odd
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(packed, 16 * _LARGEST_TEXT)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("cut off, too large, or with something behind it")
    return plain


def _position(value: object) -> Position | None:
    if value == 0 and _is_offset(value):
        return None
    if isinstance(value, list) and len(value) == 3 and all(map(_is_offset, value)):
        return value[0] // 16 * 16, value[1], value[2]
    raise ValueError("not a position")


def _is_offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_OFFSET


def unread(positions: Mapping[str, Position | None], source: str) -> Position | None:
    """Where to go on in a source: the start where it is new, None where it is read to its end for good."""
    return positions.get(source, START)
