"""TLS on a real socket: handshakes, clear text, silence, renewal; each ends with its own connection."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trainyard.edges import secure
from trainyard.edges.certificates import Authority
from trainyard.edges.port import HTTP2_PREFACE, Port, address_of
from trainyard.edges.secure import BadCertificate, Certificate


class Told(asyncio.Protocol):
    """Answers with how it was reached, and what it heard."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP's are never less
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        tls = self.transport.get_extra_info("ssl_object")
        self.transport.write(b"%s %s" % (b"tls" if tls else b"clear", data))


def issued(directory: Path, *names: str) -> Path:
    return Authority(directory, names or ("localhost", "127.0.0.1"), lambda: datetime.now(UTC)).renewed()


@contextlib.asynccontextmanager
async def listening(directory: Path) -> AsyncIterator[tuple[Port, int]]:
    """A port that speaks TLS; HTTP/2 gets to a backend that echoes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(b"h2 " + data)
        writer.close()

    inner = await asyncio.start_server(echo, "127.0.0.1", 0)

    async def reach(make: object, client: str) -> object:
        return await asyncio.get_running_loop().create_connection(make, *inner.sockets[0].getsockname())  # type: ignore[type-var]  # a protocol

    path = issued(directory)
    port = Port(Told, reach)
    listener = socket.create_server(("127.0.0.1", 0))
    await port.listen(listener, Certificate(lambda: (path, path)).context)
    try:
        yield port, listener.getsockname()[1]
    finally:
        port.stop_listening()
        port.cut()
        inner.close()
        listener.close()
        await asyncio.sleep(0)


def trusting(directory: Path, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


async def said(port: int, what: bytes, context: ssl.SSLContext | None = None) -> tuple[bytes, str | None]:
    """The first answer, and the protocol agreed on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(what)
    answer = await asyncio.wait_for(reader.read(65536), 60)
    tls = writer.get_extra_info("ssl_object")
    writer.close()
    return answer, tls.selected_alpn_protocol() if tls else None


@pytest.mark.parametrize(
    ("alpn", "what", "answer", "agreed"),
    [
        (("h2", "http/1.1"), b"GET", b"tls GET", "http/1.1"),
        (("http/1.1",), b"GET", b"tls GET", "http/1.1"),
        ((), b"GET", b"tls GET", None),
        (("h2",), b"frames", b"h2 frames", "h2"),
        ((), HTTP2_PREFACE, b"h2 " + HTTP2_PREFACE, None),
    ],
)
def test_alpn_decides(tmp_path: Path, alpn: tuple[str, ...], what: bytes, answer: bytes, agreed: str | None) -> None:
    """Who offers both gets HTTP/1.1, who offers HTTP/2 alone gets it; without ALPN the first bytes decide."""

    async def story() -> None:
        async with listening(tmp_path) as (_, number):
            assert await said(number, what, trusting(tmp_path, *alpn)) == (answer, agreed)

    asyncio.run(story())


def test_clear_text_is_told_apart_and_gets_no_grpc(tmp_path: Path) -> None:
    """It reaches the HTTP protocol, which knows; HTTP/2's preface too, whatever it asks for."""

    async def story() -> None:
        async with listening(tmp_path) as (_, number):
            assert await said(number, b"GET") == (b"clear GET", None)
            assert await said(number, HTTP2_PREFACE) == (b"clear " + HTTP2_PREFACE, None)

    asyncio.run(story())


def test_strangers_disturb_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Noise that begins like TLS, a client that does not trust us, one that leaves, one that says nothing."""

    async def story() -> None:
        async with listening(tmp_path) as (port, number):
            assert isinstance(port._server, secure.SecureListener)
            port._server.handshake_seconds = 0.05
            silent = await asyncio.open_connection("127.0.0.1", number)
            stuck = await asyncio.open_connection("127.0.0.1", number)
            stuck[1].write(b"\x16\x03")
            noise = await asyncio.open_connection("127.0.0.1", number)
            noise[1].write(b"\x16" + b"\xff" * 500)
            gone = await asyncio.open_connection("127.0.0.1", number)
            gone[1].close()
            with pytest.raises(ssl.SSLError):
                await said(number, b"GET", ssl.create_default_context())
            assert (await said(number, b"GET", trusting(tmp_path)))[0] == b"tls GET"
            for reader, writer in (silent, stuck, noise):
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 60)
                writer.close()

    asyncio.run(story())
    assert "Traceback" not in caplog.text


def test_a_process_without_free_descriptors_takes_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, waits a little and goes on accepting; and not after it was told to stop."""
    monkeypatch.setattr(secure, "_FULL_PAUSE_SECONDS", 0.01)

    class Full(socket.socket):
        """Has no room for the first two."""

        refusals = 2

        def accept(self) -> tuple[socket.socket, object]:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def story() -> None:
        path = issued(tmp_path)
        with Full() as listener:
            listener.bind(("127.0.0.1", 0))
            door = secure.SecureListener(listener, Certificate(lambda: (path, path)).context, Told)
            door.start()
            assert await said(listener.getsockname()[1], b"GET") == (b"clear GET", None)
            listener.refusals = 1
            _, writer = await asyncio.open_connection(*listener.getsockname())
            while caplog.text.count("Too many open files") < 3:
                await asyncio.sleep(0.001)
            door.close()
            await asyncio.sleep(0.03)
            assert not door._silent
            writer.close()

    asyncio.run(story())


def test_stopping_lets_go_of_the_silent(tmp_path: Path) -> None:
    """A connection that has said nothing yet is closed when the service stops."""

    async def story() -> None:
        async with listening(tmp_path) as (port, number):
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            while not port._server._silent:  # type: ignore[union-attr]  # it listens
                await asyncio.sleep(0.001)
            port.stop_listening()
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
            port._server = None

    asyncio.run(story())


def test_new_connections_get_the_new_certificate(tmp_path: Path) -> None:
    """Read again when the file has changed; a broken file changes nothing and is told by name."""
    first, second = issued(tmp_path / "a"), issued(tmp_path / "b")
    served = tmp_path / "served.pem"
    served.write_bytes(first.read_bytes())
    certificate = Certificate(lambda: (served, served))
    assert certificate.reload() is False
    served.write_bytes(second.read_bytes())
    assert certificate.reload() is True
    assert certificate.chain == second.read_bytes()
    served.write_bytes(b"torn")
    with pytest.raises(BadCertificate, match=r"served\.pem .*cannot be used"):
        certificate.reload()
    served.unlink()
    with pytest.raises(BadCertificate, match="cannot be read"):
        certificate.reload()
    assert certificate.chain == second.read_bytes()


def test_a_key_with_a_password_is_no_question(tmp_path: Path) -> None:
    """The server does not stop to ask on a terminal; it says what is wrong."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    chain = issued(tmp_path)
    locked = serialization.BestAvailableEncryption(b"secret")
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked
    )
    (tmp_path / "key.pem").write_bytes(key)
    with pytest.raises(BadCertificate, match="password"):
        Certificate(lambda: (chain, tmp_path / "key.pem"))


def test_keeping_goes_on_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Looking again, until cancelled; the old certificate serves on."""
    path = issued(tmp_path)
    content = path.read_bytes()
    certificate = Certificate(lambda: (path, path))
    monkeypatch.setattr(secure, "LOOK_AT_FILES_SECONDS", 0.001)

    async def story() -> None:
        keeping = asyncio.create_task(certificate.keep())
        path.write_bytes(b"torn")
        while "served on" not in caplog.text:
            await asyncio.sleep(0.001)
        path.write_bytes(content + b"\n")
        while certificate.chain == content:
            await asyncio.sleep(0.001)
        keeping.cancel()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_addresses_are_written_as_people_write_them() -> None:
    """IPv6 in brackets; a peer that has gone has none."""

    class Peer(asyncio.BaseTransport):
        def __init__(self, name: object) -> None:
            super().__init__({"peername": name})

    assert address_of(Peer(("127.0.0.1", 4))) == "127.0.0.1:4"
    assert address_of(Peer(("::1", 4, 0, 0))) == "[::1]:4"
    assert address_of(Peer(None)) == ""
