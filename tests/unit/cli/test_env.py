"""`trainyard env` says what is true, in the quoting of whoever reads it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from trainyard.cli import env
from trainyard.cli.connection import Target
from trainyard.cli.main import main

ODD = """a b'c"d$e\\f`g*;&#%é"""


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["env", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, token or project of whoever runs the tests."""
    for name in (
        "TRAINYARD_TOKEN",
        "TRAINYARD_ENDPOINT",
        "TRAINYARD_REGION",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TRAINYARD_DATA_DIR", str(tmp_path / ODD))


def test_a_shell_gets_every_value_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """`eval "$(trainyard env)"` sets exactly what --format json says, however odd a value is."""
    script = told(capsys, "--project", ODD)
    wanted = json.loads(told(capsys, "--project", ODD, "--format", "json"))
    assert wanted["GOOGLE_CLOUD_PROJECT"] == ODD
    command = ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", f"{script}\nenv -0"]
    seen = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    assert wanted.items() <= dict(each.split("=", 1) for each in seen if each).items()


def test_dotenv_quotes_only_what_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Plain values stay bare, so that readers without quoting understand them; odd ones are in single quotes."""
    lines = told(capsys, "--project", "it's", "--format", "dotenv").splitlines()
    assert "TRAINYARD_ENDPOINT=http://127.0.0.1:8470" in lines
    assert "GOOGLE_CLOUD_PROJECT='it\\'s'" in lines


def test_gcloud_and_storage_are_told_their_endpoints(capsys: pytest.CaptureFixture[str]) -> None:
    """gcloud's overrides end in a slash, as it demands; the region is for the SDK and for gcloud."""
    found = json.loads(told(capsys, "--endpoint", "http://h:1/", "--region", "europe-west4", "--format", "json"))
    assert found["CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"] == "http://h:1/"
    assert found["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"] == "http://h:1/storage/v1/"
    assert found["STORAGE_EMULATOR_HOST"] == "http://h:1"
    assert found["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] == "false"
    assert {found[name] for name in ("GOOGLE_CLOUD_REGION", "CLOUDSDK_AI_REGION", "TRAINYARD_REGION")} == {
        "europe-west4"
    }
    assert found["CLOUDSDK_AUTH_DISABLE_CREDENTIALS"] == "true"


def test_a_token_reaches_gcloud_by_a_file_of_its_owners(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token itself is never printed; the file is readable by nobody else, also where it was."""
    monkeypatch.setenv("TRAINYARD_TOKEN", "old")
    told(capsys)
    monkeypatch.setenv("TRAINYARD_TOKEN", "s3cret")
    text = told(capsys, "--format", "json")
    path = Path(json.loads(text)["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"])
    assert "s3cret" not in text
    assert "CLOUDSDK_AUTH_DISABLE_CREDENTIALS" not in text
    assert path.read_text() == "s3cret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "s3cret" not in told(capsys, "--code")


def test_a_proxy_is_gone_round() -> None:
    """Where a proxy is set, requests for this machine stay on it; what was excepted before stays so."""
    here, there = Target("http://127.0.0.1:1", "p", "r"), Target("http://box:1", "p", "r")
    proxied = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": "a,b"}
    assert env.variables(here, proxied)["no_proxy"] == "a,b,127.0.0.1"
    assert env.variables(here, proxied)["NO_PROXY"] == "a,b,127.0.0.1"
    assert "no_proxy" not in env.variables(there, proxied)
    assert "no_proxy" not in env.variables(here, {"no_proxy": "a"})
    assert "no_proxy" not in env.variables(here, proxied | {"no_proxy": "a, 127.0.0.1"})


def test_the_code_is_three_lines_of_python(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It compiles, with and without a token, whatever the project is called."""
    plain = told(capsys, "--code", "--project", ODD)
    assert len(plain.splitlines()) == 3
    assert 'api_transport="rest"' in plain
    compile(plain, "code", "exec")
    monkeypatch.setenv("TRAINYARD_TOKEN", "t")
    compile(told(capsys, "--code"), "code", "exec")


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and a sentence, and nothing for a shell to evaluate."""
    assert main(["env", "--endpoint", "localhost:8470"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "is no address of a service" in said.err


def test_only_a_key_of_this_service_is_given_to_gcloud(tmp_path: Path) -> None:
    """A key that another issued is not for us to use; a file that is no key is its reader's business."""
    key = tmp_path / "key.json"
    told = {"GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    here = Target("http://127.0.0.1:1", "p", "r")
    anonymous = {"CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true"}
    assert env.credentials(here, {}) == anonymous
    assert env.credentials(here, told) == anonymous
    for text in ("no json", "[]", "{}", '{"token_uri": "http://127.0.0.1:11/token"}'):
        key.write_text(text)
        assert env.credentials(here, told) == anonymous
    key.write_text('{"token_uri": "http://127.0.0.1:1/token"}')
    assert env.credentials(here, told) == {"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(key)}


def test_trust_is_told_only_where_there_is_a_certificate_to_trust(tmp_path: Path) -> None:
    """Over https, with the bundle in the data directory: nothing that is not true."""
    told = {"TRAINYARD_DATA_DIR": str(tmp_path)}
    assert env.trust("https://127.0.0.1:1", told) == {}
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "bundle.pem").touch()
    assert env.trust("http://127.0.0.1:1", told) == {}
    found = env.trust("https://127.0.0.1:1", told)
    assert found["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] == found["REQUESTS_CA_BUNDLE"] == str(tmp_path / "tls/bundle.pem")
    assert found["NODE_EXTRA_CA_CERTS"] == str(tmp_path / "tls/ca.pem")
