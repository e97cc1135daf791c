"""Clients of HTTP/1.0, and those that say all they want and close their half, are served whole objects or none."""

from __future__ import annotations

import socket
from typing import Any

import pytest

BODY = b"x" * 3_000_000


def talk(storage: Any, request: bytes, *, half: bool) -> bytes:
    """All that is heard after a request, with or without this side closed behind it."""
    with socket.create_connection(("127.0.0.1", storage.server.port), timeout=20) as client:
        client.sendall(request)
        if half:
            client.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := client.recv(1 << 20):
            heard += piece
    return heard


def upload(storage: Any, name: str, version: str, body: bytes, length: int) -> bytes:
    path = f"/upload/storage/v1/b/{storage.bucket}/o?uploadType=media&name={name}"
    return (
        f"POST {path} HTTP/{version}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n".encode()
        + body
    )


@pytest.mark.parametrize("half", [False, True], ids=["open", "half-closed"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_object_goes_there_and_back(storage: Any, version: str, half: bool) -> None:
    """The connection ends with the answer, which is whole."""
    assert b" 200 OK" in talk(storage, upload(storage, "o", version, BODY, len(BODY)), half=half)[:20]
    path = f"/download/storage/v1/b/{storage.bucket}/o/o?alt=media"
    heard = talk(storage, f"GET {path} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode(), half=half)
    assert heard.partition(b"\r\n\r\n")[2] == BODY


def test_a_body_that_ends_early_is_no_object(storage: Any) -> None:
    """Its client has closed its half before all was said: nothing is answered, nothing is stored."""
    assert talk(storage, upload(storage, "o", "1.1", BODY[:1000], len(BODY)), half=True) == b""
    assert storage.media("o").status == 404
