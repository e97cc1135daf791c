"""The authority of our own: what it issues, when it renews, and what it does with what it finds."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from trainyard.edges.certificates import CA_LIFE, CA_RENEWED_BEFORE, SERVER_LIFE, SERVER_RENEWED_BEFORE, Authority

NAMES = ("localhost", "127.0.0.1", "::1", "*.googleapis.com")
NOW = datetime.now(UTC).replace(microsecond=0)


class Calendar:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def authority(tmp_path: Path, calendar: Calendar) -> Authority:
    return Authority(tmp_path / "tls", NAMES, calendar)


def leaf(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def test_openssl_is_content(authority: Authority, tmp_path: Path) -> None:
    """The chain verifies in the strictest reading of the standard, for every name, and for no other."""
    path = authority.renewed()
    ca = tmp_path / "tls" / "ca.pem"
    for name, good in (("localhost", True), ("us-central1-aiplatform.googleapis.com", True), ("example.com", False)):
        checked = subprocess.run(
            [
                "openssl",
                "verify",
                "-x509_strict",
                "-purpose",
                "sslserver",
                "-verify_hostname",
                name,
                "-CAfile",
                ca,
                path,
            ],
            capture_output=True,
            check=False,
        )
        assert (checked.returncode == 0) is good, checked.stderr
    modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "bundle.pem": 0o644, "server.pem": 0o600}
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)


def test_nothing_is_made_twice(authority: Authority, tmp_path: Path, calendar: Calendar) -> None:
    """A restart serves with what is there, so that clients need trust nothing new."""
    authority.renewed()
    before = {each.name: each.read_bytes() for each in (tmp_path / "tls").iterdir()}
    Authority(tmp_path / "tls", reversed(NAMES), calendar).renewed()  # type: ignore[arg-type]  # any order will do
    assert {each.name: each.read_bytes() for each in (tmp_path / "tls").iterdir()} == before


def test_renewal_comes_long_before_the_end(authority: Authority, tmp_path: Path, calendar: Calendar) -> None:
    """The server's certificate first, the authority's years later, with its key and name as they were."""
    path = authority.renewed()
    first, ca = leaf(path), leaf(tmp_path / "tls" / "ca.pem")
    calendar.time = NOW + SERVER_LIFE - SERVER_RENEWED_BEFORE - timedelta(seconds=1)
    assert leaf(authority.renewed()) == first
    calendar.time += timedelta(seconds=1)
    second = leaf(authority.renewed())
    assert second.serial_number != first.serial_number
    assert second.not_valid_after_utc == calendar.time + SERVER_LIFE
    assert leaf(tmp_path / "tls" / "ca.pem") == ca
    calendar.time = NOW + CA_LIFE - CA_RENEWED_BEFORE
    third = leaf(authority.renewed())
    renewed = leaf(tmp_path / "tls" / "ca.pem")
    assert renewed != ca
    assert (renewed.subject, renewed.public_key()) == (ca.subject, ca.public_key())
    third.verify_directly_issued_by(ca)


def test_other_names_need_another_certificate(authority: Authority, tmp_path: Path, calendar: Calendar) -> None:
    """And the authority stays."""
    path = authority.renewed()
    ca = (tmp_path / "tls" / "ca.pem").read_bytes()
    Authority(tmp_path / "tls", ("localhost", "train.example.com"), calendar).renewed()
    names = leaf(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(each.value) for each in names} == {"localhost", "train.example.com"}
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == ca


@pytest.mark.parametrize("lost", ["ca.pem", "ca.key", "server.pem", "bundle.pem"])
@pytest.mark.parametrize("how", ["gone", "torn"])
def test_what_is_lost_is_made_again(authority: Authority, tmp_path: Path, lost: str, how: str) -> None:
    """After a crash, or a hand that slipped, what is served verifies against what clients are given."""
    path = authority.renewed()
    victim = tmp_path / "tls" / lost
    victim.unlink() if how == "gone" else victim.write_bytes(victim.read_bytes()[:50])
    authority.renewed()
    leaf(path).verify_directly_issued_by(leaf(tmp_path / "tls" / "ca.pem"))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)


def test_the_bundle_trusts_the_world_and_us(authority: Authority, tmp_path: Path) -> None:
    """A client given our bundle still reaches everybody else."""
    authority.renewed()
    bundle = (tmp_path / "tls" / "bundle.pem").read_bytes()
    assert bundle.endswith((tmp_path / "tls" / "ca.pem").read_bytes())
    system = ssl.get_default_verify_paths().cafile
    assert bundle.count(b"BEGIN CERTIFICATE") > 1 or not system
