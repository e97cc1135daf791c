"""The controller: brings every job, step by step, to what was asked of it, and lets no failure stop it.

Whether it was woken by a hint, a timer or a scan it cannot tell and need not (law 3). A store that is full, an
executor that does not answer and a defect of our own are all the same to it: the step is tried again, later each
time, and `problems` says so meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from trainyard.control.acts import Acts
from trainyard.control.admission import Admission
from trainyard.control.pace import Pace
from trainyard.control.problems import Problems
from trainyard.control.reconcile import Reconciler
from trainyard.control.removals import Removals
from trainyard.control.wakeups import Wakeups
from trainyard.control.watcher import Watcher
from trainyard.core.backoff import delay_seconds
from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import ResourceExhausted, Unavailable
from trainyard.core.states import JobState
from trainyard.executor import Executor, Sweeps
from trainyard.kind import Kind
from trainyard.store import Ledger


class Controller:
    """`run` it as one task of the server's loop; cancel that task to end it. What runs goes on running (law 7).

    `store` hints through `on_write`; `kinds` by collection; `executor` has been started already.
    """

    def __init__(
        self, store: Ledger, kinds: Mapping[str, Kind], executor: Executor, clock: Clock, settings: Pace | None = None
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._pace = pace = settings or Pace()
        self._problems = Problems()
        self._failures: dict[int, int] = {}
        self._running = False
        self._wakeups = Wakeups(self._step, pace.most_steps)
        self._watcher = Watcher(executor, clock, pace, self._problems, self._wakeups.now)
        self._acts = Acts(executor, kinds, self._watcher, clock, pace)
        self._admission = Admission(executor.capacity, pace.backfill)
        self._reconciler = Reconciler(store, kinds, self._acts, self._admission, clock, self._wakeups.now)
        self._removals = Removals(store, executor, pace, self._problems)
        self._reconciler.on_deleted = self._removals.hint
        store.on_write(self._hinted)

    def problems(self) -> tuple[str, ...]:
        """What does not work just now, one sentence each; empty when all is well."""
        return self._problems.sentences()

    async def run(self) -> None:
        """Take up every live job, then go on for ever."""
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._persist(self._take_up)
            parts = (self._watcher.run, self._removals.run, self._scan, self._publish)
            tasks += [asyncio.create_task(self._persist(part)) for part in parts]
            await asyncio.gather(*tasks)
        finally:
            self._running = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._wakeups.close()

    def _hinted(self, job_id: int) -> None:
        """The Desk has written: look at the job, or at what is left of it."""
        if self._running:
            self._wakeups.now(job_id)

    async def _persist(self, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a part of the controller to its end, starting it again after each failure."""
        name = getattr(part, "__qualname__", "a part")
        failures = 0
        while True:
            try:
                await part()
            except Unavailable as error:
                self._problems.report(name, error.message)
            except Exception as error:  # whatever it is, the jobs must go on; it is logged with traceback
                self._problems.report(name, f"The controller's part {name} failed and is tried again: {error!r}", error)
            else:
                self._problems.clear(name)
                return
            failures += 1
            await asyncio.sleep(delay_seconds(failures, self._pace.retry_first, self._pace.retry_cap))

    async def _take_up(self) -> None:
        """What a fresh controller does first: hold the room of what runs, end what nobody owns, look at everything."""
        if isinstance(self._executor, Sweeps):
            held = {job.status.run_id for job in self._store.live()}
            await self._executor.sweep({run_id for run_id in held if run_id is not None})
        live = self._store.live()  # again, and nothing is awaited from here on: no job can slip in between
        for job in live:
            self._guarded_adopt(job.id, lambda job=job: self._reconciler.adopt(job))  # type: ignore[misc]  # binds it
        self._running = True  # no step, not even a hinted one, before all room that is held is known
        for job in live:
            self._wakeups.now(job.id)

    def _guarded_adopt(self, job_id: int, adopt: Callable[[], None]) -> None:
        """One job whose spec cannot be read any more must not keep the others from being taken up."""
        try:
            adopt()
        except Exception as error:  # reported with traceback; its step reports it again
            self._problems.report(f"job {job_id}", f"Job {job_id} cannot be taken up: {error!r}", error)

    async def _step(self, job_id: int) -> None:
        """One step of one job, with whatever may go wrong turned into a later try."""
        try:
            again = await self._reconciler.step(job_id)
        except (Unavailable, ResourceExhausted) as error:
            self._failed(job_id, "backend", error.message, None)
        except Exception as error:  # a defect of ours in one job must not stop the others
            sentence = f"Job {job_id} could not be brought on and is tried again: {error!r}"
            self._failed(job_id, f"job {job_id}", sentence, error)
        else:
            if self._failures.pop(job_id, None) is not None:
                self._problems.clear(f"job {job_id}")
            self._problems.clear("backend")
            if again == 0.0:
                self._wakeups.now(job_id)
            else:
                self._wakeups.later(job_id, again)

    def _failed(self, job_id: int, cause: str, sentence: str, error: Exception | None) -> None:
        self._problems.report(cause, sentence, error)
        failures = self._failures[job_id] = self._failures.get(job_id, 0) + 1
        self._wakeups.later(job_id, delay_seconds(failures, self._pace.retry_first, self._pace.retry_cap))

    async def _scan(self) -> None:
        """Find what a lost hint left lying: jobs whose revision no step has seen, and room that appeared."""
        rest = self._pace.scan
        while True:
            await asyncio.sleep(rest)
            began_us = self._clock.steady_us()
            for job in self._store.live():
                if self._reconciler.revisions.get(job.id) != job.revision or job.status.state is not JobState.QUEUED:
                    self._wakeups.now(job.id)
            self._reconciler.make_room(self._clock.steady_us())
            rest = max(self._pace.scan, self._rest_after(began_us))

    async def _publish(self) -> None:
        """Tell the Desk who waits where, whenever that changed, but not more often than people can read."""
        rest = self._pace.publish
        while True:
            await asyncio.sleep(rest)
            began_us = self._clock.steady_us()
            if self._admission.changed:
                self._store.publish_queue(self._admission.places())
            rest = max(self._pace.publish, self._rest_after(began_us))

    def _rest_after(self, began_us: int) -> float:
        """Seconds to rest after work that began then, so that it takes no more than its part of all time."""
        return (self._clock.steady_us() - began_us) / MICROSECONDS / self._pace.most_load
