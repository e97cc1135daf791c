"""Access tokens given out: to a run's replicas by the ticket in their environment, to service accounts for a JWT.

Replicas ask as on Google's machines, by the metadata server's paths; accounts as at Google's token endpoint (RFC 7523,
https://google.aip.dev/auth/4112). Nothing is kept: a token is good for an hour, and for no longer than who holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.names import JobName
from trainyard.service.access import OF_ACCOUNT, CredentialAccess, LiveRuns, run_and_account, subject_of
from trainyard.service.access_jwt import BadJwt, NoScope, verify
from trainyard.service.access_tickets import ACCESS, METADATA, Ticket, Tickets

TOKEN_SECONDS = 3600


class InvalidGrant(Exception):
    """What was presented is worth no token; the message is what Google's endpoint says in `error_description`."""

    def __init__(self, error: str, description: str) -> None:
        """`error` as RFC 6749, 5.2 names it."""
        super().__init__(description)
        self.error = error


@dataclass(frozen=True, slots=True)
class Granted:
    """A token and how many seconds it is good for."""

    token: str
    seconds: int


class Holder(NamedTuple):
    """The job that runs, and the e-mail of the account that its programs are; empty where they are the run itself."""

    job: JobName
    account: str


class Grants:
    """Gives out tokens; `access` None where everybody may call, and then any token will do."""

    def __init__(
        self,
        tickets: Tickets,
        clock: Clock,
        live: LiveRuns,
        audience: Callable[[str], bool],
        access: CredentialAccess | None,
    ) -> None:
        """`audience` knows the addresses of our token endpoint."""
        self._tickets = tickets
        self._clock = clock
        self._live = live
        self._audience = audience
        self._access = access

    def run_ticket(self, run_id: str, account: str = "") -> str:
        """What a run's replicas find their credentials by: those of a service account, or of the run itself."""
        return self._tickets.write(Ticket(METADATA, subject_of(run_id, account)))

    def holder_of(self, ticket: str) -> Holder | None:
        """Whose run has this ticket, as long as it runs."""
        found = self._tickets.read(ticket, METADATA, 0.0)
        if found is None:
            return None
        run_id, account = run_and_account(found.subject)
        job = self._live(run_id)
        return Holder(job, account) if job is not None else None

    def run_token(self, ticket: str) -> Granted | None:
        """A token for a run's replicas."""
        found = self._tickets.read(ticket, METADATA, 0.0)
        if found is None or self.holder_of(ticket) is None:
            return None
        return self._token(found.subject)

    def account_token(self, assertion: str) -> Granted:
        """A token for a service account's signed JWT; raises InvalidGrant."""
        if self._access is None:
            return self._token(f"{OF_ACCOUNT}anyone")
        try:
            now_us = self._clock.now_us()
            proof = verify(assertion, self._access.accounts(), now_us, self._audience, needs_audience=True)
        except BadJwt as error:
            raise InvalidGrant("invalid_grant", f"Invalid JWT: {error}.") from None
        except NoScope:
            raise InvalidGrant("invalid_scope", "Invalid OAuth scope or ID token audience provided.") from None
        return self._token(OF_ACCOUNT + proof.credential.key_id, read_only=proof.read_only)

    def _token(self, subject: str, *, read_only: bool = False) -> Granted:
        expires = self._clock.now_us() // MICROSECONDS + TOKEN_SECONDS
        return Granted(self._tickets.write(Ticket(ACCESS, subject, expires, read_only)), TOKEN_SECONDS)
