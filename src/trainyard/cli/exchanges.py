"""Recorded exchanges: one readable JSON file each, from which everything that lets somebody in has been removed.

What is removed stands as REMOVED, so that one sees that it was there. Bodies over MOST_KEPT_BYTES are told by size and
digest only. The order of the files' names is the order in which the requests came.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from trainyard.cli.problems import Problem
from trainyard.whole_files import write_whole

REMOVED: Final = "REMOVED"
MOST_KEPT_BYTES: Final = 4 << 20
_NAMED_SECRET: Final = re.compile(
    r"authori[sz]ation|cookie|secret|passw|passphrase|private.?key|api.?key|access.?key|encryption-key(?!-algorithm)|"
    r"signature|credential|assertion|googleaccessid|upload.?id|jwt|(?<!page)(?<!page.)token(?!.?(uri|url|type))|^key$|^sig$",
    re.IGNORECASE,
)
_LOOKS_SECRET: Final = tuple(
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", REMOVED),
        (r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", rf"\1 {REMOVED}"),
        (r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?", REMOVED),
        (r"\b(?:ya29\.|1//|ty_|GOCSPX-|AIza)[A-Za-z0-9._-]{16,}", REMOVED),
        (
            r"(?i)([?&](?:x-goog-signature|x-goog-credential|x-amz-[a-z-]+|signature|googleaccessid|access_token|"
            r"oauth_token|upload_id|key|sig)=)[^&\s\"']+",
            rf"\1{REMOVED}",
        ),
    )
)
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Message:
    """One direction: headers by lower-case name, and the body.

    `body` is a JSON value, or text, or `{"base64": …}`, or `{"omitted": bytes, "sha256": …}`; `form` says which:
    json, text, base64, omitted, or empty where there was none.
    """

    headers: dict[str, str]
    form: str = ""
    body: Any = None


@dataclass(slots=True)
class Exchange:
    """A request and its answer. `path` is without the query, which is pairs in their order."""

    method: str
    path: str
    query: list[list[str]]
    request: Message
    status: int
    answer: Message
    notes: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        """Path and query as in a request line."""
        return self.path + (f"?{_form_text(self.query)}" if self.query else "")


class Cleaner:
    """Takes secrets out of whatever is to be kept; `emails` takes out addresses as well."""

    def __init__(self, emails: bool = False) -> None:
        """Say whether people's addresses are kept."""
        self._emails = emails

    def text(self, text: str) -> str:
        """The text without what looks like a credential."""
        for pattern, replacement in _LOOKS_SECRET:
            text = pattern.sub(replacement, text)
        return _EMAIL.sub(REMOVED, text) if self._emails else text

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
        """Query parameters or form fields."""
        return [[name, self._named(name, value)] for name, value in pairs]

    def headers(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Headers by lower-case name."""
        return {name.lower(): self._named(name, value) for name, value in headers}

    def value(self, value: Any) -> Any:
        """A JSON value. Of an object like `{"name": "API_TOKEN", "value": …}` the value is a secret, too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if not isinstance(value, dict):
            return value
        cleaned = {key: REMOVED if _is_secret(key, each) else self.value(each) for key, each in value.items()}
        if isinstance(value.get("name"), str) and "value" in value and _NAMED_SECRET.search(value["name"]):
            cleaned["value"] = REMOVED
        return cleaned

    def message(self, headers: Iterable[tuple[str, str]], body: bytes) -> Message:
        """One direction as it is kept."""
        kept = self.headers(headers)
        media = kept.get("content-type", "").partition(";")[0].strip().lower()
        if not body:
            return Message(kept)
        if len(body) > MOST_KEPT_BYTES:
            return Message(kept, "omitted", {"omitted": len(body), "sha256": hashlib.sha256(body).hexdigest()})
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return Message(kept, "base64", {"base64": base64.b64encode(body).decode("ascii")})
        if media == _FORM:
            return Message(kept, "text", _form_text(self.pairs(parse_qsl(text, keep_blank_values=True))))
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return Message(kept, "text", self.text(text))
        return Message(kept, "json", self.value(value))

    def _named(self, name: str, value: str) -> str:
        return REMOVED if _NAMED_SECRET.search(name) else self.text(value)


def _form_text(pairs: Iterable[Sequence[str]]) -> str:
    return urlencode([(pair[0], pair[1]) for pair in pairs])


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and _NAMED_SECRET.search(name) is not None


def body_bytes(message: Message) -> bytes:
    """The body as it is sent again. Raises Problem where it was too large to keep."""
    match message.form:
        case "":
            return b""
        case "json":
            return json.dumps(message.body).encode()
        case "text":
            return str(message.body).encode()
        case "base64":
            return base64.b64decode(message.body["base64"])
    raise Problem(f"a body of {message.body['omitted']} bytes was not recorded, only its size and digest")


class Folder:
    """A directory of exchanges, in the order of their numbers."""

    def __init__(self, path: Path, make: bool = False) -> None:
        """Use a directory that is there, or (`make`) one to write into. Raises Problem where that cannot be."""
        self._path = path
        try:
            if make:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._number = max((int(each.name[:6]) for each in self._files()), default=0)
        except OSError as error:
            raise Problem(f"{path} is no directory of exchanges: {error.strerror}") from None

    def _files(self) -> list[Path]:
        return sorted(each for each in self._path.iterdir() if re.match(r"\d{6}-.*\.json\Z", each.name))

    def add(self, exchange: Exchange) -> Path:
        """Keep one more; its file appears as a whole."""
        self._number += 1
        words = re.sub(r"[^A-Za-z0-9:]+", "-", urlsplit(exchange.path).path).strip("-")[-60:].replace(":", ".")
        path = self._path / f"{self._number:06d}-{exchange.method}-{words}.json"
        content = json.dumps(asdict(exchange), indent=2, ensure_ascii=False) + "\n"
        write_whole(path, content.encode(), 0o644)
        return path

    def read(self) -> list[Exchange]:
        """All of them, oldest first. Raises Problem, naming the file, on one that is none."""
        return [_read(path) for path in self._files()]


def _read(path: Path) -> Exchange:
    try:
        kept = json.loads(path.read_text("utf-8"))
        make: Callable[[Any], Message] = lambda each: Message(**each)  # noqa: E731 - said twice below
        return Exchange(**{**kept, "request": make(kept["request"]), "answer": make(kept["answer"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Problem(f"{path} is no recorded exchange: {error}") from None
