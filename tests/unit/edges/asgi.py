"""One request to an ASGI application, without a server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    app: Any,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    client: str = "127.0.0.1",
    scheme: str = "http",
    **headers: str,
) -> Answer:
    """Header names with _ for -."""
    raw_path, _, query = path.partition("?")
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if body:
        sent.append((b"content-length", b"%d" % len(body)))
    scope = {
        "type": "http",
        "method": method,
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "headers": sent,
        "client": (client, 5),
        "server": ("127.0.0.1", 80),
        "scheme": scheme,
    }
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    asyncio.run(app(scope, receive, send))
    got = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    return Answer(told[0]["status"], got, b"".join(each.get("body", b"") for each in told[1:]))
