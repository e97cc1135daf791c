"""The file of credentials: who may call, kept without any secret, changed by the command line under a running service.

<data>/credentials.json holds hashes of tokens and API keys and the public keys of service accounts. It is replaced as a
whole, under a lock, and refused when others can read it. Standard library only, but for making an account's key pair.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from trainyard.whole_files import write_whole

FILE_NAME: Final = "credentials.json"
OLD_NAME: Final = "tokens"
LOCK_NAME: Final = "credentials.lock"
VERSION: Final = 1
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,127}\Z")
ACCOUNT_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
ROLES: Final = ("viewer", "user", "admin")
KEY_BITS: Final = 2048
_OLD_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9@._+-]{0,127})\s+(?P<digest>[0-9a-f]{64})")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_SECRET_BYTES: Final = 32


class BadCredentialFile(Exception):
    """The file cannot be used; the message says why and how to mend it. A starting service does not start."""


class Refused(Exception):
    """What was asked of the file cannot be done; the message says why."""


class Form(StrEnum):
    """How a credential is presented."""

    TOKEN = "token"  # noqa: S105 - Authorization: Bearer …
    API_KEY = "api-key"  # x-goog-api-key: … or ?key=…
    ACCOUNT = "service-account"  # a JWT signed with the key file's private key


@dataclass(frozen=True, slots=True)
class Credential:
    """One holder. `digest`: sha256 (hex) of a token or API key; an account has `email`, `key_id`, `public_key` (PEM).

    `projects`: ids or numbers; empty means all. Times are microseconds since the epoch. `actors`: names of credentials
    and e-mails of accounts whose jobs may be this account, besides those who may do all that it may. `google`: a file
    with real credentials of Google's that such jobs get in place of ours.
    """

    name: str
    form: Form
    role: str
    projects: tuple[str, ...] = ()
    created_us: int = 0
    expires_us: int | None = None
    digest: str = ""
    email: str = ""
    key_id: str = ""
    public_key: str = ""
    actors: tuple[str, ...] = ()
    google: str = ""

    def expired(self, now_us: int) -> bool:
        """Whether its time is over."""
        return self.expires_us is not None and self.expires_us <= now_us


class CredentialFile:
    """The credentials of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Nothing is read yet."""
        self._directory = data_dir
        self.path = data_dir / FILE_NAME

    def mark(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does; None where there is none."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - asked at every call
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> tuple[Credential, ...]:
        """All credentials, oldest first; none where there is no file. Raises BadCredentialFile."""
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
            content = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise BadCredentialFile(f"The credentials {self.path} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise BadCredentialFile(f"The credentials {self.path} are not JSON: {error}.") from None
        _check_mode(self.path, mode)
        return tuple(_read_entries(self.path, content))

    def account(self, email: str, now_us: int) -> Credential | None:
        """The service account of this e-mail, as long as it lasts. Raises BadCredentialFile."""
        return next((each for each in self.read() if each.email == email and not each.expired(now_us)), None)

    def add(self, credential: Credential) -> None:
        """Keep one more. Raises Refused where the name is taken, BadCredentialFile, OSError."""
        with self._locked():
            known = self.read()
            if any(each.email and each.email == credential.email for each in known):
                raise Refused(f"there is an account {credential.email} already; revoke it first")
            if any(each.name == credential.name for each in known):
                raise Refused(
                    f"there is a credential named {credential.name!r} already; revoke it, or take another name"
                )
            self._write([*known, credential])

    def revoke(self, name: str) -> Credential:
        """Forget one; its holder gets in no more. Raises Refused where there is none, BadCredentialFile, OSError."""
        with self._locked():
            known = self.read()
            found = next((each for each in known if each.name == name), None)
            if found is None:
                raise Refused(f"there is no credential named {name!r}")
            self._write([each for each in known if each is not found])
        return found

    def migrate(self, now_us: int) -> int:
        """Take over `name sha256` lines of an earlier release's `tokens` file, as admins of all projects; how many.

        Raises BadCredentialFile. The old file goes when the new one is there.
        """
        old = self._directory / OLD_NAME
        with self._locked() if old.exists() else contextlib.nullcontext():
            if self.path.exists() or not old.exists():
                return 0
            found = _read_old(old, now_us)
            self._write(found)
            old.unlink()
        return len(found)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, known: Sequence[Credential]) -> None:
        entries = [{key: value for key, value in asdict(each).items() if value not in ("", None, ())} for each in known]
        content = json.dumps({"version": VERSION, "credentials": entries}, indent=1).encode() + b"\n"
        write_whole(self.path, content, durable=True)


def _check_mode(path: Path, mode: int) -> None:
    if mode & 0o077:
        raise BadCredentialFile(f"The credentials {path} are open to others (mode {mode:04o}); run: chmod 600 {path}")


def _read_entries(path: Path, content: Any) -> Iterator[Credential]:
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise BadCredentialFile(f"The credentials {path} are not of version {VERSION}, which this release reads.")
    for number, entry in enumerate(content.get("credentials", []), 1):
        try:
            yield _read_entry(entry)
        except (ValueError, TypeError, KeyError) as error:
            raise BadCredentialFile(f"Entry {number} of the credentials {path} cannot be meant: {error}.") from None


def _read_entry(entry: Mapping[str, Any]) -> Credential:
    form = Form(entry["form"])
    lists = {name: tuple(entry.get(name, ())) for name in ("projects", "actors")}
    found = Credential(**{**entry, **lists, "form": form})
    texts = [getattr(found, each.name) for each in fields(found) if each.type in ("str", "Form")]
    if not all(isinstance(text, str) for text in (*texts, *found.projects, *found.actors)):
        raise ValueError("a text is missing")
    if found.role not in ROLES:
        raise ValueError(f"{found.role!r} is not a role; there are {', '.join(ROLES)}")
    if found.form is Form.ACCOUNT:
        if not (found.email and found.key_id and found.public_key):
            raise ValueError("an account has email, key_id and public_key")
    elif not _DIGEST.match(found.digest):
        raise ValueError("digest is not a sha256 in hex")
    if not isinstance(found.created_us, int) or not isinstance(found.expires_us, int | None):
        raise ValueError("a time is not in whole microseconds")
    return found


def _read_old(path: Path, now_us: int) -> list[Credential]:
    try:
        _check_mode(path, stat.S_IMODE(path.stat().st_mode))
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadCredentialFile(f"The token file {path} cannot be read: {error}.") from None
    found: dict[str, Credential] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _OLD_LINE.fullmatch(line.strip())
        if match is None:
            raise BadCredentialFile(f"Line {number} of the token file {path} is not of the form: name sha256-in-hex")
        name, count = match["name"], 1
        while name in found:
            count += 1
            name = f"{match['name'][:120]}-{count}"
        found[name] = Credential(name, Form.TOKEN, "admin", (), now_us, None, match["digest"])
    return list(found.values())


def new_secret(asked: Credential) -> tuple[str, Credential]:
    """A fresh token or API key, and the credential that lets its holder in; the secret itself is nowhere kept."""
    secret = ("tyk_" if asked.form is Form.API_KEY else "ty_") + secrets.token_urlsafe(_SECRET_BYTES)
    return secret, replace(asked, digest=digest_of(secret))


def digest_of(secret: str) -> str:
    """What is stored and compared. Secrets are random and long, so one round of sha256 is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_account(asked: Credential, project: str, endpoint: str) -> tuple[dict[str, str], Credential]:
    """A service account's key file, as Google's clients read one, and the credential that knows its public half.

    `endpoint` is where clients that exchange their JWT for a token (RFC 7523) do so. Raises Refused on a name that
    cannot stand in an e-mail address of an account.
    """
    if not asked.email and not ACCOUNT_NAME.match(asked.name):
        raise Refused(f"{asked.name!r} can't be a service account: take lower-case letters, digits and dashes")
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - only this needs it, and it is large
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - as above

    key = rsa.generate_private_key(65537, KEY_BITS)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    email = asked.email or f"{asked.name}@{project}.iam.gserviceaccount.com"
    key_id = secrets.token_hex(20)
    file = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": key_id,
        "private_key": private,
        "client_email": email,
        "client_id": str(secrets.randbelow(9 * 10**20) + 10**20),
        "auth_uri": f"{endpoint}/o/oauth2/auth",
        "token_uri": f"{endpoint}/token",
        "universe_domain": "googleapis.com",
    }
    return file, replace(asked, email=email, key_id=key_id, public_key=public.decode())
