"""How a setting becomes a tracker: the composition root's part for experiments."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

from trainyard import trackers
from trainyard.app_identity import told
from trainyard.core.errors import Unavailable
from trainyard.core.jobs import Job
from trainyard.core.runs import RunGroup
from trainyard.objects import ObjectStore
from trainyard.service.dispatch import Service
from trainyard.settings import Settings
from trainyard.store import Store
from trainyard.tracker import Tracker

log = logging.getLogger("trainyard.tracking")


def open_tracker(settings: Settings) -> Tracker | None:
    """The tracker that the settings name, if they do. Raises Unavailable where its library is not installed."""
    uri = settings.mlflow_tracking_uri
    if not uri:
        return None
    needed = ("mlflow", "alembic", "sqlalchemy") if "sql" in uri.partition("://")[0] else ("mlflow",)
    if missing := [name for name in needed if find_spec(name) is None]:
        raise Unavailable(
            f"mlflow_tracking_uri needs {missing[0]}: pip install 'trainyard[mlflow]', or unset the setting."
        )
    tracker: Tracker = import_module(trackers.BUILT_IN["mlflow"]).open_tracker(uri, settings.data_dir / "tracking")
    return tracker


def equipment(
    equip: Callable[[RunGroup], RunGroup], tracker: Tracker | None
) -> Callable[[Job, RunGroup], Awaitable[RunGroup]]:
    """What `equip` gives to a run's replicas, and their way to the run that tracks them.

    A variable that the job's own spec sets stays as it sets it. Where there can be no tracking now, they are told.
    """

    async def equipped(job: Job, group: RunGroup) -> RunGroup:
        group = equip(group)
        if tracker is None or not (group.experiment or group.experiment_run):
            return group
        try:
            given = await tracker.begin(job, group)
        except Unavailable as error:
            return _told(group, f"Its programs start without MLFLOW_RUN_ID: {error.message}")
        own = {name for replica in group.replicas for name, _ in replica.env}
        kept = {name: value for name, value in given.items() if name not in own}
        return replace(group, extra_env={**kept, **group.extra_env})

    return equipped


def _told(group: RunGroup, sentence: str) -> RunGroup:
    log.warning("%s: %s", group.job_name, sentence)
    return told(group, sentence)


@contextlib.asynccontextmanager
async def tracking(
    tracker: Tracker | None, store: Store, service: Service, objects: ObjectStore
) -> AsyncIterator[None]:
    """Let explanations know of it, and see runs to their end meanwhile."""
    if tracker is None:
        yield
        return
    service.insight.tracked = tracker.told
    task = asyncio.create_task(tracker.run(store.find, service.metrics(objects).points), name="tracker")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
