"""Who calls: open to all, or to the holders of credentials; what they may do, and where."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from trainyard.core.errors import ApiError, InvalidArgument, PermissionDenied, Unauthenticated, Unavailable
from trainyard.core.names import JobName, Scope, project_number
from trainyard.credentials import BadCredentialFile, Credential, CredentialFile, Form, new_account, new_secret
from trainyard.service.access import (
    Caller,
    CredentialAccess,
    OpenAccess,
    caller_of,
    may_act_as,
    require,
    require_act_as,
    subject_of,
)
from trainyard.service.access_tickets import ACCESS, METADATA, Ticket, Tickets

NOW_US = 1_700_000_000_000_000
JOB = JobName(Scope.of("p1", "us-central1"), "customJobs", 7)
P1, P2 = "projects/p1/locations/us-central1", "projects/p2/locations/us-central1"


class StillClock:
    """Stands still."""

    def now_us(self) -> int:
        return NOW_US

    steady_us = now_us


@pytest.fixture
def file(tmp_path: Path) -> CredentialFile:
    return CredentialFile(tmp_path)


@pytest.fixture
def tickets() -> Tickets:
    return Tickets(b"k" * 32)


@pytest.fixture
def opened(file: CredentialFile, tickets: Tickets) -> Callable[[], CredentialAccess]:
    """Access over what the file holds by then; run 7-1 lives."""

    def make() -> CredentialAccess:
        return CredentialAccess(file, tickets, StillClock(), lambda run: JOB if run == "7-1" else None, lambda _: True)

    return make


def added(file: CredentialFile, name: str = "ann", form: Form = Form.TOKEN, role: str = "user", **more: object) -> str:
    """The secret of a credential that the file now knows."""
    secret, credential = new_secret(replace(Credential(name, form, role, (), NOW_US), **more))  # type: ignore[arg-type]  # fields by name
    file.add(credential)
    return secret


def test_a_caller_at_an_address_is_the_same_in_all_else() -> None:
    """Whatever else is known of it, now or in a later release."""
    ann = Caller("ann", "user", frozenset({"1"}), "", "mark", "user:ann")
    moved = ann.at("127.0.0.1:4")
    assert [getattr(moved, each.name) for each in fields(Caller)] == [
        "127.0.0.1:4" if each.name == "address" else getattr(ann, each.name) for each in fields(Caller)
    ]
    assert all(getattr(ann, each.name) for each in fields(Caller) if each.name != "address")


def test_open_access_asks_nothing() -> None:
    """Whoever reaches an open service may do everything, whatever credentials come along."""
    access = OpenAccess()
    assert access.identify("Bearer a-real-one", "key") == Caller()
    assert access.may(Caller(), "aiplatform.customJobs.create", "projects/p")


def test_a_token_lets_its_holder_in(file: CredentialFile, opened: Callable[[], CredentialAccess]) -> None:
    """As a bearer token, whatever the case of the word, and as an API key; the file does not hold it."""
    token = added(file)
    added(file, "bob")
    assert token not in file.path.read_text()
    access = opened()
    for authorization, key in ((f"Bearer {token}", ""), (f"bearer  {token} ", ""), ("", token), ("Basic x", token)):
        assert access.identify(authorization, key) == Caller("ann", "user")


@pytest.mark.parametrize(
    ("authorization", "api_key", "words", "reason"),
    [
        ("", "", "Request is missing required authentication credential.", "CREDENTIALS_MISSING"),
        ("Basic abc", "", "Request is missing required authentication credential.", "CREDENTIALS_MISSING"),
        ("Bearer ", " ", "Request is missing required authentication credential.", "CREDENTIALS_MISSING"),
        ("Bearer wrong", "", "Request had invalid authentication credentials.", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ("Bearer \udcff", "", "Request had invalid authentication credentials.", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ("Bearer tyt_AAAA", "", "Request had invalid authentication credentials.", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "", "Request had invalid", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    ],
)
def test_others_stay_out(
    file: CredentialFile,
    opened: Callable[[], CredentialAccess],
    authorization: str,
    api_key: str,
    words: str,
    reason: str,
) -> None:
    """Missing and wrong credentials are told apart, in the original's words."""
    added(file)
    with pytest.raises(Unauthenticated) as caught:
        opened().identify(authorization, api_key)
    assert caught.value.message.startswith(words)
    assert caught.value.reason == reason


def test_a_wrong_api_key_is_told_as_the_original_tells_it(
    file: CredentialFile, opened: Callable[[], CredentialAccess]
) -> None:
    """A key that nobody has is INVALID_ARGUMENT, with the reason that clients look for."""
    added(file)
    with pytest.raises(InvalidArgument, match=r"^API key not valid\. Please pass a valid API key\.$") as caught:
        opened().identify("", "wrong")
    assert caught.value.reason == "API_KEY_INVALID"


def test_what_has_expired_lets_nobody_in(file: CredentialFile, opened: Callable[[], CredentialAccess]) -> None:
    """The very microsecond at which a credential ends it is over."""
    over = added(file, expires_us=NOW_US)
    good = added(file, "bob", expires_us=NOW_US + 1)
    access = opened()
    assert access.identify(f"Bearer {good}").name == "bob"
    with pytest.raises(Unauthenticated) as caught:
        access.identify(f"Bearer {over}")
    assert caught.value.reason == "ACCESS_TOKEN_EXPIRED"
    with pytest.raises(InvalidArgument, match="API key expired"):
        access.identify("", over)


def test_revoking_and_adding_work_at_once(file: CredentialFile, opened: Callable[[], CredentialAccess]) -> None:
    """A running service sees what the command line did to the file at the next call."""
    token = added(file)
    access = opened()
    assert access.identify(f"Bearer {token}").name == "ann"
    later = added(file, "bob")
    assert access.identify(f"Bearer {later}").name == "bob"
    file.revoke("ann")
    with pytest.raises(Unauthenticated):
        access.identify(f"Bearer {token}")
    file.path.unlink()
    with pytest.raises(Unauthenticated):
        access.identify(f"Bearer {later}")


def test_who_was_let_in_is_looked_at_again(file: CredentialFile, opened: Callable[[], CredentialAccess]) -> None:
    """What outlives a call ends with the credential, also where another of the same name has come after it."""
    token, short = added(file), added(file, "bob", expires_us=NOW_US + 1)
    access = opened()
    ann, run = access.identify(f"Bearer {token}"), Caller("replicas", mark="run/7-1")
    for caller in (ann, access.identify(f"Bearer {short}"), run):
        access.recheck(caller)
    file.revoke("ann")
    added(file)
    for caller in (ann, Caller(), replace(run, mark="run/7-2")):
        with pytest.raises(Unauthenticated, match="revoked, or its time is over"):
            access.recheck(caller)


def test_a_file_spoilt_under_a_running_service_closes_it(
    file: CredentialFile, opened: Callable[[], CredentialAccess]
) -> None:
    """Nobody gets in on the strength of what the file said before; the error says what is wrong with it."""
    token = added(file)
    access = opened()
    file.path.write_text("{")
    for _ in range(2):
        with pytest.raises(Unavailable, match="are not JSON"):
            access.identify(f"Bearer {token}")
    with pytest.raises(BadCredentialFile):
        opened()


def test_a_role_holds_in_its_projects_only(file: CredentialFile, opened: Callable[[], CredentialAccess]) -> None:
    """By id or by number, and nowhere else; without projects it holds in all, and for what belongs to none."""
    access = opened()
    bound, free = Credential("a", Form.TOKEN, "user", ("p1",)), Credential("b", Form.TOKEN, "user")
    create = "aiplatform.customJobs.create"
    number = f"projects/{project_number('p1')}/locations/us-central1"
    assert [access.may(caller_of(bound), create, each) for each in (P1, number, P2, "projects/_/x", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert access.may(caller_of(free), create, P2)
    assert not access.may(caller_of(replace(free, role="viewer")), create, P2)
    assert not access.may(Caller(), "aiplatform.customJobs.get", P1)


def test_replicas_are_users_of_their_project_while_their_run_lasts(
    file: CredentialFile, tickets: Tickets, opened: Callable[[], CredentialAccess]
) -> None:
    """A run's token is worth nothing after the run, after its hour, or for another use."""
    access = opened()
    caller = access.identify(f"Bearer {tickets.write(Ticket(ACCESS, 'run/7-1', NOW_US // 1_000_000 + 1))}")
    assert caller == Caller(f"the replicas of {JOB}", "user", frozenset({JOB.scope.project}))
    assert access.may(caller, "aiplatform.customJobs.get", str(JOB))
    for ticket in (
        Ticket(ACCESS, "run/7-2", NOW_US // 1_000_000 + 1),
        Ticket(ACCESS, "run/7-1", NOW_US // 1_000_000),
        Ticket(METADATA, "run/7-1"),
        Ticket(ACCESS, "account/unknown", NOW_US // 1_000_000 + 1),
    ):
        with pytest.raises(Unauthenticated):
            access.identify(f"Bearer {tickets.write(ticket)}")


def test_an_accounts_ticket_goes_with_the_account(
    file: CredentialFile, tickets: Tickets, opened: Callable[[], CredentialAccess]
) -> None:
    """A token given for a signed JWT has the account's role, or a viewer's; revoking the account ends it."""
    account = Credential(
        "ci",
        Form.ACCOUNT,
        "admin",
        ("p1",),
        NOW_US,
        email="ci@p1.iam.gserviceaccount.com",
        key_id="k",
        public_key="pem",
    )
    file.add(account)
    access = opened()
    ticket = Ticket(ACCESS, "account/k", NOW_US // 1_000_000 + 60)
    projects = frozenset({project_number("p1")})
    assert access.identify(f"Bearer {tickets.write(ticket)}") == Caller(account.email, "admin", projects)
    reading = tickets.write(replace(ticket, read_only=True))
    assert access.identify(f"Bearer {reading}").role == "viewer"
    file.revoke("ci")
    with pytest.raises(Unauthenticated, match="has been revoked"):
        access.identify(f"Bearer {reading}")


class NobodyMay(OpenAccess):
    """Knows everyone, permits nothing."""

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        return False


def test_a_permission_is_required_only_where_there_is_one() -> None:
    """An operation without a permission needs none; any other is refused in the original's words and with ErrorInfo."""
    require(NobodyMay(), Caller(), "", "projects/p")
    with pytest.raises(PermissionDenied) as caught:
        require(NobodyMay(), Caller(), "aiplatform.customJobs.create", P1)
    assert caught.value.message == (
        f"Permission 'aiplatform.customJobs.create' denied on resource '//aiplatform.googleapis.com/{P1}' "
        "(or it may not exist)."
    )
    assert caught.value.reason == "IAM_PERMISSION_DENIED"
    assert caught.value.metadata == {"permission": "aiplatform.customJobs.create", "resource": P1}


def test_a_signed_jwt_is_its_account(file: CredentialFile, opened: Callable[[], CredentialAccess]) -> None:
    """With the account's role, or a viewer's where its scopes only read; one for other services is refused as such."""
    from google.auth import crypt, jwt

    key, account = new_account(Credential("ci", Form.ACCOUNT, "user", ("p1",), NOW_US), "p1", "")
    file.add(account)
    signer = crypt.RSASigner.from_service_account_info(key)
    scopes = "https://www.googleapis.com/auth/"

    def shown(scope: str) -> Caller:
        now = NOW_US // 1_000_000
        claims = {"iss": account.email, "sub": account.email, "iat": now, "exp": now + 3600, "scope": scopes + scope}
        return access.identify(f"Bearer {jwt.encode(signer, claims).decode()}")

    access = opened()
    assert shown("cloud-platform") == Caller(account.email, "user", frozenset({project_number("p1")}))
    assert shown("devstorage.read_only").role == "viewer"
    with pytest.raises(PermissionDenied, match="insufficient authentication scopes") as caught:
        shown("drive")
    assert caught.value.reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


def test_every_refusal_is_an_error_of_the_api(file: CredentialFile, opened: Callable[[], CredentialAccess]) -> None:
    """Whatever bytes stand in the header, the answer is an ApiError."""
    access = opened()
    for raw in (os.urandom(40).decode("latin-1"), "ey.a.b", "ey..", "tyt_", "tyt_" + "A" * 5000, "ey" + "." * 9):
        with pytest.raises(ApiError):
            access.identify(f"Bearer {raw}x")


EMAIL = "trainer@p1.iam.gserviceaccount.com"
OF_P1 = frozenset({project_number("p1")})


def an_account(**more: object) -> Credential:
    known = Credential("trainer", Form.ACCOUNT, "user", ("p1",), NOW_US, email=EMAIL, key_id="k", public_key="p")
    return replace(known, **more)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("caller", "account", "may"),
    [
        (Caller("ann", "user"), {}, True),
        (Caller("ann", "user", OF_P1, member="user:ann"), {}, True),
        (Caller("ann", "admin", OF_P1), {"role": "admin"}, True),
        (Caller("ann", "user", OF_P1), {"role": "viewer"}, True),
        (Caller("the replicas of x", "user", OF_P1), {}, True),
        (Caller("ann", "viewer"), {"role": "viewer"}, False),
        (Caller("ann", "user", OF_P1), {"role": "admin"}, False),
        (Caller("ann", "user", frozenset({"2"})), {}, False),
        (Caller("ann", "user", OF_P1), {"projects": ()}, False),
        (Caller("ann", "user", OF_P1), {"projects": ("p1", "p2")}, False),
        (Caller("ann", "user", frozenset({"2"}), member="user:ann"), {"actors": ("ann",)}, True),
        (Caller("ann", "viewer"), {"actors": ("ann",)}, False),
        (Caller(EMAIL, "user", OF_P1, member=f"serviceAccount:{EMAIL}"), {"google": "/k.json"}, True),
        (Caller("ann", "user", member="user:ann"), {"google": "/k.json"}, False),
        (Caller("ann", "user", member="user:ann"), {"google": "/k.json", "actors": ("ann",)}, True),
        (Caller("ann", "admin", OF_P1), {"google": "/k.json"}, True),
        (Caller(), {}, False),
    ],
)
def test_who_may_act_as_an_account(caller: Caller, account: dict[str, object], may: bool) -> None:
    """Who is named with it, or may do all that it may; real credentials are for admins and for who is named."""
    assert may_act_as(caller, an_account(**account)) is may


def test_acting_as_an_account_is_a_permission_on_it(
    file: CredentialFile, opened: Callable[[], CredentialAccess]
) -> None:
    """Asked for by IAM's name of the account; nobody has another permission on one, nor any where there is none."""
    file.add(an_account())
    access, there = opened(), f"projects/-/serviceAccounts/{EMAIL}"
    caller = Caller("ann", "user", OF_P1)
    assert access.may(caller, "iam.serviceAccounts.actAs", there)
    assert not access.may(caller, "aiplatform.customJobs.create", there)
    assert not access.may(caller, "iam.serviceAccounts.actAs", "projects/-/serviceAccounts/other@p1")
    require_act_as(access, caller, EMAIL)
    require_act_as(OpenAccess(), Caller(), "whoever@it.is")
    with pytest.raises(
        PermissionDenied, match=r"^You do not have permission to act as service_account: o@p\. "
    ) as caught:
        require_act_as(access, caller, "o@p")
    assert caught.value.metadata["permission"] == "iam.serviceAccounts.actAs"


def test_a_runs_token_with_an_account_is_that_account(
    file: CredentialFile, opened: Callable[[], CredentialAccess], tickets: Tickets
) -> None:
    """Its role, projects and name, as long as both the run and the account last."""
    file.add(an_account(role="viewer", expires_us=NOW_US + 1))
    access = opened()

    def token(run_id: str, email: str = EMAIL) -> str:
        return f"Bearer {tickets.write(Ticket(ACCESS, subject_of(run_id, email), NOW_US))}"

    caller = access.identify(token("7-1"))
    assert caller == Caller(EMAIL, "viewer", OF_P1, member=f"serviceAccount:{EMAIL}")
    access.recheck(caller)
    for refused, words in ((token("7-2"), "has ended"), (token("7-1", "other@p1"), "has been revoked")):
        with pytest.raises(Unauthenticated, match=words):
            access.identify(refused)
    file.revoke("trainer")
    with pytest.raises(Unauthenticated):
        access.recheck(caller)


def test_an_open_service_names_the_account_of_a_job(tickets: Tickets) -> None:
    """By our own tokens, for the audit log; everybody else stays nobody in particular."""
    access = OpenAccess(tickets)
    named = tickets.write(Ticket(ACCESS, subject_of("7-1", EMAIL), NOW_US))
    assert access.identify(f"Bearer {named}") == Caller(EMAIL)
    plain = tickets.write(Ticket(ACCESS, subject_of("7-1", ""), NOW_US))
    for other in (
        "",
        "Bearer x",
        f"Bearer {plain}",
        f"Bearer {named}x",
        f"Bearer {tickets.write(Ticket(METADATA, 'x'))}",
    ):
        assert access.identify(other) == Caller()
