"""What the service itself says under the dashboards' host names: why there is nothing, and who somebody is."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from trainyard.edges.dashboards.heads import Header, header

AGAIN_SECONDS: Final = 2
ASSETS: Final[Mapping[str, tuple[str, bytes]]] = {
    "/sign-in.js": ("sign_in.js", b"text/javascript; charset=utf-8"),
    "/sign-in.css": ("sign_in.css", b"text/css; charset=utf-8"),
}
HTML: Final = b"text/html; charset=utf-8"
TEXT: Final = b"text/plain; charset=utf-8"
_ONLY_OURS: Final = (
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
     b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)  # fmt: skip
_SAID: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8">{again}<title>Dashboard · Trainyard</title>'
    "<style>body{{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:42rem;padding:0 1rem}}</style>"
    "<p>{sentence}</p></html>"
)


async def answer(send: Any, status: int, body: bytes, content_type: bytes, *extra: Header) -> None:
    """A whole answer of our own."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *_ONLY_OURS, *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def say(scope: Any, send: Any, status: int, sentence: str, *, again: bool = False) -> None:
    """One sentence: to a person as a page, which comes `again` by itself; to a program as text."""
    extra = [(b"retry-after", b"%d" % AGAIN_SECONDS)] if again else []
    if status == 401:
        extra.append((b"www-authenticate", b'Bearer realm="trainyard"'))
    if not wants_page(scope):
        await answer(send, status, f"{sentence}\n".encode(), TEXT, *extra)
        return
    refresh = f'<meta http-equiv="refresh" content="{AGAIN_SECONDS}">' if again else ""
    shown = f"{sentence} This page tries again by itself." if again else sentence
    await answer(send, status, _SAID.format(again=refresh, sentence=html.escape(shown)).encode(), HTML, *extra)


def wants_page(scope: Any) -> bool:
    """Whether a browser was sent here, to show what it gets."""
    return scope["method"] == "GET" and "text/html" in header(scope, b"accept") and not header(scope, b"upgrade")


@cache
def file(name: str) -> bytes:
    """A file of the folder static."""
    return files(__package__).joinpath("static", name).read_bytes()
