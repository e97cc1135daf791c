"""JWTs of service accounts: what Google's clients sign is believed, and nothing that only looks like it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from trainyard.credentials import Credential, Form
from trainyard.service.access_jwt import MOST_BYTES, BadJwt, NoScope, looks_like_jwt, verify

NOW = 1_700_000_000
EMAIL = "ci@p1.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
OURS = "https://us-central1-aiplatform.googleapis.com/"
KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


ACCOUNT = Credential("ci", Form.ACCOUNT, "user", email=EMAIL, key_id="k1", public_key=pem(KEY))


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Mapping[str, Any] = {}, key: Any = KEY, **claims: Any) -> str:
    """A JWT as google-auth signs it; None takes a claim away."""
    head = {"alg": "RS256", "typ": "JWT", "kid": "k1", **header}
    body = {"iss": EMAIL, "sub": EMAIL, "iat": NOW, "exp": NOW + 3600, "scope": SCOPE, **claims}
    told = {name: value for name, value in body.items() if value is not None}
    text = f"{part({k: v for k, v in head.items() if v is not None})}.{part(told)}"
    return f"{text}.{part(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def check(token: str, now: float = NOW, **more: Any) -> Any:
    return verify(token, more.pop("accounts", [ACCOUNT]), int(now * 1e6), lambda aud: aud == OURS, **more)


def test_what_a_stock_client_signs_is_believed() -> None:
    """With a scope, or with an audience of ours, or both; with or without kid and sub."""
    for token in (
        signed(),
        signed(aud=OURS, scope=None),
        signed(aud=OURS),
        signed({"kid": None}),
        signed(sub=None),
    ):
        proof = check(token)
        assert proof.credential is ACCOUNT
        assert proof.read_only is False
        assert looks_like_jwt(token)


def test_clocks_may_differ_by_a_minute() -> None:
    """A client a little ahead or behind is let in; one further off is not, and is told to look at the clocks."""
    for now in (NOW - 60, NOW + 3659):
        assert check(signed(), now).credential is ACCOUNT
    with pytest.raises(BadJwt, match="of the future; look at the clocks"):
        check(signed(), NOW - 61)
    with pytest.raises(BadJwt, match="has expired") as caught:
        check(signed(), NOW + 3660)
    assert caught.value.expired


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (signed(key=OTHER_KEY), "signature"),
        (signed({"kid": "k2"}), "its key is not the account's"),
        (signed({"alg": "none"}), "algorithm is not RS256"),
        (signed({"alg": "HS256"}), "algorithm is not RS256"),
        (signed({"alg": "RS512"}), "algorithm is not RS256"),
        (signed({"alg": None}), "algorithm is not RS256"),
        (signed({"crit": ["x"]}), "extensions"),
        (signed(iss="eve@p1.iam.gserviceaccount.com", sub="eve@p1.iam.gserviceaccount.com"), "not known here"),
        (signed(sub="somebody@example.com"), "not known here"),
        (signed(iss=None, sub=None), "not known here"),
        (signed(aud="https://elsewhere.example.com/"), "audience"),
        (signed(aud=[OURS]), "audience"),
        (signed(scope=None), "neither by aud nor by scope"),
        (signed(iat=None), "iat and exp"),
        (signed(exp=None), "iat and exp"),
        (signed(exp="never"), "iat and exp"),
        (signed(exp=True), "iat and exp"),
        (signed(exp=float("nan")), "hour at most"),
        (signed(exp=NOW + 3661), "hour at most"),
        (signed(exp=NOW), "hour at most"),
        (signed(iat=NOW - 10**9, exp=float("inf")), "hour at most"),
        ("a.b.c", "no JWT"),
        ("a.b", "no JWT"),
        ("ey.é.c", "no JWT"),
        ("x" * (MOST_BYTES + 1), "no JWT"),
        (f"{part([1])}.{part({})}.{part(b'')}", "no JWT"),
        (f"{part({})}.{part([1])}.{part(b'')}", "no JWT"),
        (f"{part({})}.{part(b'not json')}.{part(b'')}", "no JWT"),
        (f"{part(b'[' * 3000)}.{part({})}.{part(b'')}", "no JWT"),
        (signed() + "!", "no JWT"),
        (signed()[:-8], "signature|no JWT"),
        (signed().rpartition(".")[0] + ".", "signature"),
    ],
)
def test_what_only_looks_like_it_is_not(token: str, why: str) -> None:
    """Each way in which a token can be wrong is refused with a sentence of its own."""
    with pytest.raises(BadJwt, match=why):
        check(token)


def test_the_public_key_is_no_shared_secret() -> None:
    """HMAC over the account's public key, the classic confusion of algorithms, proves nothing."""
    text = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{part({'iss': EMAIL, 'iat': NOW, 'exp': NOW + 60, 'scope': SCOPE})}"
    forged = hmac.digest(ACCOUNT.public_key.encode(), text.encode(), hashlib.sha256)
    with pytest.raises(BadJwt, match="RS256"):
        check(f"{text}.{part(forged)}")


def test_a_changed_claim_breaks_the_signature() -> None:
    """Nobody lengthens the life of a token that was signed."""
    head, _, tail = signed().split(".")
    body = part({"iss": EMAIL, "sub": EMAIL, "iat": NOW, "exp": NOW + 3601, "scope": SCOPE})
    with pytest.raises(BadJwt, match="signature"):
        check(f"{head}.{body}.{tail}")


@pytest.mark.parametrize(
    "key",
    ["no pem", pem(ec.generate_private_key(ec.SECP256R1())), "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"],
)
def test_an_account_without_an_rsa_key_has_no_tokens(key: str) -> None:
    """What somebody wrote into the file by hand lets nobody in."""
    with pytest.raises(BadJwt, match="no RSA key"):
        check(signed(), accounts=[replace(ACCOUNT, public_key=key)])


def test_scopes_that_only_read_make_a_reader() -> None:
    """And scopes of other services are good for nothing here."""
    reads = "https://www.googleapis.com/auth/devstorage.read_only https://www.googleapis.com/auth/drive"
    assert check(signed(scope=reads)).read_only
    assert not check(signed(scope=f"{reads} {SCOPE}")).read_only
    for useless in ("https://www.googleapis.com/auth/drive", ["x"]):
        with pytest.raises(NoScope):
            check(signed(scope=useless))


def test_what_is_to_be_exchanged_needs_both() -> None:
    """The token endpoint wants its own address as audience, and to know for what."""
    assert check(signed(aud=OURS), needs_audience=True).credential is ACCOUNT
    with pytest.raises(BadJwt, match="has no aud"):
        check(signed(), needs_audience=True)
    with pytest.raises(NoScope):
        check(signed(aud=OURS, scope=None), needs_audience=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(
    header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit"]), JSON),
    claims=st.dictionaries(st.sampled_from(["iss", "sub", "aud", "iat", "exp", "scope"]), JSON),
)
def test_whatever_is_signed_by_us_or_not_is_judged(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Any JSON in any place of a token, signed with the right key: a proof, or a refusal, and never anything else."""
    head = {"alg": "RS256", "kid": "k1", **header}
    body = {"iss": EMAIL, "sub": EMAIL, "iat": NOW, "exp": NOW + 60, "scope": SCOPE, **claims}
    text = f"{part(head)}.{part(body)}"
    token = f"{text}.{part(KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
    try:
        assert check(token).credential is ACCOUNT
    except (BadJwt, NoScope):
        assert header or claims


@given(st.text() | st.from_regex(r"ey[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_no_text_is_a_proof(text: str) -> None:
    """Whatever stands in the header."""
    with pytest.raises(BadJwt):
        check(text)
