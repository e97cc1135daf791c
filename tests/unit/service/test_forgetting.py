"""What was remembered of a job does not outlive its key: not on the page, not in the tables, not in memory."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from trainyard.contract import codec
from trainyard.contract.operations import operations
from trainyard.contract.pool import message_class
from trainyard.core.errors import FailedPrecondition
from trainyard.core.ids import TimeOrderedIds
from trainyard.core.names import KeyName, Scope
from trainyard.keyrings.local.ring import open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.kinds.custom_job.kind import CustomJobKind
from trainyard.kinds.nas_job.kind import NasJobKind
from trainyard.kinds.nas_job.trial_kind import NasTrialKind
from trainyard.service.access import Caller, OpenAccess
from trainyard.service.dispatch import Service
from trainyard.service.keys import Keys
from trainyard.service.reading import Asked
from trainyard.stores.sqlite.store import SqliteStore, open_store

from .desk import ListedLines, TickingClock

SCOPE = Scope.of("p1", "us-central1")
KEY = KeyName(SCOPE, "ring", "key")


def secret() -> str:
    """Made anew each time: no constant of this file holds it."""
    return "-".join(("s3cr3t", "of", "the", "job"))


def holders() -> list[type]:
    """What refers to the secret, anywhere in this process. The collector does not list what can be in no cycle."""
    text, todo, found = secret(), gc.get_objects(), []
    plain = text.encode()
    while todo:
        each = todo.pop()
        for referred in gc.get_referents(each):
            if (isinstance(referred, str) and text in referred) or (isinstance(referred, bytes) and plain in referred):
                found.append(type(each))
            elif isinstance(referred, tuple | dict) and not gc.is_tracked(referred):
                todo.append(referred)
    return found


class Bench:
    """A service over a store that seals, with a client's ways to look at jobs."""

    def __init__(self, store: SqliteStore, directory: Path) -> None:
        self.clock = TickingClock()
        self.vault = DataVault(directory / "keys", open_ring(directory / "keys"))
        store.share_seals(self.vault)
        self.kinds = (CustomJobKind(), NasJobKind(pytest.fail), NasTrialKind())
        parts: dict[str, Any] = {"desk": store, "logbook": ListedLines(), "kinds": self.kinds, "clock": self.clock}
        self.service = Service(**parts, ids=TimeOrderedIds(self.clock), access=OpenAccess())
        self.service.share_vault(self.vault)
        self.keys = Keys(self.vault, store, self.clock, OpenAccess())
        self.keys.forget = self.service.forget

    async def call(self, method: str, **fields: Any) -> Any:
        operation = next(each for each in operations() if each.method == method)
        request = codec.parse(message_class(operation.request.replace("{v}", "v1")), fields)
        return await self.service.answer(operation, "v1", request, Caller())

    async def create(self) -> Any:
        pool = {
            "machineSpec": {"machineType": "n1-standard-4"},
            "containerSpec": {"imageUri": "img", "env": [{"name": "PASSWORD", "value": secret()}]},
        }
        spec = {"workerPoolSpecs": [{**pool, "replicaCount": "1"}]}
        job = {"displayName": "j", "jobSpec": spec, "encryptionSpec": {"kmsKeyName": str(KEY)}}
        return (await self.call("CreateCustomJob", parent=str(SCOPE), customJob=job)).name

    async def shown(self, name: str) -> str:
        """The job in every form in which it is asked for."""
        whole = codec.render(await self.call("GetCustomJob", name=name))
        page = await self.call("ListCustomJobs", parent=str(SCOPE))
        pages = [codec.render_bytes(page, pretty=pretty) for pretty in (True, False)]
        rows: list[Any] = []
        for fields in (["jobSpec"], ["name", "jobSpec", "webAccessUris"]):
            with self.service.reading(Caller()) as reading:
                rows += reading.rows(Asked("customJobs", "p1", "us-central1"), fields)
        return repr((whole, pages, rows))

    def thought_about(self, store: SqliteStore, job_id: int) -> None:
        """What the controller asks of a kind."""
        job = store.find(job_id)
        assert job is not None
        for kind in (self.kinds[0], self.kinds[2]):
            kind.demand(job)
            kind.decide(job, None, None, self.clock.now_us())


@pytest.mark.parametrize("verb", ["disable", "destroy"])
def test_nothing_is_kept_of_what_a_key_has_sealed(tmp_path: Path, verb: str) -> None:
    """As soon as `disable` and `destroy` are answered and whoever follows the job has heard that it is sealed."""

    async def story() -> None:
        store = await open_store(tmp_path, TickingClock())
        desk = Bench(store, tmp_path)
        desk.vault.create(KEY, 1)
        name = await desk.create()
        desk.vault.all_sealed(int(name.rpartition("/")[2]))
        for _ in range(2):
            assert secret() in await desk.shown(name)
        desk.thought_about(store, int(name.rpartition("/")[2]))
        following = desk.service.follower.follow(name, Caller())
        assert (await anext(following)).kind == "state"
        assert holders()
        body = {"confirm": str(KEY)} if verb == "destroy" else {}
        await desk.keys.change(verb, str(KEY), body, Caller())
        with pytest.raises(FailedPrecondition, match=f"is {'disabled' if verb == 'disable' else 'destroyed'}"):
            await anext(following)
        gc.collect()
        assert holders() == []
        assert secret() not in await desk.shown(name)
        await store.close()
        desk.vault.close()

    asyncio.run(story())
