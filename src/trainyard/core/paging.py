"""Page sizes and page tokens: a token goes on exactly the list that it was given for, and nothing else.

Rules of https://google.aip.dev/158: a size of 0 means the default, a negative one is refused, a huge one is clamped;
a token is opaque, never expires, and is refused with another parent or filter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from trainyard.core.errors import FieldViolation, InvalidArgument

DEFAULT_PAGE_SIZE = 100
LARGEST_PAGE_SIZE = 1000

_VERSION = b"\x01"
_NUMBER_BYTES = 8
_DIGEST_BYTES = 8


def page_size(asked: int) -> int:
    """How many items to give; raises InvalidArgument on a negative number."""
    if asked < 0:
        message = f"page_size must not be negative, but is {asked}."
        raise InvalidArgument(message, [FieldViolation("page_size", message)])
    return min(asked, LARGEST_PAGE_SIZE) if asked else DEFAULT_PAGE_SIZE


def write_token(after: int | None, *context: str) -> str:
    """The token to go on below id `after`; empty for None. `context`: scope, collection, filter text and the like."""
    if after is None:
        return ""
    number = after.to_bytes(_NUMBER_BYTES, "big")
    return base64.urlsafe_b64encode(_VERSION + number + _digest(number, context)).decode().rstrip("=")


def read_token(token: str, *context: str) -> int | None:
    """The id to go on below; None for an empty token. Raises InvalidArgument on one that is not from this list."""
    if not token:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    number = raw[len(_VERSION) : len(_VERSION) + _NUMBER_BYTES]
    # Comparing the whole text also refuses a second spelling of the same bytes.
    if len(number) < _NUMBER_BYTES or write_token(int.from_bytes(number, "big"), *context) != token:
        message = "page_token is not one that this list gave; a token goes with the same parent and the same filter."
        raise InvalidArgument(message, [FieldViolation("page_token", message)])
    return int.from_bytes(number, "big")


def _digest(number: bytes, context: tuple[str, ...]) -> bytes:
    digest = hashlib.blake2b(number, digest_size=_DIGEST_BYTES)
    for part in context:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()
