"""One call of the JSON API: its names decoded exactly once, its parameters read strictly, its answer plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from trainyard.core.errors import InvalidArgument
from trainyard.objects import Conditions

MOST_PAGE: Final = 1000
MOST_METADATA_BYTES: Final = 1024 * 1024
_LARGEST: Final = 2**63 - 1
_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCRYPTED: Final = "x-goog-encryption-"
_SOURCE_ENCRYPTED: Final = "x-goog-copy-source-encryption-"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: `body` is JSON's plain data, or None for an empty one."""

    status: int = 200
    body: Any = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A call; `path` are the decoded segments behind the API's prefix, header names are lower case."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str]
    base: str  # http://host:port, as the client wrote it
    names: tuple[str, ...] = ()  # what stood in the places of the route's stars
    raw_body: bytes = b""
    uniform: bool = False  # whether policies of buckets count, and access controls are refused (uniform.py)

    def text(self, name: str, default: str = "") -> str:
        """A parameter; the last one counts where there are several."""
        return self.query[name][-1] if name in self.query else default

    def flag(self, name: str) -> bool:
        """A parameter that is true or false."""
        return {"true": True, "false": False, "": False}.get(self.text(name).lower(), False) or self._not_bool(name)

    def number(self, name: str) -> int | None:
        """A parameter that is a number of 64 bits, not negative; None where it is missing."""
        value = self.text(name)
        if not value:
            return None
        if not (value.isascii() and value.isdecimal() and int(value) <= _LARGEST):
            raise InvalidArgument(f"Invalid value for parameter {name}: {value!r} is not a number.", reason="invalid")
        return int(value)

    def conditions(self, infix: str = "") -> Conditions:
        """The preconditions; `infix` Source for those of a copy's source."""
        return Conditions(
            self.number(f"if{infix}GenerationMatch"),
            self.number(f"if{infix}GenerationNotMatch"),
            self.number(f"if{infix}MetagenerationMatch"),
            self.number(f"if{infix}MetagenerationNotMatch"),
        )

    @property
    def full(self) -> bool:
        """Whether access controls are asked for too."""
        return self.text("projection") == "full"

    def page_size(self) -> int:
        """How many at most."""
        asked = self.number("maxResults")
        return min(asked, MOST_PAGE) if asked else MOST_PAGE

    def json(self) -> dict[str, Any]:
        """The body, an object or nothing. Raises InvalidArgument."""
        return json_object(self.raw_body)

    def _not_bool(self, name: str) -> bool:
        if self.text(name).lower() in ("true", "false", ""):
            return False
        raise InvalidArgument(f"Invalid value for parameter {name}: {self.text(name)!r} is neither true nor false.")


def json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object, empty where there is nothing. Raises InvalidArgument."""
    if not raw.strip():
        return {}
    if len(raw) > MOST_METADATA_BYTES:
        raise InvalidArgument(f"The metadata is larger than {MOST_METADATA_BYTES} bytes.")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"Parse Error: {error}", reason="parseError") from None
    if not isinstance(value, dict):
        raise InvalidArgument("Parse Error: the body is not a JSON object.", reason="parseError")
    return value


def read_segments(raw_path: str) -> tuple[str, ...]:
    """The segments of a path as it came, split before they are decoded, each decoded once. Raises InvalidArgument."""
    return tuple(decoded(segment) for segment in raw_path.split("/")[1:])


def decoded(text: str) -> str:
    """Percent-encoding undone once, never twice: `%252e` is `%2e`. Raises InvalidArgument."""
    if _PERCENT.search(text):
        raise InvalidArgument(f"{text!r} is not percent-encoded: a % has to be followed by two hexadecimal digits.")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise InvalidArgument(f"{text!r} is not percent-encoded UTF-8.") from None


def read_query(raw: str) -> Mapping[str, tuple[str, ...]]:
    """Parameters in order of their appearance. Raises InvalidArgument."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in filter(None, raw.split("&")):
        name, _, value = pair.partition("=")
        key = decoded(name.replace("+", " ")).removeprefix("$")
        found[key] = (*found.get(key, ()), decoded(value.replace("+", " ")))
    return found


def refuse_encryption(call: Call) -> None:
    """Raise InvalidArgument for keys that a caller brings: bytes lie as plain files, so that jobs can read them."""
    sent = [name for name in call.headers if name.startswith((_ENCRYPTED, _SOURCE_ENCRYPTED))]
    sent += [name for name in ("kmsKeyName", "destinationKmsKeyName") if call.text(name)]
    if sent:
        raise InvalidArgument(
            f"{sent[0]}: encryption keys are not supported here; objects lie as plain files that jobs read. "
            "Leave the key out, or encrypt before uploading."
        )
