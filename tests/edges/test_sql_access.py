"""Who may speak SQL: tokens as passwords over TLS, projects that stay apart, and credentials that end."""

from __future__ import annotations

import json
import os
import ssl
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import Server
from pg_client import Raw, message, query, sql_port

psycopg = pytest.importorskip("psycopg")
JOBS = "SELECT displayName FROM google.aiplatform.custom_jobs WHERE projectsId = '{}' AND locationsId = 'us-central1'"
SPEC = (
    '{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,'
    '"containerSpec":{"imageUri":"host","command":["true"]}}]}'
)
INSERT = (
    "INSERT INTO google.aiplatform.custom_jobs(projectsId, locationsId, displayName, jobSpec) "
    f"VALUES ('PROJECT', 'us-central1', 'x', '{SPEC}')"
)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that asks who calls, over TLS."""
    with Server(tmp_path_factory.mktemp("closed-sql") / "data", "--auth", "--tls") as server:
        yield server
        server.stop()
        assert "Traceback" not in server.stderr()


def tokens(server: Server, *arguments: str) -> str:
    """`trainyard tokens …`."""
    command = [sys.executable, "-m", "trainyard", "tokens", *arguments, "--data-dir", str(server.data_dir)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def connected(server: Server, password: str, **more: Any) -> Any:
    """A connection that trusts the service's own authority."""
    trust = {"sslmode": "verify-full", "sslrootcert": str(server.data_dir / "tls" / "ca.pem")}
    where = {"host": "localhost", "port": sql_port(server), "user": "anyone", "dbname": "google", "autocommit": True}
    return psycopg.connect(**{**where, **trust, "password": password, **more})


def test_a_token_is_the_password_and_its_projects_are_all_there_is(closed: Server) -> None:
    """Rows of another project are refused, by name and by `-`; a viewer writes nothing."""
    one = tokens(closed, "create", "one", "--project", "p-one", "--role", "user")
    viewer = tokens(closed, "create", "viewer", "--project", "p-two", "--role", "viewer")
    admin = tokens(closed, "create", "boss", "--role", "admin")
    with connected(closed, admin) as connection:
        for project in ("p-one", "p-two"):
            connection.execute(INSERT.replace("PROJECT", project))
        assert connection.execute(JOBS.format("-")).fetchall() == [("x",), ("x",)]
        assert connection.execute("SELECT current_user").fetchone() == ("boss",)
    with connected(closed, one) as connection:
        assert connection.execute(JOBS.format("p-one")).fetchall() == [("x",)]
        assert connection.execute(JOBS.format("-")).fetchall() == [("x",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(JOBS.format("p-two"))
        connection.execute("CREATE TABLE mine AS SELECT 1 AS a")
    with connected(closed, viewer) as connection:
        assert connection.execute(JOBS.format("p-two")).fetchall() == [("x",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(INSERT.replace("PROJECT", "p-two"))
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM mine")
    lines = [json.loads(line) for line in (closed.data_dir / "audit.log").read_text().splitlines()]
    assert {(line["who"], line["result"]) for line in lines if line["what"] == "customJobs.create"} == {
        ("boss", "OK"), ("viewer", "PERMISSION_DENIED"),
    }  # fmt: skip
    assert all(line["address"].startswith("127.0.0.1:") for line in lines if line["what"] == "customJobs.create")


def test_no_password_or_a_wrong_one(closed: Server) -> None:
    """28P01 with the way to get one; clear text is refused before anything is asked."""
    with pytest.raises(psycopg.OperationalError) as caught:
        connected(closed, "nonsense")
    assert "invalid authentication credentials" in str(caught.value)
    assert "trainyard tokens create" in str(caught.value)
    with pytest.raises(psycopg.OperationalError) as caught:
        connected(closed, "x", sslmode="disable", sslrootcert="")
    assert "TLS only" in str(caught.value)


def test_without_tls_the_password_stays_on_this_machine(tmp_path: Path) -> None:
    """--auth alone listens on loopback only, as for REST; the token gets in, and nothing else."""
    with Server(tmp_path / "data", "--auth") as server:
        where = f"host=127.0.0.1 port={sql_port(server)} user=me dbname=google sslmode=prefer"
        token = tokens(server, "create", "me", "--role", "viewer")
        with psycopg.connect(where, password=token) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("me",)
        for password in ("", "x" * 43):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(where, password=password)


def test_a_revoked_token_ends_its_connections(closed: Server) -> None:
    """At the next statement, with a sentence; not when it is convenient."""
    token = tokens(closed, "create", "gone", "--role", "viewer")
    with connected(closed, token) as connection:
        connection.execute("SELECT 1")
        tokens(closed, "revoke", "gone")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        assert connection.closed


def test_direct_tls_and_its_protocol_name(closed: Server) -> None:
    """TLS from the first byte, with ALPN `postgresql`, as libpq 17 can; and the same certificate as REST."""
    context = ssl.create_default_context(cafile=str(closed.data_dir / "tls" / "ca.pem"))
    context.set_alpn_protocols(["postgresql"])
    with Raw(sql_port(closed), greeted=False) as raw:
        secured = context.wrap_socket(raw.socket, server_hostname="localhost")
        assert secured.selected_alpn_protocol() == "postgresql"
        raw.socket = secured
        raw.send(Raw.startup(user="x", database="google"))
        assert raw.exactly(9) == b"R\0\0\0\x08\0\0\0\x03"
        raw.send(message("p", tokens(closed, "create", "direct").encode() + b"\0"))
        raw.said()
        assert raw.ask(query("SELECT 1")).rows == [(b"1",)]


def test_nothing_is_taken_over_from_before_tls(closed: Server) -> None:
    """Bytes sent along with the request for TLS, before there is any, end the connection (CVE-2021-23222)."""
    with Raw(sql_port(closed), greeted=False) as raw:
        raw.send(struct.pack("!ii", 8, 80877103) + Raw.startup(user="x"))
        assert raw.exactly(1) in (b"S", b"")
        raw.socket.settimeout(15)
        answer = raw.exactly(4096)
        assert b"unencrypted data" in answer or answer == b""


def test_http_asks_too(closed: Server) -> None:
    """POST /v1/sql without a credential is 401; with an API key it is answered."""
    context = ssl.create_default_context(cafile=str(closed.data_dir / "tls" / "ca.pem"))
    address = f"https://localhost:{closed.port}/v1/sql"

    def post(**headers: str) -> tuple[int, bytes]:
        request = urllib.request.Request(address, b"SELECT 1 AS a", {"content-type": "text/plain", **headers})
        try:
            with urllib.request.urlopen(request, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    assert post()[0] == 401
    key = tokens(closed, "create", "http", "--as", "api-key")
    status, body = post(**{"x-goog-api-key": key})
    assert (status, b'{"row":[1]}' in body) == (200, True)


def test_trainyard_sql_brings_its_token(closed: Server, tmp_path: Path) -> None:
    """The command line's token and trust serve SQL as they serve the rest."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRAINYARD_", "SSL_"))}
    environment |= {"TRAINYARD_TOKEN": tokens(closed, "create", "cli"), "TRAINYARD_DATA_DIR": str(closed.data_dir)}
    command = [sys.executable, "-m", "trainyard", "sql", "--endpoint", f"https://localhost:{closed.port}", "SELECT 7"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["7", "-", "7"]), done.stderr
