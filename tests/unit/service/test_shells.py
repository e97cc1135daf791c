"""Who may open a shell, where, and what is written down about it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainyard.audit import AuditLog
from trainyard.core.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unavailable
from trainyard.core.jobs import Decision, Event
from trainyard.core.names import project_number, project_of
from trainyard.core.shells import Shell, Terminal
from trainyard.service.access import Caller
from trainyard.service.access_roles import grants

from .desk import POOL, Bench

P1 = frozenset({project_number("p1")})
VIEWER, USER = Caller("vic", "viewer", P1, "127.0.0.1:5"), Caller("uma", "user", P1)
STRANGER = Caller("sid", "user", frozenset({project_number("p2")}))
REPLICA = "workerpool0-0"
SPEC = {"workerPoolSpecs": [POOL, {**POOL, "replicaCount": "2"}], "enableWebAccess": True}


class Roles:
    """Who calls is known; what they may do is their role's."""

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:
        return Caller()

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        mine = caller.projects is None or project_of(resource) in caller.projects
        return mine and grants(caller.role, permission)

    def recheck(self, caller: Caller) -> None:
        """Everybody stays."""


class Opened:
    """Stands in for an executor: it remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Terminal]] = []
        self.fault: Exception | None = None

    async def open(self, run_id: str, replica: str, terminal: Terminal) -> Shell:
        self.asked.append((run_id, replica, terminal))
        if self.fault is not None:
            raise self.fault
        return self  # type: ignore[return-value]  # nobody types here


@pytest.fixture
def executor() -> Opened:
    return Opened()


@pytest.fixture
def bench(tmp_path: Path, executor: Opened) -> Bench:
    made = Bench(access=Roles())  # type: ignore[arg-type]  # no URLs are signed here
    made.service.audit, made.service.open_shell = AuditLog(tmp_path), executor.open
    return made


def up(bench: Bench, **spec: Any) -> str:
    """A job of which everything runs."""
    request = {"parent": "projects/p1/locations/l", "customJob": {"displayName": "t", "jobSpec": {**SPEC, **spec}}}
    name = str(bench.call("CreateCustomJob", request, caller=USER)["name"])
    job = bench.move(name, Event.ADMITTED)
    job = bench.commit(job, Decision(replace(job.status, run_id=f"{job.id}-1")))
    bench.move(name, Event.STARTED)
    return name


def opened(bench: Bench, name: str, replica: str = REPLICA, caller: Caller = USER, **terminal: Any) -> Shell:
    return asyncio.run(bench.service.shells().open(name, replica, caller, Terminal(**terminal)))


def audited(tmp_path: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    return [(line["who"], line["what"], line["result"]) for line in lines if line["what"].endswith(".shell")]


def test_who_may_create_get_and_cancel_may_open_one(bench: Bench, executor: Opened, tmp_path: Path) -> None:
    """A viewer may not, nor who holds no role there; each attempt is written down."""
    name = up(bench)
    opened(bench, name, rows=9)
    assert executor.asked == [(f"{name.rpartition('/')[2]}-1", REPLICA, Terminal(rows=9))]
    for other in (VIEWER, STRANGER):
        with pytest.raises(PermissionDenied):
            opened(bench, name, caller=other)
    assert len(executor.asked) == 1
    shell = "customJobs.shell"
    denied = "PERMISSION_DENIED"
    assert audited(tmp_path) == [("uma", shell, "OK"), ("vic", shell, denied), ("sid", shell, denied)]


def test_where_there_can_be_none(bench: Bench, executor: Opened) -> None:
    """No such job, no such replica, none asked for, not running, already ended: each says so, and nobody is asked."""
    name = up(bench)
    with pytest.raises(NotFound):
        opened(bench, f"{name[:-1]}7")
    with pytest.raises(NotFound, match="it has workerpool0-0, workerpool1-0, workerpool1-1"):
        opened(bench, name, "workerpool0-1")
    with pytest.raises(FailedPrecondition, match="Set enableWebAccess"):
        opened(bench, up(bench, enableWebAccess=False))
    with pytest.raises(InvalidArgument, match="rows"):
        opened(bench, name, rows=0)
    job = bench.job(name)
    bench.commit(job, Decision(replace(job.status, memo='{"rec":{"workerpool0-0":1}}')))
    with pytest.raises(FailedPrecondition, match=r"workerpool0-0 of .* has ended; .* in: workerpool1-0, workerpool1-1"):
        opened(bench, name)
    bench.move(name, Event.SUCCEEDED)
    with pytest.raises(FailedPrecondition, match="is JOB_STATE_SUCCEEDED"):
        opened(bench, name)
    assert executor.asked == []


@pytest.mark.parametrize("kind", [FailedPrecondition, Unavailable])
def test_what_the_executor_says_is_passed_on(bench: Bench, executor: Opened, kind: type[Exception]) -> None:
    """With the names that it does not know."""
    name = up(bench)
    executor.fault = kind("There is no bash.")
    with pytest.raises(kind, match=f"No shell can be opened in {REPLICA} of {name}: There is no bash."):
        opened(bench, name)


def test_an_executor_may_lack_the_talent(bench: Bench) -> None:
    """It is said, and not taken for a fault of ours."""
    bench.service.open_shell = None
    with pytest.raises(FailedPrecondition, match="opens no shells"):
        opened(bench, up(bench))


def test_the_addresses_are_those_of_what_is_up(bench: Bench) -> None:
    """A worker that was started again in place has one again."""
    name = up(bench)
    job = bench.job(name)

    def keys(memo: str) -> list[str]:
        nonlocal job
        job = bench.commit(job, Decision(replace(job.status, memo=memo)))
        shown = bench.call("GetCustomJob", {"name": name}, caller=VIEWER)
        listed = bench.call("ListCustomJobs", {"parent": "projects/p1/locations/l"}, caller=VIEWER)
        assert listed["customJobs"][0].get("webAccessUris") == shown.get("webAccessUris")
        return sorted(shown.get("webAccessUris", {}))

    assert keys("{}") == [REPLICA, "workerpool1-0", "workerpool1-1"]
    assert keys('{"rec":{"workerpool1-0":1}}') == [REPLICA, "workerpool1-1"]
    assert keys('{"rec":{"workerpool1-0":1},"inc":{"workerpool1-0":1}}') == [REPLICA, "workerpool1-0", "workerpool1-1"]
    bench.move(name, Event.CANCEL_ASKED)
    assert "webAccessUris" not in bench.call("GetCustomJob", {"name": name}, caller=VIEWER)
