"""The metadata server of a run, the token endpoint, and what clear text gets where the port speaks TLS."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from trainyard.core.names import JobName, Scope
from trainyard.edges.clear_text import NoClearText
from trainyard.edges.rest import metadata, token_endpoint
from trainyard.edges.rest.metadata import PREFIX, MetadataApp, variables
from trainyard.edges.rest.token_endpoint import JWT_BEARER, TokenEndpoint
from trainyard.service.access_grants import Grants
from trainyard.service.access_tickets import ACCESS, Tickets

from .asgi import Answer, ask

JOB = JobName(Scope.of("p1", "us-central1"), "customJobs", 7)
NUMBER = JOB.scope.project
NOW = 1_700_000_000
TICKETS = Tickets(b"k" * 32)


class StillClock:
    def now_us(self) -> int:
        return NOW * 1_000_000

    steady_us = now_us


GRANTS = Grants(TICKETS, StillClock(), lambda run: JOB if run == "7-1" else None, lambda _: False, None)
TICKET = GRANTS.run_ticket("7-1")


def found(path: str, method: str = "GET", ticket: str = TICKET, **more: Any) -> Answer:
    headers = {"metadata_flavor": "Google", **more}
    return ask(MetadataApp(GRANTS, frozenset()), method, f"{PREFIX}{ticket}{path}", **headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", "computeMetadata/v1/"),
        ("/", "computeMetadata/v1/"),
        ("/computeMetadata/v1/project/project-id", NUMBER),
        ("/computeMetadata/v1/project/numeric-project-id", NUMBER),
        ("/computeMetadata/v1/universe/universe-domain", "googleapis.com"),
        ("/computeMetadata/v1/instance/service-accounts/", f"default/\njob-7@{NUMBER}.trainyard.internal/\n"),
        ("/computeMetadata/v1/instance/service-accounts/default/email", f"job-7@{NUMBER}.trainyard.internal"),
    ],
)
def test_the_paths_that_clients_ask_for(path: str, body: str) -> None:
    """Each answer says that it is a metadata server's, and is kept by nobody."""
    answer = found(path)
    assert (answer.status, answer.body.decode()) == (200, body)
    assert answer.headers["metadata-flavor"] == "Google"
    assert answer.headers["cache-control"] == "no-store"


def test_a_token_and_what_it_is_for() -> None:
    """By the name default, or by the account's own; the token is the run's."""
    root = "/computeMetadata/v1/instance/service-accounts"
    whole = json.loads(found(f"{root}/default/?recursive=true").body)
    assert whole["email"] == f"job-7@{NUMBER}.trainyard.internal"
    assert "https://www.googleapis.com/auth/cloud-platform" in whole["scopes"]
    for name in ("default", whole["email"]):
        token = json.loads(found(f"{root}/{name}/token?scopes=x").body)
        assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
        ticket = TICKETS.read(token["access_token"], ACCESS, NOW)
        assert ticket is not None
        assert ticket.subject == "run/7-1"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"metadata_flavor": ""}, 403),
        ({"client": "10.0.0.9"}, 403),
        ({"x_forwarded_for": "127.0.0.1"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"method": "POST"}, 405),
        ({"ticket": GRANTS.run_ticket("7-2")}, 404),
        ({"ticket": "tyt_x"}, 404),
    ],
)
def test_others_get_nothing(more: dict[str, str], status: int) -> None:
    """No header, another machine, a proxy, a web page, another verb, a run that has ended: no token."""
    answer = found("/computeMetadata/v1/instance/service-accounts/default/token", **more)
    assert answer.status == status
    assert b"access_token" not in answer.body


def test_what_is_not_there_is_not_found() -> None:
    """Google's other metadata has no meaning here."""
    assert found("/computeMetadata/v1/instance/zone").status == 404


def test_a_run_with_an_account_is_that_account() -> None:
    """Its e-mail, by every name; its token says so; without the account's own name there is nothing of it."""
    email = "trainer@p1.iam.gserviceaccount.com"
    ticket, root = GRANTS.run_ticket("7-1", email), "/computeMetadata/v1/instance/service-accounts"
    assert found(f"{root}/", ticket=ticket).body.decode() == f"default/\n{email}/\n"
    for name in ("default", email):
        assert found(f"{root}/{name}/email", ticket=ticket).body.decode() == email
        token = json.loads(found(f"{root}/{name}/token", ticket=ticket).body)["access_token"]
        granted = TICKETS.read(token, ACCESS, NOW)
        assert granted is not None
        assert granted.subject == f"run/7-1/{email}"
    assert found(f"{root}/{email}/email").status == 404


def test_an_address_of_its_own() -> None:
    """The variables that Google's clients read, all with the run's address; a request for it is claimed."""
    given = variables("127.0.0.1:8470", TICKET)
    assert set(given) == {"GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"}
    assert set(given.values()) == {f"127.0.0.1:8470{PREFIX}{TICKET}"}
    assert metadata.claims({"raw_path": f"{PREFIX}{TICKET}".encode()})
    assert not metadata.claims({"raw_path": b"/trainyard/v1/health"})


def exchanged(body: bytes, method: str = "POST", **headers: str) -> Answer:
    return ask(TokenEndpoint(GRANTS, frozenset()), method, "/token", body=body, **headers)


def test_a_form_is_worth_a_token() -> None:
    """As RFC 7523 has it; nobody keeps the answer."""
    answer = exchanged(urlencode({"grant_type": JWT_BEARER, "assertion": "a.b.c"}).encode())
    assert answer.status == 200
    assert set(json.loads(answer.body)) == {"access_token", "expires_in", "token_type"}
    assert answer.headers["cache-control"] == "no-store"
    assert token_endpoint.claims({"raw_path": b"/token"})


@pytest.mark.parametrize(
    ("body", "more", "error"),
    [
        (b"", {}, "unsupported_grant_type"),
        (b"\xff", {}, "invalid_request"),
        (b"grant_type=password", {}, "unsupported_grant_type"),
        (urlencode({"grant_type": JWT_BEARER}).encode(), {}, "invalid_request"),
        (b"x=1&" * 40, {}, "invalid_request"),
        (b"x=1", {"method": "PUT"}, "invalid_request"),
        (b"x=1", {"origin": "http://evil.example"}, "invalid_request"),
        (b"x=1", {"content_encoding": "br"}, "invalid_request"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, more: dict[str, str], error: str) -> None:
    """In OAuth's words."""
    answer = exchanged(body, **more)
    assert (answer.status, json.loads(answer.body)["error"]) == (400, error)


def test_clear_text_gets_a_sentence() -> None:
    """But for what can come in no other way."""
    front = NoClearText(MetadataApp(GRANTS, frozenset()), metadata.claims)
    assert ask(front, "GET", f"{PREFIX}{TICKET}", metadata_flavor="Google").status == 200
    refused = ask(front, "GET", "/v1/x", metadata_flavor="Google")
    assert refused.status == 400
    assert b"https://" in refused.body
    assert ask(front, "GET", f"{PREFIX}{TICKET}/x", scheme="https", metadata_flavor="Google").status == 404
