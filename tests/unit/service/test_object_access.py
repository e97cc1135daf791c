"""Who may do what with whose buckets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainyard.audit import AuditLog
from trainyard.core.errors import PermissionDenied
from trainyard.core.names import project_number
from trainyard.credentials import CredentialFile
from trainyard.edges.storage.rights import Need
from trainyard.service.access import Caller, CredentialAccess, OpenAccess
from trainyard.service.access_tickets import Tickets
from trainyard.service.object_access import ObjectAccess

from .desk import TickingClock

P1 = frozenset({project_number("p1")})
OWNERS = {"ours": "p1", "theirs": "p2", "shared": "p2"}
SHARED = [
    {"role": "roles/storage.objectViewer", "members": ["user:guest", "projectViewer:p1"]},
    {"role": "roles/storage.objectAdmin", "members": ["serviceAccount:ci@p.iam.gserviceaccount.com"]},
    {"role": "roles/storage.legacyBucketReader", "members": ["allAuthenticatedUsers"]},
]


def attributes_of(bucket: str) -> dict[str, Any]:
    policy = {"_iamPolicy": {"bindings": SHARED}} if bucket == "shared" else {}
    return {"_project": OWNERS.get(bucket, ""), **policy}


@pytest.fixture
def objects(tmp_path: Path) -> ObjectAccess:
    access = CredentialAccess(CredentialFile(tmp_path), Tickets(b"k"), TickingClock(), lambda _: None, lambda _: False)
    return ObjectAccess(access, AuditLog(tmp_path), TickingClock(), attributes_of, enforces=True)


@pytest.mark.parametrize(
    ("caller", "need", "may"),
    [
        (Caller("u", "user", P1), Need("storage.objects.create", "ours", "a"), True),
        (Caller("u", "user", P1), Need("storage.objects.get", "theirs", "a"), False),
        (Caller("u", "user", P1), Need("storage.objects.create", "nobodys", "a"), True),
        (Caller("v", "viewer", P1), Need("storage.objects.get", "ours", "a"), True),
        (Caller("v", "viewer", P1), Need("storage.objects.create", "nobodys", "a"), False),
        (Caller("u", "user"), Need("storage.objects.get", "theirs", "a"), True),
        (Caller("u", "user"), Need("storage.buckets.delete", "theirs"), False),
        (Caller("a", "admin"), Need("storage.buckets.delete", "theirs"), True),
        (Caller("u", "user", P1), Need("storage.buckets.create", project="p1"), True),
        (Caller("u", "user", P1), Need("storage.buckets.create", project="p2"), False),
        (Caller("", ""), Need("storage.objects.get", "nobodys", "a"), False),
    ],
)
def test_buckets_are_their_projects(objects: ObjectAccess, caller: Caller, need: Need, may: bool) -> None:
    """A bucket that belongs to a project is closed to who has no right there; one of nobody's is for everybody."""
    if may:
        objects.require(caller, need)
        return
    with pytest.raises(PermissionDenied, match=rf"^{caller.name} does not have {need.permission} access to the Google"):
        objects.require(caller, need)


def test_the_refusal_says_of_what(objects: ObjectAccess) -> None:
    """Object, bucket or project, in the original's words."""
    for need, what in (
        (Need("x.y.z", "b", "o"), "Cloud Storage object"),
        (Need("x.y.z", "b"), "Cloud Storage bucket"),
        (Need("x.y.z"), "Cloud Storage project"),
    ):
        with pytest.raises(PermissionDenied, match=what):
            objects.require(Caller("u", "user"), need)


GUEST = Caller("guest", "user", P1, member="user:guest")
CI = Caller("ci@x", "viewer", P1, member="serviceAccount:ci@p.iam.gserviceaccount.com")


@pytest.mark.parametrize(
    ("caller", "permission", "may"),
    [
        (GUEST, "objects.get", True),
        (GUEST, "objects.create", False),
        (CI, "objects.create", True),
        (CI, "buckets.update", False),
        (replace(CI, member=""), "objects.get", False),
        (Caller("v", "viewer", P1, member="user:v"), "objects.get", True),
        (Caller("u", "user", P1, member="user:u"), "objects.get", False),
        (Caller("u", "user", P1, member="user:u"), "objects.list", True),
        (Caller("", "", P1), "objects.list", False),
    ],
)
def test_a_buckets_policy_gives_more(objects: ObjectAccess, caller: Caller, permission: str, may: bool) -> None:
    """By name, by account, by role in a project, and to all who hold a credential; never more than its roles have."""
    need = Need(f"storage.{permission}", "shared", "a")
    assert bool(objects.held(caller, [need])) is may
    assert not objects.held(caller, [replace(need, bucket="theirs")])
    assert not objects.admits(caller, need)
    if not may:
        with pytest.raises(PermissionDenied):
            objects.require(caller, need)


def test_lists_leave_out_what_is_others(objects: ObjectAccess) -> None:
    """Buckets of other projects are not seen by who is bound to some."""
    bound = Caller("u", "user", P1)
    assert [objects.sees(bound, number) for number in (project_number("p1"), "0", project_number("p2"))] == [
        True, True, False,
    ]  # fmt: skip
    assert objects.sees(Caller("u", "user"), project_number("p2"))


def test_writes_are_written_down(objects: ObjectAccess, tmp_path: Path) -> None:
    """With who and from where; nobody's name is anyone."""
    objects.note(Caller("u", address="127.0.0.1:4"), Need("storage.objects.create", "b", "o"), "OK")
    opened = ObjectAccess(OpenAccess(), AuditLog(tmp_path), TickingClock(), lambda _: {}, enforces=False)
    opened.note(opened.identify("Bearer x", "", "127.0.0.1:5"), Need("storage.objects.delete", "b", "o"), "NOT_FOUND")
    first, second = (json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines())
    assert (first["who"], first["resource"], first["address"]) == ("u", "b/b/o/o", "127.0.0.1:4")
    assert (second["who"], second["result"], second["address"]) == ("anyone", "NOT_FOUND", "127.0.0.1:5")
