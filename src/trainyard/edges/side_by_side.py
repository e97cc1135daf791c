"""Several ASGI applications on one port: the first one that claims a request answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

WHOLE: Final = "trainyard.response.whole"
"""An ASGI extension of our own HTTP server: head and body as one message."""
UPGRADE: Final = "trainyard.upgrade"
"""Another one, of requests that ask for it: the answer 101, with `headers`, and a `protocol` for the connection."""
CUT: Final = "trainyard.cut"
"""A third one: an answer that was begun ends here, and its client is to see that this is not all of it."""
App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
Claim = Callable[[Mapping[str, Any]], bool]
Mount = tuple[Claim, App]


class SideBySide:
    """ASGI. What nobody claims goes to the last application."""

    def __init__(self, claims: Sequence[Mount], otherwise: App) -> None:
        """Each of `claims` says whether a request is its application's."""
        self._claims = claims
        self._otherwise = otherwise

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Pass one request on."""
        for claims, app in self._claims:
            if claims(scope):
                await app(scope, receive, send)
                return
        await self._otherwise(scope, receive, send)
