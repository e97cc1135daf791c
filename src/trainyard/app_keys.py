"""The composition root's part for encryption at rest: the ring of keys, the vault over it, and who uses them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from trainyard import keyrings
from trainyard.app_identity import told
from trainyard.control.outputs import OutputSealing
from trainyard.control.sealing import Sealing, SealsOutput
from trainyard.control.sealing_live import LiveSealing, SealsGrowth
from trainyard.core.clock import Clock
from trainyard.core.jobs import Job
from trainyard.core.runs import RunGroup
from trainyard.executor import Executor
from trainyard.keyrings.vault import DataVault
from trainyard.kind import Kind
from trainyard.objects import ObjectStore
from trainyard.service.dispatch import Service
from trainyard.service.keys import Keys
from trainyard.settings import Settings
from trainyard.stores.sqlite.store import SqliteStore, open_store

DIRECTORY = "keys"


@contextlib.asynccontextmanager
async def state(settings: Settings, clock: Clock) -> AsyncIterator[tuple[SqliteStore, DataVault]]:
    """The store, opened first since it holds the data directory, and the vault that it seals by. Raises StoreError."""
    store = await open_store(settings.data_dir, clock)
    try:
        vault = await asyncio.to_thread(open_vault, settings)
    except BaseException:
        await store.close()
        raise
    store.share_seals(vault)
    try:
        yield store, vault
    finally:
        await store.close()
        vault.close()


def open_vault(settings: Settings) -> DataVault:
    """The vault of the data directory, over the ring that is set. Raises StoreError where keys cannot be used."""
    directory = settings.data_dir / DIRECTORY
    master = Path(settings.master_key_file).expanduser() if settings.master_key_file else None
    which = settings.key_ring.partition(":")[0]
    ring = import_module(keyrings.BUILT_IN[which])
    return DataVault(directory, ring.open_ring(directory, master if which == "local" else settings.key_ring))


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the edges and the health of the service need of it."""

    keys: Keys
    sealing: Sealing
    live: LiveSealing
    outputs: OutputSealing

    def problems(self) -> tuple[str, ...]:
        """What keeps something from being sealed just now."""
        return (*self.sealing.problems(), *self.live.problems(), *self.outputs.problems())


class Output(SealsOutput, SealsGrowth, Protocol):
    """The part of a log book that is needed."""


@contextlib.asynccontextmanager
async def sealing(
    outputs: OutputSealing, store: SqliteStore, service: Service, executor: Executor, output: Output, clock: Clock
) -> AsyncIterator[Sealed]:
    """Let jobs name keys, and seal what they leave, for as long as the service is up."""
    vault = outputs.vault
    service.share_vault(vault)
    keys = Keys(vault, store, clock, service.access)
    keys.audit, keys.forget = service.audit, service.forget
    seals = Sealing(vault, store, executor, output)
    await seals.forget_gone()
    live = LiveSealing(vault, store, output)
    parts = {"sealing": seals.run(), "live sealing": live.run(), "sealing of outputs": outputs.run()}
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    try:
        yield Sealed(keys, seals, live, outputs)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def open_outputs(
    vault: DataVault, store: SqliteStore, known: Mapping[str, Kind], objects: ObjectStore
) -> OutputSealing:
    """What sees to jobs' output in gs://; from now on all that reads there reads what is sealed as well."""
    objects.share_seals(vault.contents)
    return OutputSealing(vault, store, known, objects)


def gated(
    seals: OutputSealing, equip: Callable[[Job, RunGroup], Awaitable[RunGroup]]
) -> Callable[[Job, RunGroup], Awaitable[RunGroup]]:
    """What `equip` gives to a run's replicas, once their output directory is as they should find it."""

    async def equipped(job: Job, group: RunGroup) -> RunGroup:
        sentence = await seals.ready(job, group)
        return await equip(job, told(group, sentence))

    return equipped
