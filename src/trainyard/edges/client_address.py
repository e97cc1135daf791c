"""Where a request comes from is written in one way, whichever edge took it: the audit log and access go by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def client_of(scope: Mapping[str, Any]) -> str:
    """`127.0.0.1:43512` or `[::1]:43512`, of an ASGI scope."""
    host, port = scope.get("client") or ("", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
