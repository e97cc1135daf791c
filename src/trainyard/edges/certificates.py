"""The service's own certificate authority: made once, and its server certificate renewed long before it expires.

Importing this module loads `cryptography` (docs/adr/0008); the composition root does so under `--tls` alone. Keys are
P-256. Whatever is killed in the middle leaves a whole old file or a whole new one, and a key always with its own
certificate. Form of the certificates: RFC 5280, as strictly as Python 3.13 and BoringSSL read it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trainyard.whole_files import write_whole

CA_NAME: Final = "ca.pem"
CA_KEY_NAME: Final = "ca.key"
SERVER_NAME: Final = "server.pem"
BUNDLE_NAME: Final = "bundle.pem"
CA_LIFE: Final = timedelta(days=3650)
CA_RENEWED_BEFORE: Final = timedelta(days=400)
SERVER_LIFE: Final = timedelta(days=90)
SERVER_RENEWED_BEFORE: Final = timedelta(days=30)
BACKDATED: Final = timedelta(hours=1)
"""A client whose clock is behind ours must not find the certificate to be of the future."""

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


class Authority:
    """The files of one directory: ca.pem for clients, ca.key and server.pem (key and chain) for us alone."""

    def __init__(self, directory: Path, names: Sequence[str], now: Callable[[], datetime]) -> None:
        """`names`: the host names and addresses that the server certificate is for; `now` is aware, UTC."""
        self._directory = directory
        self._names = sorted(set(names))
        self._now = now

    def renewed(self) -> Path:
        """The server's key and chain in one file, good for at least SERVER_RENEWED_BEFORE; raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca = self._authority()
        path = self._directory / SERVER_NAME
        if not self._still_good(path, ca):
            write_whole(path, self._issue(ca), durable=True)
        return path

    def _authority(self) -> Pair:
        key_path, path = self._directory / CA_KEY_NAME, self._directory / CA_NAME
        key = _read_key(key_path)
        if key is None:
            key = ec.generate_private_key(ec.SECP256R1())
            write_whole(key_path, _key_bytes(key), durable=True)
        found = _read_certificates(path)
        if found and _belongs(found[0], key) and found[0].not_valid_after_utc - self._now() > CA_RENEWED_BEFORE:
            return found[0], key
        certificate = self._self_signed(key)
        write_whole(path, _pem(certificate), 0o644, durable=True)
        write_whole(self._directory / BUNDLE_NAME, _system_roots() + _pem(certificate), 0o644, durable=True)
        return certificate, key

    def _still_good(self, path: Path, ca: Pair) -> bool:
        key, found = _read_key(path), _read_certificates(path)
        if key is None or not found or not _belongs(found[0], key):
            return False
        leaf = found[0]
        try:
            leaf.verify_directly_issued_by(ca[0])
        except Exception:  # whatever is wrong with an old file, a new one is the answer
            return False
        ends_soon = leaf.not_valid_after_utc - self._now() <= SERVER_RENEWED_BEFORE
        return _names_of(leaf) == self._names and not ends_soon

    def _self_signed(self, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """The same name and key whenever it is made: a client that trusts an earlier one trusts this one."""
        public = key.public_key()
        mark = x509.SubjectKeyIdentifier.from_public_key(public)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Trainyard"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Trainyard authority {mark.digest.hex()[:12]}"),
            ]
        )
        return (
            self._builder(name, name, public, CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(mark, critical=False)
            .sign(key, hashes.SHA256())
        )

    def _issue(self, ca: Pair) -> bytes:
        certificate, ca_key = ca
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trainyard")])
        mark = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        leaf = (
            self._builder(subject, certificate.subject, public, SERVER_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in self._names]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(mark), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        return _key_bytes(key) + _pem(leaf) + _pem(certificate)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, life: timedelta
    ) -> x509.CertificateBuilder:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + life)
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sorted(str(each.value) for each in names)


def _belongs(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() == key.public_key()


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    """The key in a file; None where there is none that can be used."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _read_certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return []


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _system_roots() -> bytes:
    """The roots that this machine trusts: a client given our bundle still reaches the rest of the world."""
    path = ssl.get_default_verify_paths().cafile
    try:
        return Path(path).read_bytes().rstrip() + b"\n" if path else b""
    except OSError:
        return b""
