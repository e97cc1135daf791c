"""Who may see a dashboard, where it is, and what is written down about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainyard.audit import AuditLog
from trainyard.core.dashboards import Dashboard, Ports
from trainyard.core.errors import FailedPrecondition, NotFound, PermissionDenied, Unavailable
from trainyard.core.jobs import Decision, Event
from trainyard.service.access import Caller
from trainyard.service.dashboards import Way

from .desk import POOL, Bench
from .test_shells import STRANGER, USER, VIEWER, Roles

KEY = "workerpool0-0:8888"


class Asked:
    """Stands in for an executor: it remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Dashboard]] = []

    def ports(self, run_id: str, dashboard: Dashboard) -> Ports:
        self.asked.append((run_id, dashboard))
        return Ports(8888, 20001)


@pytest.fixture
def executor() -> Asked:
    return Asked()


@pytest.fixture
def bench(tmp_path: Path, executor: Asked) -> Bench:
    made = Bench(access=Roles())  # type: ignore[arg-type]  # no URLs are signed here
    made.service.audit, made.service.dashboard_ports = AuditLog(tmp_path), executor.ports
    return made


def made(bench: Bench, **spec: Any) -> str:
    """A job that asks for a dashboard."""
    job_spec = {"workerPoolSpecs": [POOL], "enableDashboardAccess": True, **spec}
    request = {"parent": "projects/p1/locations/l", "customJob": {"displayName": "t", "jobSpec": job_spec}}
    return str(bench.call("CreateCustomJob", request, caller=USER)["name"])


def up(bench: Bench, **spec: Any) -> str:
    """It runs."""
    name = made(bench, **spec)
    job = bench.move(name, Event.ADMITTED)
    bench.commit(job, Decision(replace(job.status, run_id=f"{job.id}-1")))
    bench.move(name, Event.STARTED)
    return name


def number(name: str) -> int:
    return int(name.rpartition("/")[2])


def audited(tmp_path: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    return [(line["who"], line["resource"], line["result"]) for line in lines if line["what"].endswith(".dashboard")]


def test_who_may_create_get_and_cancel_may_see_it(bench: Bench, executor: Asked, tmp_path: Path) -> None:
    """A viewer may not, nor who has no role there; each caller's first look is written down, refused ones always."""
    name = up(bench)
    known = bench.service.dashboards()
    for _ in range(3):
        assert known.find(number(name), USER) == Way(name, "workerpool0-0", Ports(8888, 20001))
    assert executor.asked[0] == (
        f"{number(name)}-1",
        Dashboard("workerpool0-0", uri=f"http://{number(name)}.dashboards.localhost/"),
    )
    for other in (VIEWER, VIEWER, STRANGER):
        with pytest.raises(PermissionDenied):
            known.find(number(name), other)
    known.find(number(name), Caller("uma", "user", USER.projects, "10.0.0.1:7"))
    resource = f"{name}/dashboards/{number(name)}"
    denied = "PERMISSION_DENIED"
    assert audited(tmp_path) == [
        ("uma", resource, "OK"),
        ("vic", resource, denied),
        ("vic", resource, denied),
        ("sid", resource, denied),
        ("uma", resource, "OK"),
    ]


def test_where_there_is_none(bench: Bench, executor: Asked, tmp_path: Path) -> None:
    """No such job, none asked for, not yet, no more: each with an error of its own, and nobody is asked."""
    known = bench.service.dashboards()
    with pytest.raises(NotFound, match="no job 5 here"):
        known.find(5, USER)
    assert audited(tmp_path) == [("uma", "dashboards/5", "NOT_FOUND")]
    with pytest.raises(NotFound, match="Set enableDashboardAccess"):
        known.find(number(up(bench, enableDashboardAccess=False)), USER)
    waits, before = number(made(bench)), len(audited(tmp_path))
    for _ in range(3):
        with pytest.raises(Unavailable, match="is JOB_STATE_QUEUED; its dashboard is here once"):
            known.find(waits, USER)
    assert len(audited(tmp_path)) == before + 1, "who waits asks every two seconds"
    name = up(bench)
    bench.move(name, Event.SUCCEEDED)
    with pytest.raises(FailedPrecondition, match="is JOB_STATE_SUCCEEDED, and its dashboard has ended"):
        known.find(number(name), USER)
    assert executor.asked == []


def test_an_executor_may_lack_the_talent(bench: Bench) -> None:
    """It is said, and not taken for a fault of ours."""
    bench.service.dashboard_ports = None
    with pytest.raises(FailedPrecondition, match="forwards no dashboards"):
        bench.service.dashboards().find(number(up(bench)), USER)


def test_its_address_is_there_while_the_chief_is(bench: Bench) -> None:
    """In answers and in lists; a port that the job chooses is part of the key."""
    name = up(bench)
    uri = f"http://{number(name)}.dashboards.localhost/"
    shown = bench.call("GetCustomJob", {"name": name}, caller=VIEWER)
    listed = bench.call("ListCustomJobs", {"parent": "projects/p1/locations/l"}, caller=VIEWER)
    assert shown["webAccessUris"] == listed["customJobs"][0]["webAccessUris"] == {KEY: uri}
    job = bench.job(name)
    bench.commit(job, Decision(replace(job.status, memo='{"rec":{"workerpool0-0":1}}')))
    assert "webAccessUris" not in bench.call("GetCustomJob", {"name": name}, caller=VIEWER)
    own = {**POOL["containerSpec"], "env": [{"name": "AIP_DASHBOARD_PORT", "value": "6006"}]}
    chosen = up(bench, workerPoolSpecs=[{**POOL, "containerSpec": own}])
    assert list(bench.call("GetCustomJob", {"name": chosen}, caller=VIEWER)["webAccessUris"]) == ["workerpool0-0:6006"]
