"""Where the port speaks TLS, clear text gets a sentence and nothing else, but for what can come in no other way.

A credential that a client has sent in clear text is lost anyway; it must at least not work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from trainyard.core.errors import Code
from trainyard.edges.faults import error_body
from trainyard.edges.side_by_side import App

_STATUS: Final = 400
_SENTENCE: Final = "This port speaks TLS: write https:// in place of http://, and take new credentials for any sent."


class NoClearText:
    """ASGI, http only. In front of an application that must be reached over TLS."""

    def __init__(self, app: App, exempt: Callable[[Mapping[str, Any]], bool]) -> None:
        """`exempt` says of a request that it may come in clear text."""
        self._app = app
        self._exempt = exempt

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass on, or refuse."""
        if scope["scheme"] == "https" or self._exempt(scope):
            await self._app(scope, receive, send)
            return
        body = error_body(_STATUS, Code.INVALID_ARGUMENT, _SENTENCE)
        headers = [
            (b"content-type", b"application/json; charset=UTF-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": _STATUS, "headers": headers})
        await send({"type": "http.response.body", "body": body})
