"""The texts that proto3 JSON gives to times, durations, masks and bytes, both ways; nothing here knows a message.

Readers raise Refused for whatever is not exactly such a text. Rules: protobuf.dev/programming-guides/json.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from datetime import date
from functools import lru_cache

NANOS = 1_000_000_000
MAX_DURATION_SECONDS = 315_576_000_000  # ten thousand years, by google/protobuf/duration.proto
MIN_TIMESTAMP_SECONDS = -62_135_596_800  # 0001-01-01T00:00:00Z
MAX_TIMESTAMP_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59Z
_EPOCH_DAY = date(1970, 1, 1).toordinal()

_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s", re.ASCII)
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))",
    re.ASCII,
)
_URL_SAFE = str.maketrans("-_", "+/")


class Refused(Exception):
    """The JSON value is not of the field's type; who catches it says where, and never lets it out of the codec."""


def read_duration(text: object) -> tuple[int, int]:
    """`-3.5s` -> (seconds, nanos), both of one sign."""
    found = _DURATION.fullmatch(text) if type(text) is str else None
    if found is None:
        raise Refused
    sign = -1 if found[1] else 1
    seconds, nanos = int(found[2]), int((found[3] or "").ljust(9, "0"))
    if seconds * NANOS + nanos > MAX_DURATION_SECONDS * NANOS:
        raise Refused
    return sign * seconds, sign * nanos


def write_duration(seconds: int, nanos: int) -> str:
    """(3, 500000000) -> `3.500s`; the fraction has 0, 3, 6 or 9 digits. Never raises, whatever came over the wire."""
    total = seconds * NANOS + nanos
    whole, rest = divmod(abs(total), NANOS)
    return f"{'-' if total < 0 else ''}{whole}{_fraction(rest)}s"


def read_timestamp(text: object) -> tuple[int, int]:
    """`2026-01-02T03:04:05.5Z`, or with an offset instead of Z -> (seconds since the epoch, nanos)."""
    found = _TIMESTAMP.fullmatch(text) if type(text) is str else None
    if found is None:
        raise Refused
    try:
        day = date(int(found[1]), int(found[2]), int(found[3])).toordinal() - _EPOCH_DAY
    except ValueError:
        raise Refused from None
    seconds = day * 86400 + int(found[4]) * 3600 + int(found[5]) * 60 + int(found[6])
    if found[8]:
        offset = int(found[9]) * 3600 + int(found[10]) * 60
        seconds -= offset if found[8] == "+" else -offset
    if not MIN_TIMESTAMP_SECONDS <= seconds <= MAX_TIMESTAMP_SECONDS:
        raise Refused
    return seconds, int((found[7] or "").ljust(9, "0"))


def write_timestamp(seconds: int, nanos: int) -> str:
    """(0, 5000000) -> `1970-01-01T00:00:00.005Z`; a time outside the years 1 to 9999 is drawn to the nearest end."""
    if not 0 <= nanos < NANOS:
        seconds, nanos = divmod(seconds * NANOS + nanos, NANOS)
    if not MIN_TIMESTAMP_SECONDS <= seconds <= MAX_TIMESTAMP_SECONDS:
        seconds = min(max(seconds, MIN_TIMESTAMP_SECONDS), MAX_TIMESTAMP_SECONDS)
    minute, second = divmod(seconds, 60)
    day, minute = divmod(minute, 1440)
    return f"{_day_text(day)}{_minute_text(minute)}{second:02}{_fraction(nanos)}Z"


@lru_cache(maxsize=1024)
def _day_text(day: int) -> str:
    """`1970-01-01`. Most answers name the same few days; `date` takes longer than the rest of the text."""
    return date.fromordinal(day + _EPOCH_DAY).isoformat()


@lru_cache(maxsize=1440)
def _minute_text(minute: int) -> str:
    """`T00:00:`."""
    return f"T{minute // 60:02}:{minute % 60:02}:"


def _fraction(nanos: int) -> str:
    if nanos == 0:
        return ""
    if nanos % 1_000_000 == 0:
        return f".{nanos // 1_000_000:03}"
    if nanos % 1_000 == 0:
        return f".{nanos // 1_000:06}"
    return f".{nanos:09}"


def snake(name: str) -> str:
    """Write displayName as display_name; snake_case stays."""
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def camel(name: str) -> str:
    """Write display_name as displayName."""
    return re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), name)


def read_bytes(text: object) -> bytes:
    """Base64 in the standard or the URL-safe alphabet, with or without padding."""
    if type(text) is not str:
        raise Refused
    bare = text.rstrip("=").translate(_URL_SAFE)
    try:
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Refused from None
