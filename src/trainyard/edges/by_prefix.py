"""Several ASGI applications on one port, told apart by the beginning of the path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class ByPrefix:
    """ASGI. What no prefix claims goes to the last application."""

    def __init__(self, claims: Sequence[tuple[tuple[str, ...], App]], otherwise: App) -> None:
        """Each of `claims` is an application and the beginnings of the paths that it serves."""
        self._claims = [(tuple(prefix.encode() for prefix in prefixes), app) for prefixes, app in claims]
        self._otherwise = otherwise

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Pass one request on."""
        path: bytes = scope.get("raw_path") or b""
        for prefixes, app in self._claims:
            if path.startswith(prefixes):
                await app(scope, receive, send)
                return
        await self._otherwise(scope, receive, send)
