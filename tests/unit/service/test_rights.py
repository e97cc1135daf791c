"""Through the single door: who may do what to which job, what they see of it, and what is written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainyard.audit import AuditLog
from trainyard.core.errors import NotFound, PermissionDenied, Unimplemented
from trainyard.core.names import project_number
from trainyard.credentials import Credential, CredentialFile, Form
from trainyard.service.access import Caller, CredentialAccess
from trainyard.service.access_tickets import Tickets
from trainyard.service.hiding import HIDDEN

from .desk import PARENT, POOL, Bench, TickingClock

P1 = frozenset({project_number("p1")})
VIEWER, USER, ADMIN = Caller("vic", "viewer", P1), Caller("uma", "user", P1), Caller("ada", "admin")
STRANGER = Caller("sid", "user", frozenset({project_number("p2")}))
SECRET = "hunter2-hunter2"
JOB = {
    "displayName": "t",
    "jobSpec": {
        "workerPoolSpecs": [
            {
                **POOL,
                "containerSpec": {"imageUri": "img", "args": ["x"], "env": [{"name": "DB_PASSWORD", "value": SECRET}]},
            }
        ]
    },
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A service that asks who calls; its audit log lies in tmp_path."""
    access = CredentialAccess(CredentialFile(tmp_path), Tickets(b"k"), TickingClock(), lambda _: None, lambda _: False)
    made = Bench(access)
    made.service.audit = AuditLog(tmp_path)
    return made


@pytest.fixture
def name(bench: Bench) -> str:
    """The name of a job of p1 with a secret in its environment."""
    made: str = bench.call("CreateCustomJob", {"parent": PARENT, "customJob": JOB}, caller=USER)["name"]
    return made


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "audit.log").read_text().splitlines()]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_viewers_do_not_see_values_of_the_environment(bench: Bench, name: str, version: str) -> None:
    """In get and in list, in either version; names stay; users, and the job itself, still have the value."""
    for caller, value in ((VIEWER, HIDDEN), (USER, SECRET), (ADMIN, SECRET)):
        got = bench.call("GetCustomJob", {"name": name}, version, caller)
        (listed,) = bench.call("ListCustomJobs", {"parent": PARENT}, version, caller)["customJobs"]
        for job in (got, listed):
            (variable,) = job["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["env"]
            assert variable == {"name": "DB_PASSWORD", "value": value}
    assert SECRET.encode() in bench.job(name).spec


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("CreateCustomJob", "parent"),
        ("DeleteCustomJob", "name"),
        ("CancelCustomJob", "name"),
    ],
)
def test_viewers_change_nothing(bench: Bench, name: str, method: str, field: str) -> None:
    """Every write is refused, in the original's words."""
    target = PARENT if field == "parent" else name
    with pytest.raises(
        PermissionDenied, match=rf"^Permission 'aiplatform\.customJobs\.\w+' denied on resource '//.*{target}"
    ):
        bench.call(method, {field: target}, caller=VIEWER)
    assert bench.job(name).intent_time_us is None


@pytest.mark.parametrize(
    ("method", "field", "target"),
    [
        ("GetCustomJob", "name", "job"),
        ("ListCustomJobs", "parent", PARENT),
        ("CancelCustomJob", "name", "job"),
        ("GetCustomJob", "name", f"{PARENT}/customJobs/1"),
        ("ListOperations", "name", "job"),
        ("ListOperations", "name", PARENT),
        ("GetLocation", "name", PARENT),
        ("ListLocations", "name", "projects/p1"),
        ("ListLogEntries", "resourceNames", ["projects/p1"]),
    ],
)
def test_other_projects_are_not_there(bench: Bench, name: str, method: str, field: str, target: Any) -> None:
    """Who has no right in a project learns nothing of it, not even whether a job exists."""
    asked = {field: name if target == "job" else target}
    with pytest.raises(PermissionDenied, match="or it may not exist"):
        bench.call(method, asked, caller=STRANGER)


def test_one_foreign_name_among_ours_spoils_the_request(bench: Bench) -> None:
    """Log entries of several projects need the right in each."""
    bench.call("ListLogEntries", {"resourceNames": ["projects/p1"]}, caller=VIEWER)
    for names in (["projects/p1", "projects/p2"], ["projects/p2", "projects/p1"]):
        with pytest.raises(PermissionDenied):
            bench.call("ListLogEntries", {"resourceNames": names}, caller=VIEWER)


def test_people_read_no_more_by_our_own_routes(bench: Bench, name: str) -> None:
    """Explanations and log lines are as closed as the job."""
    assert SECRET not in json.dumps(bench.service.insight.explain(name, VIEWER))
    with pytest.raises(PermissionDenied):
        bench.service.insight.explain(name, STRANGER)


def test_operations_are_as_open_as_their_job(bench: Bench, name: str) -> None:
    """A viewer may look at the operation of a job, and only a user may forget it."""
    bench.end(name)
    operation = bench.call("DeleteCustomJob", {"name": name}, caller=USER)["name"]
    assert bench.call("GetOperation", {"name": operation}, caller=VIEWER)["done"]
    assert bench.call("WaitOperation", {"name": operation}, caller=VIEWER)["done"]
    for caller, method in ((STRANGER, "GetOperation"), (VIEWER, "DeleteOperation"), (VIEWER, "CancelOperation")):
        with pytest.raises(PermissionDenied, match=r"aiplatform\.customJobs\."):
            bench.call(method, {"name": operation}, caller=caller)
    with pytest.raises(PermissionDenied, match=r"aiplatform\.operations\.delete"):
        bench.call("DeleteOperation", {"name": f"{PARENT}/operations/1"}, caller=VIEWER)
    bench.call("DeleteOperation", {"name": operation}, caller=USER)


def test_permissions_are_told_as_they_are(bench: Bench, name: str) -> None:
    """testIamPermissions answers what the calls themselves would."""
    asked = ["aiplatform.customJobs.get", "aiplatform.customJobs.create", "compute.instances.get"]
    for caller, had in ((VIEWER, asked[:1]), (USER, asked[:2]), (STRANGER, [])):
        got = bench.call("TestIamPermissions", {"resource": PARENT, "permissions": asked}, caller=caller)
        assert got.get("permissions", []) == had


def test_every_write_is_written_down(bench: Bench, tmp_path: Path, name: str) -> None:
    """Who, what, on what, with which result, from where; refused ones too; reads not."""
    near = Caller("uma", "user", P1, "127.0.0.1:4")
    bench.call("CancelCustomJob", {"name": name}, caller=near)
    for method, caller in (("CancelCustomJob", VIEWER), ("GetCustomJob", VIEWER)):
        try:
            bench.call(method, {"name": name}, caller=caller)
        except PermissionDenied:
            assert method == "CancelCustomJob"
    with pytest.raises(NotFound):
        bench.call("DeleteOperation", {"name": f"{PARENT}/operations/1"}, caller=USER)
    with pytest.raises(Unimplemented):
        bench.call("SetIamPolicy", {"resource": PARENT}, caller=USER)
    seen = [(each["who"], each["what"], each["result"], each.get("address")) for each in lines(tmp_path)]
    assert seen == [
        ("uma", "customJobs.create", "OK", None),
        ("uma", "customJobs.cancel", "OK", "127.0.0.1:4"),
        ("vic", "customJobs.cancel", "PERMISSION_DENIED", None),
        ("uma", "operations.delete", "NOT_FOUND", None),
        ("uma", "SetIamPolicy", "UNIMPLEMENTED", None),
    ]
    assert lines(tmp_path)[0]["resource"] == name
    assert SECRET not in (tmp_path / "audit.log").read_text()


def test_our_own_faults_are_written_down(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A write that broke in the middle is no write that never was."""

    async def broken(*_: object) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(bench.store, "ask_cancel", broken)
    with pytest.raises(RuntimeError):
        bench.call("CancelCustomJob", {"name": name}, caller=Caller(role="admin"))
    assert (lines(tmp_path)[-1]["who"], lines(tmp_path)[-1]["result"]) == ("anyone", "INTERNAL")


def test_nobody_runs_programs_as_an_account_beyond_their_rights(bench: Bench, tmp_path: Path) -> None:
    """A job with such a serviceAccount is refused and not kept; an account within the caller's rights is taken."""
    email = "trainer@p1.iam.gserviceaccount.com"
    job = {**JOB, "jobSpec": {**JOB["jobSpec"], "serviceAccount": email}}
    asked = {"parent": PARENT, "customJob": job}
    with pytest.raises(PermissionDenied, match=f"^You do not have permission to act as service_account: {email}. "):
        bench.call("CreateCustomJob", asked, caller=USER)
    assert bench.call("ListCustomJobs", {"parent": PARENT}, caller=USER) == {}
    account = Credential("trainer", Form.ACCOUNT, "user", ("p1",), email=email, key_id="k", public_key="p")
    CredentialFile(tmp_path).add(account)
    made = bench.call("CreateCustomJob", asked, caller=USER)
    assert made["jobSpec"]["serviceAccount"] == email
    assert [line["result"] for line in lines(tmp_path)] == ["PERMISSION_DENIED", "OK"]
