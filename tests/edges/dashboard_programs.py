"""What chiefs serve as their dashboards in these tests, standard library only, and who looks at it."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Mapping
from typing import Any

from edge_server import BUSY_SECONDS, Answer, Api, running
from shell_client import UP

PAGE = (
    '<!doctype html><title>d</title><link rel="stylesheet" href="/static/app.css"><h1>dashboard</h1>'
    '<p id="said"></p><script src="/static/app.js"></script>'
)
SCRIPT = """
const by = document.getElementById("said");
fetch("/api/state?x=1").then(answer => answer.json()).then(said => {
  by.textContent = `state ${said.x}`;
  const socket = new WebSocket(`ws://${location.host}/ws`);
  socket.onopen = () => socket.send("hello");
  socket.onmessage = event => { by.textContent += `, socket ${event.data}`; };
});
"""
PROGRAM = r"""
import base64, hashlib, http.server, json, os, sys, threading, time

PAGE, SCRIPT, BIND = sys.argv[1:4]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def say(self, body, kind="text/plain", status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/":
            self.say(PAGE.encode(), "text/html", Set_Cookie="own=1; Path=/; Domain=dashboards.localhost")
        elif path == "/static/app.js":
            self.say(SCRIPT.encode(), "text/javascript")
        elif path == "/static/app.css":
            self.say(b"h1 { color: rgb(1, 2, 3) }", "text/css")
        elif path == "/api/state":
            self.say(json.dumps({"x": self.path.partition("x=")[2]}).encode(), "application/json")
        elif path == "/headers":
            self.say(json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode())
        elif path == "/away":
            self.say(b"", status=302, Location="/static/app.css")
        elif path == "/large":
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 30))
            self.end_headers()
            block = b"x" * (1 << 20)
            for _ in range(1 << 10):
                self.wfile.write(block)
        elif path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"begun")
            self.close_connection = True
        elif path == "/noise":
            self.wfile.write(b"no http at all\r\n\r\n")
            self.close_connection = True
        elif path == "/crash":
            os._exit(139)
        elif path == "/events":
            self.events()
        elif path == "/ws":
            self.echo()
        else:
            self.say(b"nothing here", status=404)

    do_HEAD = do_GET

    def do_POST(self):
        digest, size = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
        self.say(json.dumps({"size": size, "sha256": digest.hexdigest(), "method": self.command}).encode())

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def pieces(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left and (piece := self.rfile.read(min(left, 65536))):
            left -= len(piece)
            yield piece

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for number in range(100000):
                data = b"data: %d\n\n" % number
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                time.sleep(0.05)
        except OSError:
            print("the reader has left", flush=True)
        self.close_connection = True

    def echo(self):
        key = self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
        self.end_headers()
        self.wfile.write(b"\x81\x05early")
        self.close_connection = True
        while (head := self.rfile.read(2)) and head[0] & 15 != 8:
            size = head[1] & 127
            if size == 126:
                size = int.from_bytes(self.rfile.read(2), "big")
            mask, masked = self.rfile.read(4), self.rfile.read(size)
            plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
            length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
            self.wfile.write(bytes([head[0]]) + length + plain)
        print("the socket has ended", flush=True)

port = int(os.environ["AIP_DASHBOARD_PORT"])
threading.Timer(600, os._exit, [1]).start()  # and no longer, where a test fails before it has cancelled its job
print("serving", flush=True)
http.server.ThreadingHTTPServer((BIND, port), Handler).serve_forever()
"""
KEY = "workerpool0-0:8888"


def serving(bind: str = "127.0.0.1", script: str = SCRIPT, **job_spec: Any) -> dict[str, Any]:
    """A job whose chief serves a dashboard there."""
    return running("python3", "-c", PROGRAM, PAGE, script, bind, job_spec={"enableDashboardAccess": True, **job_spec})


class Visitor:
    """Who knows a dashboard's address."""

    def __init__(self, name: str, uri: str, port: int) -> None:
        self.name = name
        self.uri = uri
        self.host = uri.split("/")[2]
        self.port = port

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the service."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def asks(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """One request; header names with _ for -."""
        connection = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": self.host, **named})
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def opens(self, path: str, headers: Mapping[str, str]) -> socket.socket:
        """A request whose answer is read by hand."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}", *(f"{name}: {headers[name]}" for name in headers)]
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        return connection


def visit(api: Api, body: dict[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Visitor:
    """Somebody before a dashboard that is up."""
    made = api.call("POST", f"{api.parent}/customJobs", body or serving(), headers)
    assert made.status == 200, made.body
    return found(api, made.json["name"], headers)


def found(api: Api, name: str, headers: Mapping[str, str] | None = None) -> Visitor:
    """As `visit`, for a job that was made."""
    deadline = time.monotonic() + 60 + BUSY_SECONDS
    while not (job := api.call("GET", name, headers=headers).json).get("webAccessUris"):
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
    assert job["state"] in UP
    visitor = Visitor(name, job["webAccessUris"][KEY], api.port)
    while (
        visitor.asks("/headers", **{name.capitalize(): value for name, value in (headers or {}).items()}).status == 502
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return visitor
