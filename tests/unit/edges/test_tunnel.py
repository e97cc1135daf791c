"""A tunnel to a host of Google's ends here, in TLS that only those trust who were told to; there is no other tunnel."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop

from trainyard.edges.certificates import Authority
from trainyard.edges.port import Port
from trainyard.edges.rest.http1 import HttpConnection, _one_length
from trainyard.edges.secure import Certificate
from trainyard.edges.tunnel import NAMES, is_tunnel, once


class Shout(asyncio.Protocol):
    """Stands for HTTP/1: says what it got, in capitals."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())  # type: ignore[attr-defined]  # a Transport, as every TCP connection


def authority(directory: Path) -> Callable[[], ssl.SSLContext]:
    def make() -> ssl.SSLContext:
        path = Authority(directory, NAMES, lambda: datetime.now(UTC)).renewed()
        return Certificate(lambda: (path, path)).speaking("http/1.1")

    return make


async def talk(directory: Path, what: Callable[[int], object]) -> object:
    """What a blocking client says to a port with tunnels hears."""

    async def no_rpc(make: Callable[[], asyncio.Protocol], client: str) -> object:
        raise AssertionError("nobody asked for gRPC")

    port = Port(Shout, no_rpc)
    port.tunnels = once(authority(directory))
    listener = socket.create_server(("127.0.0.1", 0))
    await port.listen(listener)
    try:
        return await asyncio.to_thread(what, listener.getsockname()[1])
    finally:
        port.stop_listening()
        port.cut()


def dial(number: int, host: str, rest: str = "") -> tuple[socket.socket, bytes]:
    """A socket behind the answer to CONNECT."""
    client = socket.create_connection(("127.0.0.1", number), 10)
    client.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{rest}\r\n".encode())
    return client, client.recv(4096)


@pytest.mark.parametrize(
    "host", ["www.googleapis.com", "storage.googleapis.com", "us-central1-aiplatform.googleapis.com"]
)
def test_googles_hosts_are_served_in_tls(tmp_path: Path, host: str) -> None:
    """For who trusts the bundle, under the very name; many at once share one authority."""

    def client(number: int) -> object:
        heard = []
        for _ in range(3):
            plain, answer = dial(number, f"{host}:443", "Proxy-Connection: Keep-Alive\r\n")
            assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n"
            trust = ssl.create_default_context(cafile=str(tmp_path / "bundle.pem"))
            with trust.wrap_socket(plain, server_hostname=host) as secure:
                for word in (b"hello", b"again"):
                    secure.sendall(word)
                    heard.append(secure.recv(100))
        return heard

    assert uvloop.run(talk(tmp_path, client)) == [b"HELLO", b"AGAIN"] * 3


def test_who_does_not_trust_it_hears_nothing(tmp_path: Path) -> None:
    """A client with the machine's own roots refuses the certificate; the next one is served all the same."""

    def client(number: int) -> object:
        plain, _ = dial(number, "www.googleapis.com:443")
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(plain, server_hostname="www.googleapis.com")
        plain.close()
        leaving, _ = dial(number, "www.googleapis.com:443")
        leaving.close()
        return dial(number, "www.googleapis.com:443")[1]

    assert uvloop.run(talk(tmp_path, client)) == b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize(
    "host",
    ["example.com:443", "bigquery.googleapis.com:443", "googleapis.com:443", "x.www.googleapis.com:443"],
)
def test_it_is_no_proxy_to_anywhere_else(tmp_path: Path, host: str) -> None:
    """Any other host is refused in words, and nothing is dialled or made."""

    def client(number: int) -> object:
        plain, answer = dial(number, host)
        plain.close()
        return answer

    answer = uvloop.run(talk(tmp_path / "made", client))
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert "is no proxy" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "seen",
    [b"CONNECT www.googleapis.com:80 HTTP/1.1\r\n\r\n", b"CONNECT www.googleapis.com:443", b"GET / HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_whole_request_for_a_tunnel_is_left_to_http(seen: bytes) -> None:
    """Which refuses it in its own words."""
    assert not is_tunnel(seen)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("A: b\r\nContent-Length: 0\r\nTransfer-Encoding: identity", "A: b\r\nContent-Length: 0"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 60\r\nA: b", "Transfer-Encoding: chunked\r\nA: b"),
        ("A: b", "A: b"),
    ],
)
def test_a_length_said_twice_is_said_once_in_a_tunnel(said: str, meant: str) -> None:
    """A transfer coding counts; bodies stay as they are, and so does every head outside of a tunnel."""
    around = "PUT / HTTP/1.1\r\n{}\r\n\r\nbody\r\nContent-Length: 1\r\n"
    assert _one_length(around.format(said).encode()) == around.format(meant).encode()
    assert HttpConnection.lenient is False
