"""Tickets and the tokens given out for them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from trainyard.core.names import JobName, Scope
from trainyard.credentials import CredentialFile
from trainyard.service.access import CredentialAccess
from trainyard.service.access_grants import TOKEN_SECONDS, Grants, InvalidGrant
from trainyard.service.access_tickets import ACCESS, KEY_BYTES, KEY_NAME, METADATA, Ticket, Tickets, ticket_key

from .test_access_jwt import ACCOUNT, NOW, OURS, signed

JOB = JobName(Scope.of("p1", "us-central1"), "customJobs", 7)


class StillClock:
    def now_us(self) -> int:
        return NOW * 1_000_000

    steady_us = now_us


def live(run_id: str) -> JobName | None:
    return JOB if run_id == "7-1" else None


def test_a_ticket_reads_back_for_its_use_alone() -> None:
    """And only with the key that wrote it, unchanged, in time."""
    tickets = Tickets(b"k" * KEY_BYTES)
    for ticket in (Ticket(ACCESS, "run/7-1", NOW + 1), Ticket(METADATA, "run/7-1"), Ticket(ACCESS, "a", NOW + 1, True)):
        text = tickets.write(ticket)
        assert tickets.read(text, ticket.use, NOW) == ticket
        assert tickets.write(ticket) == text
    text = tickets.write(Ticket(ACCESS, "run/7-1", NOW + 1))
    assert tickets.read(text, METADATA, NOW) is None
    assert tickets.read(text, ACCESS, NOW + 1) is None
    assert Tickets(b"x" * KEY_BYTES).read(text, ACCESS, NOW) is None


@pytest.mark.parametrize("wrong", ["", "ty_x", "tyt_", "tyt_!", "tyt_AAAA", "tyt_" + "A" * 2000, "tyt_é", "tyt_A"])
def test_what_is_no_ticket_is_none(wrong: str) -> None:
    """Whatever comes, no exception and no ticket."""
    assert Tickets(b"k" * KEY_BYTES).read(wrong, ACCESS, NOW) is None


def test_every_changed_byte_spoils_a_ticket() -> None:
    """Signature and content alike."""
    tickets = Tickets(b"k" * KEY_BYTES)
    text = tickets.write(Ticket(ACCESS, "run/7-1", NOW + 1))
    raw = base64.urlsafe_b64decode(text[4:] + "=" * (-len(text[4:]) % 4))
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert tickets.read("tyt_" + base64.urlsafe_b64encode(changed).decode().rstrip("="), ACCESS, NOW) is None


def test_the_key_lives_as_long_as_the_directory(tmp_path: Path) -> None:
    """The next server reads the same one; a torn one is replaced; others may not read it."""
    key = ticket_key(tmp_path)
    path = tmp_path / KEY_NAME
    assert len(key) == KEY_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert ticket_key(tmp_path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"short")
    assert ticket_key(tmp_path) not in (key, b"short")


@pytest.fixture
def closed(tmp_path: Path) -> Grants:
    """Grants of a service with the one account."""
    tickets, file = Tickets(b"k" * KEY_BYTES), CredentialFile(tmp_path)
    file.add(ACCOUNT)
    access = CredentialAccess(file, tickets, StillClock(), live, lambda aud: aud == OURS)
    return Grants(tickets, StillClock(), live, lambda aud: aud == OURS, access)


@pytest.fixture
def open_grants() -> Grants:
    """Grants of a service that asks nobody who they are."""
    return Grants(Tickets(b"k" * KEY_BYTES), StillClock(), live, lambda _: False, None)


def test_a_run_finds_its_token_by_its_ticket(closed: Grants, open_grants: Grants) -> None:
    """With and without --auth; a run that has ended finds none, nor does an access token."""
    for grants in (closed, open_grants):
        ticket = grants.run_ticket("7-1")
        granted = grants.run_token(ticket)
        assert granted is not None
        assert granted.seconds == TOKEN_SECONDS
        assert grants.holder_of(ticket) == (JOB, "")
        assert grants.holder_of(grants.run_ticket("7-1", "a@b")) == (JOB, "a@b")
        for ended in (grants.run_ticket("7-2"), "tyt_x", granted.token):
            assert grants.run_token(ended) is None
            assert grants.holder_of(ended) is None


def test_a_signed_jwt_is_worth_a_token(closed: Grants) -> None:
    """The token then is the account."""
    granted = closed.account_token(signed(aud=OURS))
    assert closed._access is not None
    assert closed._access.identify(f"Bearer {granted.token}").name == ACCOUNT.email


@pytest.mark.parametrize(
    ("assertion", "error"),
    [
        (signed(), "invalid_grant"),
        (signed(aud="https://elsewhere/"), "invalid_grant"),
        ("nonsense", "invalid_grant"),
        (signed(aud=OURS, scope="https://www.googleapis.com/auth/drive"), "invalid_scope"),
    ],
)
def test_a_bad_jwt_is_worth_none(closed: Grants, assertion: str, error: str) -> None:
    """In OAuth's own words (RFC 6749, 5.2)."""
    with pytest.raises(InvalidGrant) as caught:
        closed.account_token(assertion)
    assert caught.value.error == error


def test_an_open_service_gives_anybody_a_token(open_grants: Grants) -> None:
    """Clients that insist on one are content; nobody looks at it."""
    assert open_grants.account_token("whatever").seconds == TOKEN_SECONDS
