"""`trainyard record`: a proxy that passes every byte on, both ways, and keeps what was said.

Plain HTTP on loopback towards the client; HTTP or HTTPS towards the other side. gRPC is not recorded. What is passed on
is never changed, but for the other side's own address in Location headers: its uploads come through here as well.
"""

from __future__ import annotations

import argparse
import http.client
import signal
import sys
import threading
import zlib
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from trainyard.cli.exchanges import MOST_KEPT_BYTES, Cleaner, Exchange, Folder
from trainyard.cli.problems import Usage

PATIENCE_SECONDS: Final = 120.0
CHUNK_BYTES: Final = 64 * 1024
_OF_THE_CONNECTION: Final = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade", "host", "expect", "accept-encoding")
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Record until interrupted; returns the exit code."""
    upstream = urlsplit(args.upstream)
    if upstream.scheme not in ("http", "https") or not upstream.hostname:
        raise Usage(f"{args.upstream!r} is no address; one looks like https://us-central1-aiplatform.googleapis.com")
    folder = Folder(Path(args.to), make=True)
    server = Recorder(args.port, upstream, folder, Cleaner(args.remove_emails))
    print(f"recording http://127.0.0.1:{server.server_port} -> {args.upstream} into {args.to}", flush=True)
    return serve(server)


def serve(server: ThreadingHTTPServer) -> int:
    """Until interrupted; 0 then, since that is how one ends it."""
    with server:
        try:
            listen_to_signals()
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            return 0
    return 0


def listen_to_signals() -> None:
    """Make SIGINT and SIGTERM a KeyboardInterrupt, also where a shell started us in the background, deaf to SIGINT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


class Recorder(ThreadingHTTPServer):
    """The listening side. Files are written one at a time."""

    daemon_threads = True

    def __init__(self, port: int, upstream: SplitResult, folder: Folder, cleaner: Cleaner) -> None:
        """Listen on loopback. Raises Usage where the port is taken."""
        self.upstream = upstream
        self.cleaner = cleaner
        self._folder = folder
        self._writing = threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Recording)
        except OSError as error:
            raise Usage(f"cannot listen on port {port}: {error.strerror}; another --port will do, 0 for any") from None

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the other side."""
        make = http.client.HTTPSConnection if self.upstream.scheme == "https" else http.client.HTTPConnection
        return make(str(self.upstream.hostname), self.upstream.port, timeout=PATIENCE_SECONDS)

    def keep(self, exchange: Exchange) -> None:
        """Write it down and say so."""
        with self._writing:
            path = self._folder.add(exchange)
            print(f"{exchange.status} {exchange.method} {exchange.path} -> {path.name}", flush=True)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """A client that went away is no news; anything else is told in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"trainyard record: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


class PlainHandler(BaseHTTPRequestHandler):
    """HTTP/1.1 for any method: subclasses answer in `respond`."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: what is worth telling is told elsewhere."""

    def __getattr__(self, name: str) -> Any:
        """Every method is answered in the same way."""
        if name.startswith("do_"):
            return self.respond
        raise AttributeError(name)

    def respond(self) -> None:
        """Answer one request."""
        raise NotImplementedError

    def request_body(self) -> bytes:
        """The whole body, chunked or of a declared length."""
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline(1024).partition(b";")[0] or b"0", 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline(1024)
        while self.rfile.readline(CHUNK_BYTES).strip():
            pass
        return b"".join(pieces)


class _Recording(PlainHandler):
    server: Recorder

    def respond(self) -> None:
        body = self.request_body()
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION]
        upstream = self.server.connect()
        try:
            target = self.server.upstream.path.rstrip("/") + self.path
            upstream.putrequest(self.command, target, skip_accept_encoding=True)
            for name, value in (*headers, ("Accept-Encoding", "identity")):
                if name.lower() != "content-length":
                    upstream.putheader(name, value)
            if body or self.command in ("POST", "PUT", "PATCH"):
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            self._pass_on(headers, body, answer)
        except (OSError, http.client.HTTPException) as error:
            self.close_connection = True
            self._sorry(f"The other side did not answer: {error or type(error).__name__}.")
        finally:
            upstream.close()

    def _pass_on(self, headers: Sequence[tuple[str, str]], body: bytes, answer: http.client.HTTPResponse) -> None:
        given = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OF_THE_CONNECTION]
        self.send_response_only(answer.status, answer.reason)
        for name, value in given:
            self.send_header(name, self._here(value) if name.lower() == "location" else value)
        counted = answer.length is not None or self.command == "HEAD" or answer.status in (204, 304)
        if not counted:
            self.send_header("Connection", "close")
            self.close_connection = True
        last, kept = self._stream(answer, hold_last=counted)
        split, clean = urlsplit(self.path), self.server.cleaner
        query = clean.pairs(parse_qsl(split.query, keep_blank_values=True))
        self.server.keep(
            Exchange(
                self.command, clean.text(split.path), query, clean.message(headers, body), answer.status,
                clean.message(given, _plain(kept, answer.getheader("content-encoding", ""))),
            )
        )  # fmt: skip
        self.end_headers() if last is None else self.wfile.write(last)

    def _stream(self, answer: http.client.HTTPResponse, *, hold_last: bool) -> tuple[bytes | None, bytes]:
        """Pass the body on as it comes; what is still to be written, and what is to be kept of it.

        The end of an answer is held back where it can be, so that whoever has it whole finds it written down. None:
        there is no body, and the end of the headers is what is held back.
        """
        held, kept = answer.read1(CHUNK_BYTES), b""
        if not held and hold_last:
            return None, kept
        self.end_headers()
        while held:
            kept += held if len(kept) <= MOST_KEPT_BYTES else b""
            if hold_last and not answer.length:
                break
            self.wfile.write(held)
            self.wfile.flush()
            held = answer.read1(CHUNK_BYTES)
        return held, kept

    def _here(self, location: str) -> str:
        upstream = self.server.upstream
        base = f"{upstream.scheme}://{upstream.netloc}"
        return (
            f"http://127.0.0.1:{self.server.server_port}{location[len(base) :]}"
            if location.startswith(base)
            else location
        )

    def _sorry(self, sentence: str) -> None:
        body = sentence.encode()
        self.send_response_only(502, "Bad Gateway")
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _plain(body: bytes, encoding: str) -> bytes:
    """The body without its compression, where it is whole."""
    if encoding.lower() in ("gzip", "x-gzip"):
        try:
            return zlib.decompress(body, wbits=31)
        except zlib.error:
            return body
    return body
