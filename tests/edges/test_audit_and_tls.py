"""TLS, credentials and the audit log of a real server, seen with the bytes of plain clients."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from edge_server import MINIMAL, Api, Server

PATH = "/v1/projects/p1/locations/us-central1/customJobs"


def audit(data: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (data / "audit.log").read_text().splitlines()]


def first_token(server: Server) -> str:
    return server.stderr().split("shown only now: ")[1].split()[0]


def test_no_acknowledged_write_is_missing_in_the_audit_log(tmp_path: Path) -> None:
    """Whoever was answered is written down, though the service was asked to stop in the middle."""
    answered: list[str] = []
    with Server(tmp_path / "data") as server:

        def create() -> None:
            api = Api(server.port)
            try:
                while True:
                    answer = api.create()
                    if answer.status == 200:
                        answered.append(answer.json["name"])
            except (OSError, http.client.HTTPException):
                api.close()

        threads = [threading.Thread(target=create) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(answered) < 50:
            threads[0].join(0.01)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
    lines = audit(server.data_dir)
    written = {line["resource"] for line in lines if line["result"] == "OK"}
    assert set(answered) <= written
    assert {(line["who"], line["what"]) for line in lines} == {("anyone", "customJobs.create")}
    assert all(line["address"].startswith("127.0.0.1:") for line in lines)


def test_the_command_line_speaks_tls(tmp_path: Path) -> None:
    """On the service's own machine without any setting but the endpoint and the token; elsewhere with SSL_CERT_FILE."""
    with Server(tmp_path / "data", "--auth", "--tls") as server:
        base = {name: value for name, value in os.environ.items() if not name.startswith(("TRAINYARD_", "SSL_"))}
        token = {"TRAINYARD_TOKEN": first_token(server)}
        command = [sys.executable, "-m", "trainyard", "custom-jobs", "list", "--endpoint"]
        command.append(f"https://localhost:{server.port}")

        def run(**more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(command, env={**base, **more}, capture_output=True, text=True, check=False)

        home = {"TRAINYARD_DATA_DIR": str(server.data_dir)}
        elsewhere = {"TRAINYARD_DATA_DIR": str(tmp_path / "no-such")}
        authority = {"SSL_CERT_FILE": str(server.data_dir / "tls" / "ca.pem")}
        assert run(**home, **token).returncode == 0
        assert run(**elsewhere, **authority, **token).returncode == 0
        assert "TLS: " in run(**elsewhere, **token).stderr
        assert "authentication credential" in run(**home).stderr


def asked(port: int, context: ssl.SSLContext) -> tuple[int, Any]:
    """Status and certificate of one request over TLS."""
    connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
    connection.request("POST", PATH, json.dumps(MINIMAL), {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    certificate = connection.sock.getpeercert() if connection.sock else None
    connection.close()
    return response.status, certificate


def test_a_given_certificate_is_served(tmp_path: Path) -> None:
    """One of somebody else's making, IPv6 as well as IPv4; what cannot be used is told before anything listens."""
    with Server(tmp_path / "maker", "--tls") as maker:
        context = ssl.create_default_context(cafile=str(maker.data_dir / "tls" / "ca.pem"))
        assert asked(maker.port, context)[0] == 200
    made = tmp_path / "maker" / "tls" / "server.pem"
    given = ("--tls-cert", str(made), "--tls-key", str(made))
    with Server(tmp_path / "data", *given, "--host", "::1") as server:
        assert not (server.data_dir / "tls").exists()
        plain = socket.create_connection(("::1", server.port))
        with plain, context.wrap_socket(plain, server_hostname="::1") as tls:
            tls.sendall(b"GET /trainyard/v1/health HTTP/1.1\r\nHost: [::1]\r\n\r\n")
            assert tls.recv(65536).startswith(b"HTTP/1.1 200")
    (tmp_path / "torn.pem").write_text("torn")
    torn = ("--tls-cert", str(tmp_path / "torn.pem"), "--tls-key", str(made))
    done = subprocess.run(Server(tmp_path / "other", *torn).command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "torn.pem" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_spoilt_credential_file_keeps_the_service_from_starting(tmp_path: Path) -> None:
    """With the sentence that says how to mend it."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "credentials.json").write_text('{"version": 1, "credentials": []}')
    (data / "credentials.json").chmod(0o644)
    done = subprocess.run(Server(data, "--auth").command, capture_output=True, text=True, check=False)
    assert (done.returncode, "chmod 600" in done.stderr) == (1, True)
