"""Calls of the storage endpoint that show the bytes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_server import Answer, Server


class Storage:
    """Calls of the JSON API that show the bytes; a fresh connection when the last one was closed."""

    def __init__(self, server: Server, bucket: str) -> None:
        self.server = server
        self.bucket = bucket
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    @property
    def directory(self) -> Path:
        """Where the bucket lies."""
        return self.server.data_dir / "buckets" / self.bucket

    def call(self, verb: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request; what is not bytes goes as JSON."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(verb, path, raw, dict(headers or {}))
        response = self.connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def object(self, name: str, query: str = "") -> str:
        """The path of an object, its name as it goes into the URL."""
        return f"/storage/v1/b/{self.bucket}/o/{name}{query}"

    def upload(self, name: str, data: bytes, query: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """uploadType=media, the name as it goes into the URL."""
        path = f"/upload/storage/v1/b/{self.bucket}/o?uploadType=media&name={name}{query}"
        return self.call("POST", path, data, headers)

    def begin(self, name: str, headers: Mapping[str, str] | None = None, query: str = "") -> str:
        """A resumable session; the path behind the host."""
        path = f"/upload/storage/v1/b/{self.bucket}/o?uploadType=resumable&name={name}{query}"
        answer = self.call("POST", path, {}, headers)
        assert answer.status == 200, answer.body
        return "/" + answer.headers["location"].split("/", 3)[3]

    def media(self, name: str, headers: Mapping[str, str] | None = None, query: str = "") -> Answer:
        """alt=media."""
        return self.call("GET", f"/download/storage/v1/b/{self.bucket}/o/{name}?alt=media{query}", None, headers)
