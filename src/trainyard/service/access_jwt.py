"""JWTs that Google's clients sign with a service account's key (RFC 7519; https://google.aip.dev/auth/4111), verified.

Only RS256 counts, with the key that the account's own entry has: neither the token's header nor its claims can choose
another algorithm or key. Importing this module costs nothing; the first token loads `cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from trainyard.core.clock import MICROSECONDS
from trainyard.credentials import Credential

MOST_BYTES: Final = 8 * 1024
MOST_LIFE_SECONDS: Final = 3600
SKEW_SECONDS: Final = 60
"""How far a client's clock may be from ours."""
_SCOPE: Final = "https://www.googleapis.com/auth/"
_READS: Final = frozenset(
    _SCOPE + name for name in ("cloud-platform.read-only", "devstorage.read_only", "logging.read")
)
_WRITES: Final = frozenset(
    _SCOPE + name
    for name in (
        "cloud-platform",
        "aiplatform",
        "devstorage.read_write",
        "devstorage.full_control",
        "logging.write",
        "logging.admin",
    )
)


class BadJwt(Exception):
    """The token does not prove anything; the message says why, without anything of the token in it."""

    def __init__(self, why: str, *, expired: bool = False) -> None:
        """`expired`: it was good once."""
        super().__init__(why)
        self.expired = expired


class NoScope(Exception):
    """The token is good, but for none of the services that live here."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a good token proves: who signed it, and whether its scopes let it change anything."""

    credential: Credential
    read_only: bool


def looks_like_jwt(token: str) -> bool:
    """Three parts, the first of which is a JSON object."""
    return token.count(".") == 2 and token.startswith("ey")


def verify(
    token: str,
    accounts: Iterable[Credential],
    now_us: int,
    audience: Callable[[str], bool],
    *,
    needs_audience: bool = False,
) -> Proof:
    """The proof; raises BadJwt or NoScope.

    A self-signed token says what it is for by `scope` or by `aud`; one that is exchanged for another
    (`needs_audience`) by both. `audience` knows the addresses that are ours.
    """
    signed, header, claims, signature = _parts(token)
    credential = _account(header, claims, accounts)
    if not is_signed(credential.public_key, signed, signature):
        raise BadJwt("its signature is not the account's")
    _check_times(claims, now_us / MICROSECONDS)
    aud, scope = claims.get("aud"), claims.get("scope", "")
    if aud is not None and not (isinstance(aud, str) and audience(aud)):
        raise BadJwt("its audience is another service")
    if aud is None and (needs_audience or not scope):
        raise BadJwt("it says neither by aud nor by scope what it is for" if not needs_audience else "it has no aud")
    return Proof(credential, _reads_only(scope) if scope or needs_audience else False)


def _parts(token: str) -> tuple[bytes, dict[str, Any], dict[str, Any], bytes]:
    if len(token) > MOST_BYTES or not token.isascii():
        raise BadJwt("it is no JWT")
    head, _, tail = token.rpartition(".")
    parts = head.split(".")
    if len(parts) != 2:
        raise BadJwt("it is no JWT")
    try:
        header, claims = (json.loads(_decoded(part)) for part in parts)
        signature = _decoded(tail)
    except (ValueError, RecursionError):
        raise BadJwt("it is no JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadJwt("it is no JWT")
    return head.encode(), header, claims, signature


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("no base64url") from None


def _account(header: dict[str, Any], claims: dict[str, Any], accounts: Iterable[Credential]) -> Credential:
    if header.get("alg") != "RS256":
        raise BadJwt("its algorithm is not RS256")
    if "crit" in header:
        raise BadJwt("it asks for extensions that are not known here")
    issuer, subject = claims.get("iss"), claims.get("sub", claims.get("iss"))
    found = next((each for each in accounts if each.email == issuer), None)
    if found is None or subject != issuer:
        raise BadJwt("its account is not known here")
    if header.get("kid", found.key_id) != found.key_id:
        raise BadJwt("its key is not the account's")
    return found


def _check_times(claims: dict[str, Any], now: float) -> None:
    issued, expires = (_number(claims.get(name)) for name in ("iat", "exp"))
    if issued is None or expires is None:
        raise BadJwt("it does not say by iat and exp when it holds")
    if not issued < expires <= issued + MOST_LIFE_SECONDS + SKEW_SECONDS:
        raise BadJwt("it does not hold for an hour at most")
    if issued > now + SKEW_SECONDS:
        raise BadJwt("it is of the future; look at the clocks of both machines")
    if expires <= now - SKEW_SECONDS:
        raise BadJwt("it has expired", expired=True)


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _reads_only(scope: Any) -> bool:
    scopes = set(scope.split()) if isinstance(scope, str) else set()
    if scopes & _WRITES:
        return False
    if scopes & _READS:
        return True
    raise NoScope


def is_signed(public_key: str, signed: bytes, signature: bytes) -> bool:
    """Whether an RS256 signature is by this key (PEM). Raises BadJwt where that is no RSA key."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - most services never see a JWT
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - as above

    try:
        _public_key(public_key).verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=64)
def _public_key(pem: str) -> Any:
    """The key object. Raises BadJwt where the entry's key is no RSA key: nobody can sign for it."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - as above

    try:
        key = load_pem_public_key(pem.encode())
    except ValueError:
        key = None
    if not isinstance(key, RSAPublicKey):
        raise BadJwt("its account has no RSA key")
    return key
