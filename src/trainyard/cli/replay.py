"""`trainyard replay`: answers as was recorded, to whoever asks the same again; needs neither the service nor a network.

A request gets the answer of the recorded one that is most like it: same method and path, then same query, then same
body. Of several alike, each is given once, in order; the last one stays, so that polling ends where it ended.
"""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from trainyard.cli.exchanges import Cleaner, Exchange, Folder, body_bytes
from trainyard.cli.problems import Problem, Usage
from trainyard.cli.record import PlainHandler, serve

_MADE_ANEW: Final = frozenset(
    ("content-length", "content-encoding", "transfer-encoding", "connection", "date", "server", "alt-svc", "set-cookie")
)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; returns the exit code."""
    exchanges = Folder(Path(args.directory)).read()
    if not exchanges:
        raise Problem(f"{args.directory} holds no exchange; `trainyard record` makes some")
    server = Replayer(args.port, exchanges)
    print(f"replaying {len(exchanges)} exchanges at http://127.0.0.1:{server.server_port}", flush=True)
    return serve(server)


class Tape:
    """Which answer comes next."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        """All of the recording, in order."""
        self._exchanges = exchanges
        self._given = [0] * len(exchanges)
        self._lock = threading.Lock()

    def next(self, asked: Exchange) -> Exchange | None:
        """The answer to a request (whose own answer is empty); None where nothing is like it."""
        with self._lock:
            alike = [
                (_likeness(asked, each), at)
                for at, each in enumerate(self._exchanges)
                if (each.method, each.path) == (asked.method, asked.path)
            ]
            if not alike:
                return None
            best = max(likeness for likeness, _ in alike)
            places = [at for likeness, at in alike if likeness == best]
            chosen = next((at for at in places if not self._given[at]), places[-1])
            self._given[chosen] += 1
            return self._exchanges[chosen]


def _likeness(asked: Exchange, recorded: Exchange) -> tuple[bool, bool]:
    return sorted(asked.query) == sorted(recorded.query), asked.request.body == recorded.request.body


class Replayer(ThreadingHTTPServer):
    """The listening side."""

    daemon_threads = True

    def __init__(self, port: int, exchanges: Sequence[Exchange]) -> None:
        """Listen on loopback. Raises Usage where the port is taken."""
        self.tape = Tape(exchanges)
        self.cleaner = Cleaner()
        try:
            super().__init__(("127.0.0.1", port), _Replaying)
        except OSError as error:
            raise Usage(f"cannot listen on port {port}: {error.strerror}; another --port will do, 0 for any") from None


class _Replaying(PlainHandler):
    server: Replayer

    def respond(self) -> None:
        split, clean = urlsplit(self.path), self.server.cleaner
        query = clean.pairs(parse_qsl(split.query, keep_blank_values=True))
        request = clean.message(self.headers.items(), self.request_body())
        asked = Exchange(self.command, clean.text(split.path), query, request, 0, clean.message((), b""))
        found = self.server.tape.next(asked)
        if found is None:
            message = f"Nothing was recorded for {self.command} {split.path}."
            self._send(404, [("content-type", "application/json")], _error(404, "NOT_FOUND", message))
            return
        try:
            body = body_bytes(found.answer)
        except Problem as problem:
            self._send(502, [("content-type", "application/json")], _error(502, "DATA_LOSS", problem.sentence))
            return
        headers = [(name, value) for name, value in found.answer.headers.items() if name not in _MADE_ANEW]
        self._send(found.status, headers, body)

    def _send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _error(status: int, name: str, message: str) -> bytes:
    return json.dumps({"error": {"code": status, "message": message, "status": name}}).encode()
