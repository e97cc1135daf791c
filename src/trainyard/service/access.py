"""Who calls and what they may do: open to everyone on this machine, or to the holders of credentials.

Three credentials are one to the caller: a bearer token, an API key, a JWT signed with a service account's key; replicas
carry a token of their run. Wording of the errors: as the original's front end says it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import InvalidArgument, PermissionDenied, Unauthenticated, Unavailable
from trainyard.core.names import JobName, project_number, project_of
from trainyard.credentials import BadCredentialFile, Credential, CredentialFile, Form, digest_of
from trainyard.service.access_jwt import BadJwt, NoScope, looks_like_jwt, verify
from trainyard.service.access_roles import ACT_AS, covers, grants
from trainyard.service.access_signed import SignedRequest
from trainyard.service.access_signed import verify as verify_url
from trainyard.service.access_tickets import ACCESS, PREFIX, Tickets

_EXPECTED = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
OF_RUN = "run/"
OF_ACCOUNT = "account/"
ACCOUNTS = "/serviceAccounts/"
RUNS_ROLE = "user"
"""What a replica may do in its job's project, as the original's service agent for custom code may."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls; `name` stands in the sentence that says who cancelled a job, empty where nobody asked who it is.

    `projects`: the numbers of those that the role holds in; None for all. `address`: `127.0.0.1:43512`, for the audit.
    `mark`: which credential it was, so that a stream can be ended that outlives it; no secret. `member`: what a
    bucket's policy calls the holder (bucket_policies.py); empty for who is in none, such as a token that only reads.
    """

    name: str = ""
    role: str = ""
    projects: frozenset[str] | None = None
    address: str = ""
    mark: str = field(default="", compare=False, repr=False)
    member: str = field(default="", compare=False)

    def at(self, address: str) -> Caller:
        """The same caller, calling from this address."""
        return Caller(self.name, self.role, self.projects, address, self.mark, self.member)


class Access(Protocol):
    """Turns credentials into a caller, and answers what a caller may do."""

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:
        """The caller behind an Authorization header or an API key; raises Unauthenticated or PermissionDenied."""

    def identify_signed(self, asked: SignedRequest) -> Caller:
        """The account behind a signed URL; raises BadSignedUrl."""

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        """Whether the caller has an IAM permission on a resource (its name, `projects/…`)."""

    def recheck(self, caller: Caller) -> None:
        """Raise Unauthenticated where a caller of a while ago could not call any more; asked in every long stream."""


class OpenAccess:
    """Everyone who reaches the port may do everything. Credentials are not looked at, real ones least of all.

    A token that we made for a job with a service account still says who calls, for the audit log.
    """

    def __init__(self, tickets: Tickets | None = None) -> None:
        """`tickets` reads our own tokens."""
        self._tickets = tickets

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:  # noqa: ARG002 - the promise's signature
        """Nobody in particular, or the account of a job."""
        token = authorization.partition(" ")[2]
        ticket = self._tickets.read(token, ACCESS, 0.0) if self._tickets and token.startswith(PREFIX) else None
        return Caller(run_and_account(ticket.subject)[1]) if ticket is not None else Caller()

    def identify_signed(self, asked: SignedRequest) -> Caller:  # noqa: ARG002 - the promise's signature
        """Nobody in particular."""
        return Caller()

    def may(self, caller: Caller, permission: str, resource: str) -> bool:  # noqa: ARG002 - the promise's signature
        """Yes."""
        return True

    def recheck(self, caller: Caller) -> None:
        """Nothing is ever taken from anybody."""


LiveRuns = Callable[[str], JobName | None]
"""The job of a run id, as long as that run is the job's present one and the job has not ended."""


class CredentialAccess:
    """Holders of a credential may do what its role grants in its projects; nobody else gets in."""

    def __init__(
        self, file: CredentialFile, tickets: Tickets, clock: Clock, live: LiveRuns, audience: Callable[[str], bool]
    ) -> None:
        """Read the file now, and again whenever it changes. Raises BadCredentialFile.

        `audience` knows the addresses, as JWTs name them, that are ours.
        """
        self._file = file
        self._tickets = tickets
        self._clock = clock
        self._live = live
        self._audience = audience
        self._mark = file.mark()
        self._known = file.read()

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:
        """The holder. Raises Unauthenticated, InvalidArgument on a bad API key, PermissionDenied on a useless scope."""
        scheme, _, bearer = authorization.partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else ""
        if token.startswith(PREFIX):
            return self._of_ticket(token)
        if looks_like_jwt(token):
            return self._of_jwt(token)
        if not token and not api_key.strip():
            raise Unauthenticated(
                f"Request is missing required authentication credential. {_EXPECTED}", reason="CREDENTIALS_MISSING"
            )
        found = self._holder(digest_of(token or api_key.strip()))
        if found is None or found.expired(self._clock.now_us()):
            raise _invalid_key(found) if not token else _invalid(expired=found is not None)
        return caller_of(found)

    def identify_signed(self, asked: SignedRequest) -> Caller:
        """The account that signed; raises BadSignedUrl."""
        return caller_of(verify_url(asked, self.accounts(), self._clock.now_us()))

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        """Whether the caller's role grants it, and holds in the resource's project; on accounts see may_act_as."""
        if ACCOUNTS in resource:
            account = self._account(resource.partition(ACCOUNTS)[2])
            return permission == ACT_AS and account is not None and may_act_as(caller, account)
        return grants(caller.role, permission) and (caller.projects is None or project_of(resource) in caller.projects)

    def recheck(self, caller: Caller) -> None:
        """Revoked, over its time, or of a run that has ended. A token's own hour only counts when it is shown."""
        if caller.mark.startswith(OF_RUN):
            run_id, email = run_and_account(caller.mark)
            gone = self._live(run_id) is None or bool(email and self._account(email) is None)
        else:
            now_us = self._clock.now_us()
            gone = not any(mark_of(each) == caller.mark and not each.expired(now_us) for each in self._credentials())
        if gone:
            raise _invalid(" The credential was revoked, or its time is over.", expired=True)

    def accounts(self) -> tuple[Credential, ...]:
        """The service accounts that may call now."""
        now_us = self._clock.now_us()
        return tuple(each for each in self._credentials() if each.form is Form.ACCOUNT and not each.expired(now_us))

    def _account(self, email: str) -> Credential | None:
        return next((each for each in self.accounts() if each.email == email), None)

    def _credentials(self) -> tuple[Credential, ...]:
        """What the file says now: a revoked credential is of no use for one more call. Raises Unavailable."""
        mark = self._file.mark()
        if mark != self._mark:
            try:
                self._known = self._file.read()
            except BadCredentialFile as error:
                raise Unavailable(str(error)) from None
            self._mark = mark
        return self._known

    def _holder(self, digest: str) -> Credential | None:
        """Compares with every known digest in the same time, so that the answer's delay tells nothing."""
        holder = None
        for each in self._credentials():
            if hmac.compare_digest(each.digest, digest):
                holder = each
        return holder

    def _of_jwt(self, token: str) -> Caller:
        try:
            proof = verify(token, self.accounts(), self._clock.now_us(), self._audience)
        except BadJwt as error:
            raise _invalid(f" The token was refused because {error}.", expired=error.expired) from None
        except NoScope:
            raise PermissionDenied(
                "Request had insufficient authentication scopes.", reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT"
            ) from None
        return caller_of(proof.credential, read_only=proof.read_only)

    def _of_ticket(self, token: str) -> Caller:
        ticket = self._tickets.read(token, ACCESS, self._clock.now_us() / MICROSECONDS)
        if ticket is None:
            raise _invalid()
        if ticket.subject.startswith(OF_RUN):
            run_id, email = run_and_account(ticket.subject)
            job = self._live(run_id)
            if job is None:
                raise _invalid(" The run that the token was made for has ended.", expired=True)
            if email:
                return replace(caller_of(self._still(self._account(email))), mark=ticket.subject)
            projects = frozenset({job.scope.project})
            return Caller(f"the replicas of {job}", RUNS_ROLE, projects, mark=ticket.subject)
        key_id = ticket.subject.removeprefix(OF_ACCOUNT)
        found = self._still(next((each for each in self.accounts() if each.key_id == key_id), None))
        return caller_of(found, read_only=ticket.read_only)

    @staticmethod
    def _still(account: Credential | None) -> Credential:
        if account is None:
            raise _invalid(" The service account has been revoked, or its time is over.", expired=True)
        return account


def caller_of(credential: Credential, *, read_only: bool = False) -> Caller:
    """Who holds a credential. `read_only`: a token with scopes that only read does no more than a viewer may."""
    projects = frozenset(map(project_number, credential.projects)) if credential.projects else None
    name, role = credential.email or credential.name, "viewer" if read_only else credential.role
    kind = "serviceAccount" if credential.form is Form.ACCOUNT else "user"
    return Caller(name, role, projects, mark=mark_of(credential), member="" if read_only else f"{kind}:{name}")


def may_act_as(caller: Caller, account: Credential) -> bool:
    """Whether the caller may have programs run as this account: who is named with it, or may do all that it may.

    Real credentials of Google's may do what no role here tells, so that where the account has some, only who is named
    and admins may.
    """
    own = caller_of(account)
    if caller.member and (caller.member == own.member or caller.name in account.actors):
        return True
    there = caller.projects is None or (own.projects is not None and own.projects <= caller.projects)
    enough = caller.role == "admin" if account.google else covers(caller.role, account.role)
    return there and enough and grants(caller.role, ACT_AS)


def subject_of(run_id: str, account: str) -> str:
    """Whose a ticket of a run is: `run/7-1`, or `run/7-1/trainer@p.iam.gserviceaccount.com`."""
    return f"{OF_RUN}{run_id}/{account}" if account else OF_RUN + run_id


def run_and_account(subject: str) -> tuple[str, str]:
    """The parts of such a subject, or of a caller's mark; empty ones where it is none."""
    run_id, _, account = subject.removeprefix(OF_RUN).partition("/")
    return (run_id, account) if subject.startswith(OF_RUN) else ("", "")


def mark_of(credential: Credential) -> str:
    """What tells a credential from every other, one of the same name that came after it included."""
    return credential.digest or credential.key_id


def _invalid(why: str = "", *, expired: bool = False) -> Unauthenticated:
    return Unauthenticated(
        f"Request had invalid authentication credentials. {_EXPECTED}{why}",
        reason="ACCESS_TOKEN_EXPIRED" if expired else "ACCESS_TOKEN_TYPE_UNSUPPORTED",
    )


def _invalid_key(found: Credential | None) -> InvalidArgument:
    if found is None:
        return InvalidArgument("API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID")
    return InvalidArgument("API key expired. Please renew the API key.", reason="API_KEY_INVALID")


def require(access: Access, caller: Caller, permission: str, resource: str) -> None:
    """Raises PermissionDenied, in the service's own words, where the caller lacks the permission."""
    if permission and not access.may(caller, permission, resource):
        raise PermissionDenied(
            f"Permission '{permission}' denied on resource '//aiplatform.googleapis.com/{resource}' "
            "(or it may not exist).",
            reason="IAM_PERMISSION_DENIED",
            metadata={"permission": permission, "resource": resource},
        )


def require_act_as(access: Access, caller: Caller, email: str) -> None:
    """Raises PermissionDenied where the caller may not have programs run as an account, or where there is none."""
    if access.may(caller, ACT_AS, f"projects/-{ACCOUNTS}{email}"):
        return
    raise PermissionDenied(
        f"You do not have permission to act as service_account: {email}. (or it may not exist). "
        "Accounts are made with `trainyard tokens create NAME --as service-account --email EMAIL`; whoever may do all "
        "that the account may, and whom --actor names, may act as it.",
        reason="IAM_PERMISSION_DENIED",
        metadata={"permission": ACT_AS, "resource": f"projects/-{ACCOUNTS}{email}"},
    )
