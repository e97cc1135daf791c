"""Whatever comes over the wire ends with its connection and disturbs nobody else."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import struct
import time
import zlib

import pytest
from edge_server import MINIMAL, Api, Server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def still_well(server: Server, api: Api) -> object:
    """After each fault the service answers as before and has reported no failure of its own."""
    before = len(server.stderr())
    yield
    assert api.call("GET", "/trainyard/v1/health").json["status"] == "ok"
    said = server.stderr()[before:]
    assert "Traceback" not in said, said


def dial(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def say(server: Server, *pieces: bytes) -> bytes:
    """Send the pieces, then read until the server hangs up or, once it has spoken, has nothing to say for a while."""
    with dial(server) as client:
        for piece in pieces:
            with contextlib.suppress(ConnectionError):
                client.sendall(piece)
        heard = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while data := client.recv(65536):
                heard += data
                client.settimeout(2.0)
        return heard


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def envelope(answer: bytes) -> dict[str, object]:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"hello\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=[
        "zeros",
        "tls",
        "no version",
        "version 9.9",
        "words",
        "not ascii",
        "connect",
        "negative length",
        "length abc",
        "huge length",
        "two lengths",
        "bad chunk",
    ],
)
def test_what_is_no_http_gets_a_400(server: Server, noise: bytes) -> None:
    """Noise is answered with a 400 or 404 in JSON, and hung up on; never with a 500."""
    answer = say(server, noise)
    assert 400 <= status(answer) < 500
    assert envelope(answer)["code"] == status(answer)


def test_http_1_0_is_served(server: Server) -> None:
    """A client of 1996 gets its answer and the connection is closed."""
    answer = say(server, b"GET /trainyard/v1/health HTTP/1.0\r\n\r\n")
    assert status(answer) == 200
    assert b'"status": "ok"' in answer


def test_a_client_that_has_said_all_still_gets_its_answer(server: Server) -> None:
    """A half-closed connection (`nc -N`) is answered."""
    with dial(server) as client:
        client.sendall(b"GET /trainyard/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_requests_in_a_row_are_answered_in_order(server: Server) -> None:
    """Pipelined requests get their answers in order."""
    one = b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
    two = b"GET /trainyard/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = say(server, one + one + two)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"404", b"404", b"200"]


def test_an_endless_head_is_cut_off(server: Server) -> None:
    """A head beyond 64 KiB is refused while it is being sent."""
    answer = say(server, b"GET / HTTP/1.1\r\n", *[b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(200)])
    assert status(answer) == 431


def test_a_slow_client_is_let_go(tmp_path_factory: pytest.TempPathFactory, server: Server) -> None:
    """A connection that never finishes its request holds nothing up: others are served meanwhile."""
    with dial(server) as slow:
        slow.sendall(b"POST /v1/projects/p/locations/us-central1/customJobs HTTP/1.1\r\nHost: x\r\nContent-Le")
        quick = Api(server.port)
        assert quick.call("GET", "/trainyard/v1/health").status == 200
        quick.close()


def test_bodies_cut_short_change_nothing(server: Server, api: Api) -> None:
    """A client that hangs up in the middle of its body has created nothing."""
    body = json.dumps(MINIMAL).encode()
    for cut in (0, 1, len(body) // 2, len(body) - 1):
        with dial(server) as client:
            head = (
                f"POST /v1/{api.parent}/customJobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            client.sendall(head.encode() + body[:cut])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.1)
    assert api.list().json == {}


def test_a_huge_body_is_refused_in_words(server: Server, api: Api) -> None:
    """A body beyond 8 MiB is a 413 with a sentence, whether its length is declared or not, and memory stays flat."""
    path = f"{api.parent}/customJobs"
    before = server.memory_bytes()
    declared = api.call("POST", path, b" " * (20 * MIB))
    assert (declared.status, declared.error["code"]) == (413, 413)
    assert "8388608 bytes" in declared.error["message"]
    chunked = b"".join((b"%x\r\n" % MIB, b" " * MIB, b"\r\n"))
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert status(say(server, head, *[chunked] * 12, b"0\r\n\r\n")) == 413
    assert server.memory_bytes() - before < 40 * MIB
    assert api.list().json == {}


def test_an_endless_body_is_cut_off(server: Server, api: Api) -> None:
    """A client that never stops sending is hung up on in the end."""
    head = f"POST /v1/{api.parent}/customJobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {10**12}\r\n\r\n".encode()
    with dial(server) as client:
        client.sendall(head)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 512 * MIB:
                client.sendall(b" " * MIB)
                sent += MIB
        assert sent < 512 * MIB


def test_a_body_expected_to_be_too_large_is_refused_before_it_is_sent(server: Server, api: Api) -> None:
    """With Expect: 100-continue the refusal comes before the body."""
    path = f"/v1/{api.parent}/customJobs"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {99 * MIB}\r\n\r\n"
    assert status(say(server, head.encode())) == 413


def test_gzip_bodies_are_read(api: Api) -> None:
    """Content-Encoding: gzip is understood."""
    body = gzip.compress(json.dumps(MINIMAL).encode())
    answer = api.call("POST", f"{api.parent}/customJobs", body, {"Content-Encoding": "gzip"})
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    ("body", "encoding", "wanted"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(json.dumps(MINIMAL).encode())[:-9], "gzip", 400),
        (gzip.compress(b"{}") + b"more", "gzip", 400),
        (zlib.compress(b"{}"), "gzip", 400),
        (gzip.compress(b" " * (9 * MIB)), "gzip", 413),
        (b"{}", "br", 415),
    ],
    ids=["no gzip", "cut short", "trailing", "zlib", "bomb", "unknown"],
)
def test_bad_encodings_are_refused(api: Api, body: bytes, encoding: str, wanted: int) -> None:
    """What is not what it claims to be, unpacks to too much, or is of an unknown encoding, is refused in words."""
    answer = api.call("POST", f"{api.parent}/customJobs", body, {"Content-Encoding": encoding})
    assert (answer.status, answer.error["code"]) == (wanted, wanted)


@pytest.mark.parametrize("cut", [1, 10, 23])
def test_a_preface_and_then_nothing(server: Server, cut: int) -> None:
    """Half a preface, a whole one, noise after it: all end with their connection."""
    with dial(server) as client:
        client.sendall(PREFACE[:cut])
    with dial(server) as client:
        client.sendall(PREFACE[:cut])
        time.sleep(0.02)
        client.sendall(PREFACE[cut:] + b"\xff" * 100)
        with contextlib.suppress(ConnectionError):
            while client.recv(65536):
                pass


def test_port_scanners_are_harmless(server: Server) -> None:
    """Hundreds of connections that say nothing, or reset, leave nothing behind."""
    for n in range(200):
        with dial(server) as client:
            if n % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"User-Agent": "Mozilla/5.0", "Host": "rebound.example"},
        {"User-Agent": "Mozilla/5.0", "Host": "[::1"},
    ],
)
def test_pages_of_others_are_refused(api: Api, headers: dict[str, str]) -> None:
    """A web page of another origin cannot make a browser on this machine start jobs here."""
    answer = api.call("POST", f"{api.parent}/customJobs", MINIMAL, headers)
    assert (answer.status, answer.error["status"]) == (403, "PERMISSION_DENIED")
    assert api.list().json == {}


def test_own_pages_and_other_hosts_are_served(server: Server, api: Api) -> None:
    """Pages of the service itself, and any Host from what is no browser, are served."""
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin", "User-Agent": "Mozilla/5.0"}
    assert api.call("GET", "/trainyard/v1/health", headers=own).status == 200
    assert (
        api.call("GET", "/trainyard/v1/health", headers={"Host": "us-central1-aiplatform.googleapis.com"}).status == 200
    )
