"""Who calls and what they may do: open to everyone on this machine, or to the holders of bearer tokens.

A token file holds no token, only `name sha256` lines, and is refused when others can read it. Wording of the errors:
as the service's own front end says it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainyard.core.errors import PermissionDenied, Unauthenticated

_EXPECTED = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9@._+-]{0,127})\s+(?P<digest>[0-9a-f]{64})")
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls; `name` stands in the sentence that says who cancelled a job, empty where nobody asked who it is."""

    name: str = ""


class Access(Protocol):
    """Turns credentials into a caller, and answers what a caller may do."""

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:
        """The caller behind an Authorization header or an API key; raises Unauthenticated."""

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        """Whether the caller has an IAM permission on a resource (its name, `projects/…`)."""


class OpenAccess:
    """Everyone who reaches the port may do everything. Credentials are not looked at, real ones least of all."""

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:  # noqa: ARG002 - the promise's signature
        """Nobody in particular."""
        return Caller()

    def may(self, caller: Caller, permission: str, resource: str) -> bool:  # noqa: ARG002 - the promise's signature
        """Yes."""
        return True


class TokenAccess:
    """Holders of a known token may do everything; nobody else gets in."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        """Keep sha256 (hex) to name; the tokens themselves are never held."""
        self._digests = dict(digests)

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:
        """The name that the token was made for; raises Unauthenticated."""
        scheme, _, bearer = authorization.partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else api_key.strip()
        if not token:
            raise Unauthenticated(
                f"Request is missing required authentication credential. {_EXPECTED}", reason="CREDENTIALS_MISSING"
            )
        name = self._holder(digest_of(token))
        if not name:
            raise Unauthenticated(
                f"Request had invalid authentication credentials. {_EXPECTED}", reason="ACCESS_TOKEN_TYPE_UNSUPPORTED"
            )
        return Caller(name)

    def _holder(self, digest: str) -> str:
        """Compares with every known digest in the same time, so that the answer's delay tells nothing."""
        holder = ""
        for known, name in self._digests.items():
            if hmac.compare_digest(known, digest):
                holder = name
        return holder

    def may(self, caller: Caller, permission: str, resource: str) -> bool:  # noqa: ARG002 - the promise's signature
        """Whoever has been identified may do everything."""
        return True


class BadTokenFile(Exception):
    """The token file cannot be used; the message says why and how to mend it. The server does not start."""


def read_tokens(path: Path) -> TokenAccess:
    """The access that a token file describes; raises BadTokenFile where it is missing, open to others or malformed."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadTokenFile(f"The token file {path} cannot be read: {error}.") from error
    if mode & 0o077:
        raise BadTokenFile(f"The token file {path} is open to others (mode {mode:04o}); run: chmod 600 {path}")
    digests: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise BadTokenFile(f"Line {number} of the token file {path} is not of the form: name sha256-in-hex")
        digests[found["digest"]] = found["name"]
    if not digests:
        raise BadTokenFile(f"The token file {path} holds no token, so nobody could get in.")
    return TokenAccess(digests)


def new_token(name: str) -> tuple[str, str]:
    """A fresh token for its holder, and the line that lets it in; the token itself is nowhere kept."""
    token = f"ty_{secrets.token_urlsafe(_TOKEN_BYTES)}"
    return token, f"{name} {digest_of(token)}\n"


def digest_of(token: str) -> str:
    """What is stored and compared. Tokens are random and long, so one round of sha256 is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def require(access: Access, caller: Caller, permission: str, resource: str) -> None:
    """Raises PermissionDenied, in the service's own words, where the caller lacks the permission."""
    if permission and not access.may(caller, permission, resource):
        raise PermissionDenied(
            f"Permission '{permission}' denied on resource '//aiplatform.googleapis.com/{resource}' "
            "(or it may not exist).",
            reason="IAM_PERMISSION_DENIED",
        )
