"""What browsers are shown: the description of the API, a page of our own that reads it, and one with a terminal.

Everybody may read them: they say what any client of the API knows, and what the terminal's page asks for is checked as
any request is. They load nothing from anywhere else, which their Content-Security-Policy says to the browser, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from trainyard.core.errors import Code
from trainyard.edges.rest.exchange import JSON, Exchange, Refusal
from trainyard.edges.rest.openapi import document_bytes

DOCUMENT: Final = "/openapi.json"
PAGES: Final[Mapping[str, tuple[str, bytes]]] = {
    "/docs/api": ("api.html", b"text/html; charset=utf-8"),
    "/docs/api/api.js": ("api.js", b"text/javascript; charset=utf-8"),
    "/docs/api/api.css": ("api.css", b"text/css; charset=utf-8"),
    "/docs/shell/shell.js": ("shell.js", b"text/javascript; charset=utf-8"),
    "/docs/shell/shell.css": ("shell.css", b"text/css; charset=utf-8"),
    "/docs/shell/xterm.mjs": ("xterm/xterm.mjs", b"text/javascript; charset=utf-8"),
    "/docs/shell/xterm.css": ("xterm/xterm.css", b"text/css; charset=utf-8"),
    "/docs/shell/addon-fit.mjs": ("xterm/addon-fit.mjs", b"text/javascript; charset=utf-8"),
}
_AT_A_SHELL: Final = re.compile(r"/trainyard/v1/projects/.+/shells/[^/]+")
_SHELL_PAGE: Final = ("shell.html", b"text/html; charset=utf-8")
_ONLY_OURS: Final = (
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
     b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)  # fmt: skip


async def answer_page(exchange: Exchange) -> bool:
    """Answer what is a page; False where the path is not. Raises Refusal on anything but reading."""
    found = PAGES.get(exchange.path) or _of_shell(exchange)
    if found is None and exchange.path != DOCUMENT:
        return False
    if exchange.method not in ("GET", "HEAD"):
        raise Refusal(405, Code.UNIMPLEMENTED, f"{exchange.path} can only be read (GET).", {"allow": "GET, HEAD"})
    if found is None:
        await exchange.answer(200, document_bytes(), JSON, (b"cache-control", b"no-cache"))
    else:
        await exchange.answer(200, _file(found[0]), found[1], *_ONLY_OURS)
    return True


def _of_shell(exchange: Exchange) -> tuple[str, bytes] | None:
    """A shell's address is a page to a browser that is sent there; programs, and the page itself, ask otherwise."""
    shown = "text/html" in exchange.headers.get("accept", "") and "upgrade" not in exchange.headers
    return _SHELL_PAGE if shown and _AT_A_SHELL.fullmatch(exchange.path) else None


@cache
def _file(name: str) -> bytes:
    return files(__package__).joinpath("static", *name.split("/")).read_bytes()
