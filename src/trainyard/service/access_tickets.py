"""Tickets: short texts that the service signs for itself, so that it need not remember whom it let in.

A ticket says whose it is, what it is good for and until when; only the holder of the key in <data>/tickets.key can
have made it (HMAC-SHA256, RFC 2104). Runs get one to learn their access tokens by, clients one for a signed JWT.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainyard.whole_files import write_whole

KEY_NAME: Final = "tickets.key"
KEY_BYTES: Final = 32
PREFIX: Final = "tyt_"
ACCESS: Final = "access"
METADATA: Final = "metadata"
_MOST_BYTES: Final = 1024
_MAC_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Ticket:
    """`use`: what it is good for; `subject`: whose it is (`run/…`, `account/…`); `expires_s` 0: no time of its own."""

    use: str
    subject: str
    expires_s: int = 0
    read_only: bool = False


class Tickets:
    """Writes and reads tickets with one key."""

    def __init__(self, key: bytes) -> None:
        """`key` is secret and as random as KEY_BYTES bytes can be."""
        self._key = key

    def write(self, ticket: Ticket) -> str:
        """The text; the same for the same ticket."""
        mark = "r" if ticket.read_only else "w"
        body = f"{ticket.use} {ticket.subject} {ticket.expires_s} {mark}".encode()
        return PREFIX + base64.urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, text: str, use: str, now_s: float) -> Ticket | None:
        """The ticket; None where we have not written it, not for this use, or where its time is over."""
        if not text.startswith(PREFIX) or len(text) > _MOST_BYTES or not text.isascii():
            return None
        packed = text[len(PREFIX) :]
        try:
            content = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        mac, body = content[:_MAC_BYTES], content[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        given_use, subject, expires, mark = body.decode().split(" ")  # ours, so it has this form
        if given_use != use or 0 < int(expires) <= now_s:
            return None
        return Ticket(given_use, subject, int(expires), mark == "r")

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:_MAC_BYTES]


def ticket_key(data_dir: Path) -> bytes:
    """The key of a data directory, made where there is none; raises OSError.

    What runs while the server is replaced keeps its ticket, so the key lives as long as the directory.
    """
    path = data_dir / KEY_NAME
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != KEY_BYTES:
        key = secrets.token_bytes(KEY_BYTES)
        write_whole(path, key, durable=True)
    elif path.stat().st_mode & 0o077:
        os.chmod(path, 0o600)  # noqa: PTH101 - the one call that says it
    return key
