"""Persistent resources in the service: who makes and deletes them, what becomes of them, what a restart finds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.audit import AuditLog
from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.control.admission import Admission
from trainyard.core.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from trainyard.core.jobs import Decision, Event, Job, Parentage, Status
from trainyard.core.names import JobName
from trainyard.core.runs import Capacity
from trainyard.core.states import JobState
from trainyard.core.trials import Stage
from trainyard.kinds.custom_job.kind import CustomJobKind
from trainyard.kinds.machines import Machines
from trainyard.kinds.persistent_json import read
from trainyard.service.access import Access, Caller, OpenAccess
from trainyard.service.persistent import Grounds, PersistentResources
from trainyard.service.persistent_file import FILE_NAME, ResourceFile
from trainyard.stores.memory import MemoryStore

from .desk import MINIMAL, PARENT, POOL, TickingClock

BODY: dict[str, Any] = {
    "name": "warm",
    "imageUri": "img",
    "packageUris": ["gs://b/p.tar.gz"],
    "resourcePools": [{"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 2}],
}
SOMEBODY = Caller("somebody")


class OnlySomebody(OpenAccess):
    """One caller may do everything, others nothing."""

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        return caller == SOMEBODY


async def instantly(image_uri: str, package_uris: Sequence[str]) -> str:
    return f"{image_uri} with {', '.join(package_uris)} is there."


class Bench:
    """Resources over a store in memory and an admission of four replicas."""

    def __init__(
        self,
        folder: Path,
        warm: Callable[[str, Sequence[str]], Awaitable[str]] | None = instantly,
        *,
        replicas: int = 4,
        access: Access | None = None,
    ) -> None:
        self.store, self.machines, self.folder = MemoryStore(), Machines.known(), folder
        self.kind = CustomJobKind(self.machines)
        self.admission = Admission(lambda: Capacity(replicas), 60.0)
        kinds = {"customJobs": self.kind}
        grounds = Grounds(self.machines, kinds, self.store, TickingClock(), self.admission.set_aside, warm)
        self.resources = PersistentResources(grounds, ResourceFile(folder), access or OpenAccess())

    def opened(self, *declared: dict[str, Any]) -> PersistentResources:
        self.resources.open([read(each, self.machines) for each in declared])
        return self.resources

    async def settled(self, name: str = "warm") -> dict[str, Any]:
        for _ in range(100):
            found = await self.resources.get(name, SOMEBODY)
            if found["state"] != "PROVISIONING":
                return found
            await asyncio.sleep(0)
        raise AssertionError(f"still {found}")

    async def job(self, number: int, resource: str = "warm", replicas: int = 1) -> Job:
        """A job of project p1 on the resource (none where that is empty)."""
        spec = {"workerPoolSpecs": [POOL, {}, {**POOL, "replicaCount": str(replicas - 1)}][: 3 if replicas > 1 else 1]}
        cls: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.CustomJob")
        asked = json_format.ParseDict({**MINIMAL, "jobSpec": {**spec, "persistentResourceId": resource}}, cls())
        name = JobName.parse(f"{PARENT}/customJobs/{number}")
        job = Job(name, 1, "t", {}, asked.SerializeToString(), Status(JobState.QUEUED, 1))
        await self.store.insert(job)
        return job

    async def move(self, job: Job, *events: Event) -> None:
        for event in events:
            found = self.store.get(job.name)
            assert await self.store.commit(found, Decision(found.status).moved(event, 2, "because"))


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type] - a coroutine function's


def test_it_is_kept_made_ready_and_there_after_a_restart(tmp_path: Path) -> None:
    """Places at once, PROVISIONING, RUNNING; the next service has the same, creation time included."""

    async def first() -> None:
        bench = Bench(tmp_path)
        bench.opened()
        made = await bench.resources.create(BODY, SOMEBODY)
        assert (made["state"], made["declared"], made["jobs"]) == ("PROVISIONING", False, [])
        assert "ready" not in made
        found = await bench.settled()
        assert (found["state"], found["ready"]) == ("RUNNING", "img with gs://b/p.tar.gz is there.")
        assert list(bench.machines.persistent) == ["warm"]
        with pytest.raises(AlreadyExists):
            await bench.resources.create(BODY, SOMEBODY)
        with pytest.raises(ResourceExhausted):
            await bench.resources.create(
                {
                    **BODY,
                    "name": "more",
                    "resourcePools": [{"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 3}],
                },
                SOMEBODY,
            )
        (tmp_path / "made").write_text(found["createTime"])

    async def second() -> None:
        bench = Bench(tmp_path)
        bench.opened()
        (found,) = await bench.resources.list_(SOMEBODY)
        assert found["createTime"] == (tmp_path / "made").read_text()
        assert (await bench.settled())["state"] == "RUNNING"
        await bench.resources.delete("warm", SOMEBODY)
        assert bench.machines.persistent == {}
        assert json.loads((tmp_path / FILE_NAME).read_text())["persistentResources"] == []
        with pytest.raises(NotFound):
            await bench.resources.delete("warm", SOMEBODY)

    run(first)
    run(second)


def test_what_cannot_be_made_ready_says_why_and_keeps_its_places(tmp_path: Path) -> None:
    """By the executor's sentence, or by a defect's name; never by silence."""

    async def unreachable(image_uri: str, package_uris: Sequence[str]) -> str:
        raise Unavailable("The registry does not answer.") if package_uris else RuntimeError("odd")

    async def work() -> None:
        bench = Bench(tmp_path, unreachable)
        bench.opened()
        await bench.resources.create(BODY, SOMEBODY)
        found = await bench.settled()
        assert (found["state"], found["error"]) == ("ERROR", {"code": 14, "message": "The registry does not answer."})
        await bench.resources.create({**BODY, "name": "odd", "packageUris": []}, SOMEBODY)
        assert "RuntimeError('odd')" in (await bench.settled("odd"))["error"]["message"]
        with pytest.raises(ResourceExhausted):
            await bench.resources.create({**BODY, "name": "third"}, SOMEBODY)

    run(work)


def test_without_an_image_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    """Nor with an executor that makes nothing ready."""

    async def work() -> None:
        bench = Bench(tmp_path, None)
        bench.opened({**BODY, "name": "settings"})
        made = await bench.resources.create({**BODY, "imageUri": "", "packageUris": []}, SOMEBODY)
        assert (made["state"], made["ready"]) == ("RUNNING", "Its places are kept; it names no image.")
        declared = await bench.resources.get("settings", SOMEBODY)
        assert (declared["state"], declared["declared"]) == ("RUNNING", True)
        assert declared["ready"] == "Its places are kept; this executor makes nothing ready."
        with pytest.raises(FailedPrecondition, match="take it out of that file and restart"):
            await bench.resources.delete("settings", SOMEBODY)

    run(work)


def test_one_in_use_is_not_deleted(tmp_path: Path) -> None:
    """It names the jobs that have not ended, waiting ones too, and counts those that run."""

    async def work() -> None:
        bench = Bench(tmp_path)
        bench.opened()
        await bench.resources.create(BODY, SOMEBODY)
        running, waiting = await bench.job(1, replicas=2), await bench.job(2)
        await bench.job(3, resource="")
        await bench.move(running, Event.ADMITTED)
        found = await bench.resources.get("warm", SOMEBODY)
        assert found["jobs"] == [str(running.name), str(waiting.name)]
        assert found["resourcePools"][0]["usedReplicaCount"] == "2"
        with pytest.raises(FailedPrecondition, match=r"in use by projects/\S+/1, projects/\S+/2; it can"):
            await bench.resources.delete("warm", SOMEBODY)
        assert list(bench.machines.persistent) == ["warm"]
        await bench.move(running, Event.SUCCEEDED)
        await bench.move(waiting, Event.CANCEL_ASKED, Event.CANCELLED)
        await bench.resources.delete("warm", SOMEBODY)

    run(work)


def test_trials_are_told_as_their_search(tmp_path: Path) -> None:
    """A job that no request can name counts where it runs, and is not named."""

    async def work() -> None:
        bench = Bench(tmp_path)
        bench.opened()
        await bench.resources.create(BODY, SOMEBODY)
        trial = await bench.job(1)
        assert await bench.store.commit(
            trial,
            Decision(
                trial.status,
                births=(
                    replace(trial, name=JobName.parse(f"{PARENT}/customJobs/2"), parent=Parentage(1, Stage.SEARCH, 1)),
                ),
            ),
        )
        assert (await bench.resources.get("warm", SOMEBODY))["jobs"] == [str(trial.name)]

    run(work)


def test_jobs_of_others_are_not_named(tmp_path: Path) -> None:
    """Who may not see a job hears only that there are some; and only an admin of all projects creates and deletes."""

    async def work() -> None:
        bench = Bench(tmp_path, access=OnlySomebody())
        bench.opened()
        stranger = Caller("stranger")
        for refused in (bench.resources.create(BODY, stranger), bench.resources.delete("warm", stranger)):
            with pytest.raises(PermissionDenied, match=r"trainyard\.pools"):
                await refused
        bench.resources.audit = AuditLog(tmp_path)
        await bench.resources.create(BODY, SOMEBODY)
        await bench.job(1)
        assert len((await bench.resources.get("warm", SOMEBODY))["jobs"]) == 1
        assert (await bench.resources.get("warm", stranger))["jobs"] == []
        with pytest.raises(PermissionDenied):
            await bench.resources.delete("warm", stranger)
        lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
        told = [(line["who"], line["what"], line["resource"], line["result"]) for line in lines]
        assert told == [
            ("somebody", "pools.create", "pools/warm", "OK"),
            ("stranger", "pools.delete", "pools/warm", "PERMISSION_DENIED"),
        ]

    run(work)


def test_what_does_not_fit_any_more_is_there_and_says_so(tmp_path: Path) -> None:
    """After a restart with fewer replicas; what the settings declare goes first, and by the same name instead."""

    async def larger() -> None:
        bench = Bench(tmp_path)
        bench.opened()
        await bench.resources.create(BODY, SOMEBODY)
        await bench.resources.create({**BODY, "name": "other"}, SOMEBODY)

    async def smaller() -> None:
        bench = Bench(tmp_path, replicas=2)
        bench.opened({**BODY, "name": "other", "imageUri": "", "packageUris": []})
        warm, other = await bench.resources.get("warm", SOMEBODY), await bench.resources.get("other", SOMEBODY)
        assert (warm["state"], warm["error"]["code"]) == ("ERROR", 8)
        assert (other["state"], other["declared"]) == ("RUNNING", True)
        await bench.resources.delete("warm", SOMEBODY)
        with pytest.raises(ResourceExhausted):
            Bench(tmp_path, replicas=1).opened(BODY)

    run(larger)
    run(smaller)


def test_a_disk_that_is_full_keeps_nothing(tmp_path: Path) -> None:
    """What could not be written is neither there nor set aside."""

    async def work() -> None:
        bench = Bench(tmp_path / "gone")
        bench.opened()
        with pytest.raises(Unavailable, match="cannot be written: No such file"):
            await bench.resources.create(BODY, SOMEBODY)
        assert await bench.resources.list_(SOMEBODY) == []
        (tmp_path / "gone").mkdir()
        await bench.resources.create(BODY, SOMEBODY)

    run(work)


def test_closing_gives_up_what_is_being_made(tmp_path: Path) -> None:
    """Deleting one does, too; nothing of it is left to run."""
    ended: list[str] = []

    async def forever(image_uri: str, package_uris: Sequence[str]) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(image_uri)
        return ""

    async def work() -> None:
        bench = Bench(tmp_path, forever)
        bench.opened()
        for name in ("warm", "other"):
            await bench.resources.create({**BODY, "name": name, "imageUri": name}, SOMEBODY)
        await asyncio.sleep(0)
        await bench.resources.delete("other", SOMEBODY)
        await bench.resources.close()

    run(work)
    assert sorted(ended) == ["other", "warm"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"version": 1, "persistentResources": [{}]}', "cannot be read"),
        ('{"version": 2, "persistentResources": []}', "not of version 1"),
        ('{"version": 1, "persistentResources": [{"createTimeUs": 1, "body": {"name": "a"}}]}', "cannot be kept"),
    ],
)
def test_a_file_that_cannot_be_meant_is_named(tmp_path: Path, content: str, words: str) -> None:
    """The service does not come up without what it promised to keep."""
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(Unavailable, match=words):
        Bench(tmp_path).opened()


def test_a_body_that_is_none_is_refused(tmp_path: Path) -> None:
    """Before anything is kept."""

    async def work() -> None:
        bench = Bench(tmp_path)
        bench.opened()
        for body in ([], {}, {"name": 3}):
            with pytest.raises(InvalidArgument):
                await bench.resources.create(body, SOMEBODY)

    run(work)
