"""A stand-in service whose answers a test writes down, so that the client's own behaviour can be seen."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from trainyard.cli.connection import Target


@dataclass
class Asked:
    """One request as it arrived."""

    verb: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class StandIn:
    """Answers with what `answer` makes of a request: (status, payload), or a function that writes to the socket."""

    endpoint: str = ""
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], Any] = lambda asked: (200, {})

    @property
    def target(self) -> Target:
        return Target(self.endpoint, "demo", "us-central1")


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    service = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            asked = Asked(self.command, self.path, dict(self.headers), body)
            service.asked.append(asked)
            made = service.answer(asked)
            if callable(made):
                made(self)
                self.close_connection = True
                return
            status, payload = made
            data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815 - http.server's names

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    service.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    yield service
    server.shutdown()
    server.server_close()


class Screen(io.StringIO):
    """A stream that says it is a terminal, or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def screen() -> Callable[[bool], Screen]:
    return lambda terminal: Screen(terminal=terminal)
