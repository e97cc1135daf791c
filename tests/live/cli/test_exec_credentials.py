"""`trainyard exec` and `trainyard env` against services that ask who is there, in clear text and over TLS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard.local_service import LocalService

pytestmark = pytest.mark.clients
TRAINYARD = str(Path(sys.executable).with_name("trainyard"))
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/customJobs"
# Every way in which a program may have found a credential of the user's, which must not be what we are shown.
PROGRAM = f"""
import asyncio, grpc, requests
from google.auth.transport.requests import AuthorizedSession
from google.cloud import aiplatform_v1
import google.auth

parent = "projects/p/locations/us-central1"
secret = (("authorization", "Bearer users-own"),)
print(len(list(aiplatform_v1.JobServiceClient().list_custom_jobs(parent=parent, metadata=secret))))
print(len(list(aiplatform_v1.JobServiceClient(transport="rest").list_custom_jobs(parent=parent))))


async def later():
    client = aiplatform_v1.JobServiceAsyncClient()
    return [job async for job in await client.list_custom_jobs(parent=parent)]


print(len(asyncio.run(later())))
print(AuthorizedSession(google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])[0]).get("{VERTEX}").status_code)
"""
LET_IN = ["0", "0", "0", "200"]


def clean(data: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRAINYARD_", "GOOGLE_"))}
    return kept | {"TRAINYARD_DATA_DIR": str(data), "HOME": str(data.parent)} | more


def execute(service: LocalService, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TRAINYARD, "exec", "--endpoint", service.endpoint, "--project", "p", "--", *command],
        env=clean(service.data_dir, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module", params=["clear", "tls"])
def closed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A service that lets in only those whom it knows."""
    flags = ("--auth", "--tls") if request.param == "tls" else ("--auth",)
    with LocalService(tmp_path_factory.mktemp(f"closed-{request.param}"), flags=flags) as running:
        yield running


def made(service: LocalService, form: str, name: str, out: Path) -> str:
    """A credential, written to a file."""
    command = [TRAINYARD, "tokens", "create", name, "--as", form, "--out", str(out), "--endpoint", service.endpoint]
    subprocess.run([*command, "--data-dir", str(service.data_dir)], check=True, capture_output=True)
    return str(out)


def test_a_token_is_presented_everywhere(closed: LocalService, tmp_path: Path) -> None:
    """TRAINYARD_TOKEN opens the door over gRPC, REST and asyncio, in place of whatever the program has."""
    token = Path(made(closed, "token", f"t-{os.getpid()}", tmp_path / "token")).read_text().strip()
    ended = execute(closed, sys.executable, "-c", PROGRAM, TRAINYARD_TOKEN=token)
    assert ended.stdout.split() == LET_IN, ended.stderr


def test_a_key_that_the_service_issued_is_used(closed: LocalService, tmp_path: Path) -> None:
    """A key file of `trainyard tokens create --as service-account` is what the clients sign with."""
    key = made(closed, "service-account", f"k-{os.getpid()}", tmp_path / "key.json")
    ended = execute(closed, sys.executable, "-c", PROGRAM, GOOGLE_APPLICATION_CREDENTIALS=key)
    assert ended.stdout.split() == LET_IN, ended.stderr


def test_without_either_nobody_is_let_in(closed: LocalService, tmp_path: Path) -> None:
    """A key of another issuer is not sent to us either: the service sees nobody."""
    key = tmp_path / "key.json"
    other = made(closed, "service-account", f"o-{os.getpid()}", tmp_path / "issued.json")
    key.write_text(Path(other).read_text().replace(closed.endpoint, "https://oauth2.googleapis.com"))
    ended = execute(closed, sys.executable, "-c", PROGRAM, GOOGLE_APPLICATION_CREDENTIALS=str(key))
    assert "Unauthenticated" in ended.stderr


def test_stock_clients_trust_the_service_after_env(tmp_path: Path) -> None:
    """`eval "$(trainyard env)"` is enough for gRPC, requests, urllib and curl to trust a certificate of our making."""
    with LocalService(tmp_path / "open", flags=("--tls",)) as service:
        code = f"""
import grpc, requests, urllib.request
url = "{service.endpoint}/v1/projects/p/locations/us-central1/customJobs"
print(requests.get(url).status_code, urllib.request.urlopen(url).status)
channel = grpc.secure_channel("{service.endpoint.removeprefix("https://")}", grpc.ssl_channel_credentials())
grpc.channel_ready_future(channel).result(20)
"""
        script = f'eval "$("{TRAINYARD}" env --endpoint {service.endpoint})" && exec "{sys.executable}" -c "$0"'
        ended = subprocess.run(
            ["sh", "-c", script, code], env=clean(service.data_dir), capture_output=True, text=True, check=False
        )
        assert ended.stdout.split() == ["200", "200"], ended.stderr
