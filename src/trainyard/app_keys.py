"""The composition root's part for encryption at rest: the ring of keys, the vault over it, and who uses them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from trainyard import keyrings
from trainyard.control.sealing import Sealing, SealsOutput
from trainyard.core.clock import Clock
from trainyard.executor import Executor
from trainyard.keyrings.vault import DataVault
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
    """The vault of the data directory. Raises StoreError where keys are there that cannot be used."""
    directory = settings.data_dir / DIRECTORY
    master = Path(settings.master_key_file).expanduser() if settings.master_key_file else None
    return DataVault(directory, import_module(keyrings.BUILT_IN["local"]).open_ring(directory, master))


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the edges and the health of the service need of it."""

    keys: Keys
    sealing: Sealing


@contextlib.asynccontextmanager
async def sealing(
    vault: DataVault, store: SqliteStore, service: Service, executor: Executor, output: SealsOutput, clock: Clock
) -> AsyncIterator[Sealed]:
    """Let jobs name keys, and seal what they leave, for as long as the service is up."""
    service.share_vault(vault)
    keys = Keys(vault, store, clock, service.access)
    keys.audit = service.audit
    seals = Sealing(vault, store, executor, output)
    await seals.forget_gone()
    task = asyncio.create_task(seals.run(), name="sealing")
    try:
        yield Sealed(keys, seals)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
