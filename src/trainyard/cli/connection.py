"""One HTTP connection to the service: JSON in, JSON out, and every fault as a sentence; standard library only."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from trainyard.cli.problems import Problem, Refused, Unreachable, Usage

PATIENCE_SECONDS = 60.0
SWITCHED = 101


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go and for whom: the client's settings."""

    endpoint: str
    project: str
    region: str
    token: str = ""

    @property
    def parent(self) -> str:
        """The collection's parent in resource names."""
        return f"projects/{self.project}/locations/{self.region}"


class Connection:
    """A kept-alive connection. A request is repeated once, and only where repeating can't do anything twice."""

    def __init__(self, target: Target, patience_seconds: float | None = PATIENCE_SECONDS) -> None:
        """Look at the address; nothing is sent yet. Raises Usage on an address that is none."""
        self.target = target
        self._patience_seconds = patience_seconds
        parts = urlsplit(target.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Usage(f"{target.endpoint!r} is no address of a service; one looks like http://127.0.0.1:8470")
        try:
            self._address = (parts.hostname, parts.port)
        except ValueError as error:
            raise Usage(f"{target.endpoint!r} is no address of a service: {error}") from None
        self._secure = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")
        self._open: http.client.HTTPConnection | None = None
        self._asks: dict[str, str] = {}  # headers that a request for another protocol has besides

    def call(self, verb: str, path: str, query: Mapping[str, str] | None = None, body: object = None) -> Any:
        """The decoded answer. Raises Refused with the service's own words, or Unreachable."""
        response = self.send(verb, path, query, body)
        try:
            payload = response.read()
            return json.loads(payload) if payload else {}
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(self.target.endpoint, _why(error)) from None
        except ValueError:
            raise Problem(f"what answers at {self.target.endpoint} is no Trainyard: it did not send JSON") from None

    def send(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        accept: str = "",
    ) -> http.client.HTTPResponse:
        """The answer with its body unread; raises Refused or Unreachable."""
        target = f"{self._prefix}/{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": accept or "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        headers |= self._asks
        if self.target.token:
            headers["Authorization"] = f"Bearer {self.target.token}"
        fresh = self._open is None
        try:
            response = self._exchange(verb, target, data, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if fresh or verb != "GET":
                raise Unreachable(self.target.endpoint, _why(error)) from None
            try:
                # A kept connection may have been closed for being idle; reading twice does no harm.
                response = self._exchange(verb, target, data, headers)
            except (OSError, http.client.HTTPException) as again:
                raise Unreachable(self.target.endpoint, _why(again)) from None
        if response.status >= 400:
            raise refusal(response.status, response.reason, response.read())
        return response

    def websocket(self, path: str, query: Mapping[str, str]) -> tuple[socket.socket, bytes]:
        """A WebSocket's connection, which is the caller's, and what has come over it already. Raises as `send`."""
        from trainyard.core.frames import accept_key  # noqa: PLC0415 - hashes, which no other command needs

        key = base64.b64encode(os.urandom(16))
        self._asks = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key.decode(),
        }
        try:
            response = self.send("GET", path, query)
        finally:
            self._asks = {}
        accepted = (response.getheader("Sec-WebSocket-Accept") or "").encode() == accept_key(key)
        if response.status != SWITCHED or not accepted or self._open is None:
            raise Problem(f"what answers at {self.target.endpoint} opens no WebSocket; a proxy between may not let it")
        connection, self._open = self._open.sock, None
        connection.setblocking(False)
        early = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            early = response.fp.peek() or b""
        return connection, early

    def _exchange(
        self,
        verb: str,
        target: str,
        data: bytes | None,
        headers: dict[str, str],
    ) -> http.client.HTTPResponse:
        if self._open is None:
            host, port = self._address
            self._open = self._made(host, port)
        try:
            self._open.request(verb, target, data, headers)
            return self._open.getresponse()
        except BaseException:
            self.close()
            raise

    def _made(self, host: str, port: int | None) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(host, port, timeout=self._patience_seconds)
        from trainyard.cli.trust import context  # noqa: PLC0415 - 10 ms, which clear text need not pay

        return http.client.HTTPSConnection(host, port, timeout=self._patience_seconds, context=context())

    def close(self) -> None:
        """Let go of the connection; the next request opens another."""
        if self._open is not None:
            self._open.close()
            self._open = None


def refusal(status: int, reason: str, payload: bytes) -> Refused:
    """A google.rpc.Status in JSON as a sentence and one line per bad field (https://google.aip.dev/193)."""
    try:
        error = json.loads(payload)["error"]
        message, name, details = str(error["message"]), str(error.get("status", "")), error.get("details", [])
    except (ValueError, KeyError, TypeError):
        return Refused(f"the service answered {status} {reason}")
    violations = [
        f"{each.get('field') or 'request'}: {each.get('description', '')}"
        for detail in details
        if isinstance(detail, dict)
        for each in detail.get("fieldViolations", [])
    ]
    listed = [f"{field}: {text}" for field, text in re.findall(r"\t\d+\.Field: (.*?); Message: (.*?)(?=\t|$)", message)]
    lines = violations or listed
    if lines and (listed or message.startswith("List of found errors:")):
        message = "the service found one fault:" if len(lines) == 1 else f"the service found {len(lines)} faults:"
    elif len(lines) == 1 and lines[0].endswith(message):
        lines = []
    info = next((each["metadata"] for each in details if isinstance(each, dict) and "metadata" in each), None)
    return Refused(message, lines, name, info)


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
        return "it hung up"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
