"""The composition root's part for who may come in: certificate, credentials, audit, and what replicas are given.

Nothing here is imported or made that the settings do not ask for: without --tls and --auth, a start costs one small
file.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from trainyard import redirect
from trainyard.app_identity import identity_of, of_google, told
from trainyard.audit import AuditLog
from trainyard.core.clock import Clock
from trainyard.core.errors import ApiError
from trainyard.core.names import JobName
from trainyard.core.runs import RunGroup
from trainyard.credentials import BadCredentialFile, Credential, CredentialFile, Form, new_secret
from trainyard.edges.rest.browsers import is_ours
from trainyard.edges.rest.metadata import variables
from trainyard.edges.secure import BadCertificate, Certificate
from trainyard.edges.tunnel import NAMES, Contexts, once
from trainyard.objects import ObjectStore
from trainyard.service.access import Access, CredentialAccess, OpenAccess
from trainyard.service.access_grants import Grants
from trainyard.service.access_tickets import Tickets, ticket_key
from trainyard.service.object_access import ObjectAccess
from trainyard.setting_checks import is_loopback
from trainyard.settings import TLS_NAME, TUNNEL_NAME, Settings
from trainyard.store import Store

IN_THE_WAY: Final = (BadCredentialFile, BadCertificate)
_GOOGLES: Final = re.compile(
    r"([a-z0-9-]+-)?(aiplatform|storage|logging|oauth2|www)(\.[a-z0-9-]+\.rep)?(\.mtls)?\.googleapis\.com"
)
_ACCOUNTS: Final = "accounts.google.com"

log = logging.getLogger("trainyard.access")


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may come in, what they are given, and what is written down about it."""

    access: Access
    grants: Grants
    audit: AuditLog
    account: Callable[[str], Credential | None]
    """The service account of an e-mail, as long as it lasts. Raises BadCredentialFile; it may block."""


def open_doors(settings: Settings, clock: Clock, store: Store) -> Doors:
    """Raises BadCredentialFile, OSError."""

    def live(run_id: str) -> JobName | None:
        job_id = run_id.rpartition("-")[0]
        job = store.find(int(job_id)) if job_id.isdecimal() else None
        return job.name if job is not None and job.status.run_id == run_id and not job.is_final else None

    audit = AuditLog(settings.data_dir)
    tickets = Tickets(ticket_key(settings.data_dir))
    audience, file = audiences(settings), CredentialFile(settings.data_dir)

    def account(email: str) -> Credential | None:
        return file.account(email, clock.now_us())

    if not settings.auth:
        return Doors(OpenAccess(tickets), Grants(tickets, clock, live, audience, None), audit, account)
    _prepare(file, clock, audit)
    access = CredentialAccess(file, tickets, clock, live, audience)
    return Doors(access, Grants(tickets, clock, live, audience, access), audit, account)


def _prepare(file: CredentialFile, clock: Clock, audit: AuditLog) -> None:
    """Take over an earlier release's tokens; where there are no credentials yet, make one and show it, this once."""
    now_us = clock.now_us()
    taken = file.migrate(now_us)
    if taken:
        log.warning("took over %d tokens of an earlier release into %s, as admins of all projects", taken, file.path)
    if file.mark() is None:
        token, credential = new_secret(Credential("owner", Form.TOKEN, "admin", (), now_us))
        file.add(credential)
        audit.write(now_us, "trainyard serve", "tokens.create", credential.name)
        log.warning("made a first token; it is shown only now: %s (its hash is in %s)", token, file.path)
    elif not file.read():
        log.warning("nobody holds a credential, so nobody gets in; make one: trainyard tokens create NAME")


def object_access(doors: Doors, clock: Clock, objects: ObjectStore) -> ObjectAccess:
    """Who may do what with buckets and objects."""

    def attributes(bucket: str) -> Mapping[str, Any]:
        try:
            return objects.bucket(bucket).attributes
        except ApiError:
            return {}  # the call itself will say that there is no such bucket, or make it

    enforces = not isinstance(doors.access, OpenAccess)
    return ObjectAccess(doors.access, doors.audit, clock, attributes, enforces=enforces)


def audiences(settings: Settings) -> Callable[[str], bool]:
    """Whether an address, as a JWT's `aud` has it, is ours or the one that we stand in for."""
    names = settings.names()

    def ours(audience: str) -> bool:
        try:
            parts = urlsplit(audience)
            host = parts.hostname or ""
        except ValueError:
            return False
        if parts.scheme not in ("http", "https"):
            return False
        return is_ours(host, names) or _GOOGLES.fullmatch(host) is not None or host == _ACCOUNTS

    return ours


def certificate(settings: Settings) -> Certificate | None:
    """What to serve with, under --tls or --tls-cert; made or renewed where need be. Raises BadCertificate, OSError."""
    if settings.tls_cert:
        given = Path(settings.tls_cert), Path(settings.tls_key)
        return Certificate(lambda: given)
    if not settings.tls:
        return None
    module = import_module("trainyard.edges.certificates")
    authority = module.Authority(
        settings.data_dir / TLS_NAME,
        sorted({*settings.names(), settings.names_of_dashboards()}),
        lambda: datetime.now(UTC),
    )

    def renewed() -> tuple[Path, Path]:
        path: Path = authority.renewed()
        return path, path

    return Certificate(renewed)


def tunnels(settings: Settings) -> Contexts | None:
    """What to serve Google's names with, for programs of this machine that can be told of a proxy alone."""
    if not _digs(settings):
        return None

    def make() -> ssl.SSLContext:
        module = import_module("trainyard.edges.certificates")
        authority = module.Authority(settings.data_dir / TUNNEL_NAME, NAMES, lambda: datetime.now(UTC))

        def renewed() -> tuple[Path, Path]:
            path: Path = authority.renewed()
            return path, path

        return Certificate(renewed).speaking("http/1.1")

    return once(make)


def equipment(settings: Settings, port: int, doors: Doors) -> Callable[[RunGroup], RunGroup]:
    """What gives a run's replicas their way to gs:// and to default credentials, and to trust our certificate.

    A variable that the job's own spec sets stays as it sets it. The result raises Unavailable (app_identity.py).
    """
    host = settings.host if is_loopback(settings.host) or settings.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared, not bound
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    trust = _trust(settings)
    here = _storage(f"{'https' if settings.speaks_tls else 'http'}://{netloc}", settings)

    def equip(group: RunGroup) -> RunGroup:
        account, sentence = identity_of(group.service_account, doors.account, asked=settings.auth)
        if account is not None and account.google:
            given = {**trust, **of_google(account)}
        else:
            ticket = doors.grants.run_ticket(group.run_id, group.service_account)
            given = {**trust, **here, **variables(netloc, ticket)}
        own = {name for replica in group.replicas for name, _ in replica.env}
        kept = {name: value for name, value in given.items() if name not in own}
        return told(replace(group, extra_env={**kept, **group.extra_env}), sentence)

    return equip


def _storage(endpoint: str, settings: Settings) -> Mapping[str, str]:
    """What clients of Cloud Storage read. Told of an emulator, most of them take no credentials with them.

    Sources: google.cloud.storage._helpers, gcsfs.core and fsspec.config, google-cloud-cpp (which pyarrow has in it).
    """
    if settings.auth:
        found = {
            "API_ENDPOINT_OVERRIDE": endpoint,
            "FSSPEC_GCS_ENDPOINT_URL": endpoint,
            "FSSPEC_GS_ENDPOINT_URL": endpoint,
        }
    else:
        found = {"STORAGE_EMULATOR_HOST": endpoint, "CLOUD_STORAGE_EMULATOR_ENDPOINT": endpoint}
    return {**found, **_hooks(endpoint, settings), "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}


def _hooks(endpoint: str, settings: Settings) -> Mapping[str, str]:
    """What is patched in a replica's Python, and nothing else: google-auth (redirect/boundaries.py) and TensorFlow.

    The latter's gs:// is aimed at us (redirect/cxx.py).
    """
    found = {
        "PYTHONPATH": str(Path(redirect.__file__).parent / "on_path"),
        "TRAINYARD_REDIRECT": endpoint,
        "TRAINYARD_REDIRECT_ONLY": "google.auth.compute_engine.credentials",
        "TRAINYARD_REDIRECT_QUIET": "1",
    }
    if not _digs(settings):
        return found
    return {
        **found,
        "TRAINYARD_REDIRECT_ONLY": f"{found['TRAINYARD_REDIRECT_ONLY']},tensorflow",
        "TRAINYARD_REDIRECT_BUNDLE": str(settings.data_dir / TUNNEL_NAME / "bundle.pem"),
    }


def _digs(settings: Settings) -> bool:
    return not settings.speaks_tls and is_loopback(settings.host)


def _trust(settings: Settings) -> Mapping[str, str]:
    if not settings.tls or settings.tls_cert:
        return {}
    bundle = str(settings.data_dir / TLS_NAME / "bundle.pem")
    return dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"), bundle)
