"""Keys of encryption at rest under /trainyard/v1, in Cloud KMS's shapes of names and verbs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from trainyard.core.errors import Code
from trainyard.edges.rest.exchange import Exchange, Refusal
from trainyard.service.access import Caller
from trainyard.service.keys import VERBS, Keys

_SCOPE: Final = r"projects/[^/]+/locations/[^/]+"
_ALL: Final = re.compile(rf"(?P<parent>{_SCOPE})/cryptoKeys\Z")
_RING: Final = re.compile(rf"(?P<ring>{_SCOPE}/keyRings/[^/]+)/cryptoKeys\Z")
_ONE: Final = re.compile(rf"(?P<key>{_SCOPE}/keyRings/[^/]+/cryptoKeys/[^/:]+)(?::(?P<verb>{'|'.join(VERBS)}))?\Z")
Posted = Callable[[Exchange], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class KeyRoutes:
    """What answers at `…/cryptoKeys`, `…/keyRings/R/cryptoKeys` and below."""

    keys: Keys

    async def answer(self, exchange: Exchange, path: str, caller: Caller, posted: Posted) -> Any:
        """The JSON value of an answer; None where the path is no key's. Raises ApiError and Refusal."""
        if match := _ALL.match(path):
            _only(exchange, "GET")
            return {"cryptoKeys": await self.keys.list_(match["parent"], caller)}
        if match := _RING.match(path):
            return await self.keys.create(match["ring"], await posted(exchange), caller)
        if match := _ONE.match(path):
            if match["verb"]:
                return await self.keys.change(match["verb"], match["key"], await posted(exchange), caller)
            _only(exchange, "GET")
            return await self.keys.get(match["key"], caller)
        return None


def _only(exchange: Exchange, method: str) -> None:
    if exchange.method not in (method, "HEAD"):
        sentence = f"{exchange.path} can only be read ({method})."
        raise Refusal(405, Code.UNIMPLEMENTED, sentence, {"allow": f"{method}, HEAD"})
