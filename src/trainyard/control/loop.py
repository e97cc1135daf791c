"""The controller: brings every job, step by step, to what was asked of it, and lets no failure stop it.

Whether it was woken by a hint, a timer or a scan it cannot tell and need not (law 3). A store that is full, an
executor that does not answer and a defect of our own are all the same to it: the step is tried again, later each
time, and `problems` says so meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from trainyard.control.acts import Acts, Equip
from trainyard.control.admission import Admission
from trainyard.control.last_lines import LastLines
from trainyard.control.pace import Pace
from trainyard.control.problems import Problems
from trainyard.control.reconcile import Reconciler
from trainyard.control.removals import Removals
from trainyard.control.wakeups import Wakeups
from trainyard.control.watcher import Watcher
from trainyard.core.backoff import delay_seconds
from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import ResourceExhausted, Unavailable
from trainyard.core.ids import Ids
from trainyard.core.jobs import Job
from trainyard.core.runs import Places
from trainyard.core.states import JobState
from trainyard.executor import Executor, Sweeps
from trainyard.kind import Kind
from trainyard.store import Ledger, Standing

_PAGE: Final = 200  # live jobs read at once: whoever asks meanwhile waits for no longer than that takes
_BATCH: Final = 25  # waiting jobs taken up, or woken, at once: likewise
_FIRST: Final = 250  # of those who wait, known before the first of them is let in


class Controller:
    """`run` it as one task of the server's loop; cancel that task to end it. What runs goes on running (law 7).

    `store` hints through `on_write`; `kinds` by collection; `executor` has been started already;
    `equip` adds to every run group what the service gives to all.
    """

    def __init__(
        self,
        store: Ledger,
        kinds: Mapping[str, Kind],
        executor: Executor,
        clock: Clock,
        settings: Pace | None = None,
        equip: Equip | None = None,
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._pace = pace = settings or Pace()
        self._problems = Problems()
        self._failures: dict[int, int] = {}
        self._running = False
        self._early: dict[int, None] = {}  # hints of before it ran, in order
        self._behind: list[int] = []  # queued jobs not taken up yet, the next one last
        self._wakeups = Wakeups(self._step, pace.most_steps)
        self._watcher = Watcher(executor, clock, pace, self._problems, self._wakeups.now)
        self._acts = Acts(executor, kinds, self._watcher, clock, pace, equip)
        self._admission = Admission(executor.capacity, pace.backfill, pace.near)
        self._reconciler = Reconciler(store, kinds, self._acts, self._admission, clock, self._wakeups)
        self._removals = Removals(store, executor, pace, self._problems)
        self._reconciler.on_deleted = self._removals.hint
        store.on_write(lambda job_id, _: self._hinted(job_id))

    def share_ids(self, ids: Ids) -> None:
        """Name the jobs of trials from the same source as all other jobs; before `run`, where there are searches."""
        self._reconciler.share_ids(ids)

    def share_last_lines(self, last_lines: LastLines) -> None:
        """Where the last lines of jobs that name a key are found; before `run`, where there are any."""
        self._reconciler.last_lines = last_lines

    def set_aside(self, kept: Sequence[Places]) -> None:
        """Keep these places for who asks for them, and let in who has room now. Raises as Admission.set_aside."""
        self._admission.set_aside(kept)
        if self._running:
            self._reconciler.make_room(self._clock.steady_us())

    def problems(self) -> tuple[str, ...]:
        """What does not work just now, one sentence each; empty when all is well."""
        return self._problems.sentences()

    async def run(self) -> None:
        """Take up every live job, then go on for ever."""
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._persist(self._take_up)
            parts = (self._watcher.run, self._removals.run, self._scan)
            tasks += [asyncio.create_task(self._persist(part)) for part in parts]
            await asyncio.gather(*tasks)
        finally:
            self._running = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._wakeups.close()

    def _hinted(self, job_id: int) -> None:
        """The Desk has written: look at the job, or at what is left of it. A new one far back in line costs no step."""
        if not self._running:
            self._early[job_id] = None
            return
        fresh = self._reconciler.newcomer(job_id)
        if fresh is None or self._adopt(fresh):
            self._wakeups.now(job_id)
        else:
            self._reconciler.make_room(self._clock.steady_us())  # which wakes it, should it be the one that fits

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
        """What a fresh controller does first: end what nobody owns, hold the room of what runs, look at all of that.

        Of those who wait only the first in line are taken up here, however many there are; the others follow later.
        All of it goes in batches, so that a long queue delays neither what runs nor who asks.
        """
        if isinstance(self._executor, Sweeps):
            held = {job.status.run_id for job in self._store.runs()}
            await self._executor.sweep({run_id for run_id in held if run_id is not None})
        line: list[tuple[int, int]] = []
        async for page in self._census():
            line += [(one.priority, -one.id) for one in page if one.state is JobState.QUEUED]
        self._behind = [-minus_id for _, minus_id in sorted(line)]
        first: list[int] = []
        for _ in range(_FIRST // _BATCH):
            first += self._line_up()
            if not self._behind:  # a short queue is known before anybody asks
                break
            await asyncio.sleep(0)
        due = [job.id for job in self._store.runs() if self._adopt(job)]  # nothing is awaited from here on
        self._running = True  # no step, not even a hinted one, before all room that is held is known
        self._reconciler.make_room(self._clock.steady_us())
        self._store.publish_queue(self._admission.places())
        due += (*first, *self._early)
        self._early.clear()
        for at in range(0, len(due), _BATCH):
            for job_id in due[at : at + _BATCH]:
                self._wakeups.now(job_id)
            await asyncio.sleep(0)

    def _line_up(self) -> list[int]:
        """Take up the next batch of those who wait; the ids of those whom a step is due."""
        batch = [self._behind.pop() for _ in range(min(_BATCH, len(self._behind)))]
        jobs = (self._store.find(job_id) for job_id in batch)
        return [job.id for job in jobs if job is not None and job.status.state is JobState.QUEUED and self._adopt(job)]

    def _adopt(self, job: Job) -> bool:
        """One job whose spec cannot be read any more must not keep the others from being taken up."""
        try:
            return self._reconciler.adopt(job)
        except Exception as error:  # reported with traceback; its step reports it again
            self._problems.report(f"job {job.id}", f"Job {job.id} cannot be taken up: {error!r}", error)
            return True

    async def _census(self) -> AsyncIterator[Sequence[Standing]]:
        """All live jobs, a page at a time; nothing else waits for longer than a page takes."""
        after = 0
        while page := self._store.census(after, _PAGE):
            yield page
            if len(page) < _PAGE:
                return
            after = page[-1].id
            await asyncio.sleep(0)

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
        """Take up who still waits; then find, ever again, what a lost hint left lying.

        That is jobs whose revision no step has seen, room that appeared, and who has moved up in a long line untold.
        """
        while self._behind:
            began_us = self._clock.steady_us()
            for job_id in self._line_up():
                self._wakeups.now(job_id)
            self._reconciler.make_room(self._clock.steady_us())
            await asyncio.sleep(self._taken(began_us))
        while True:
            await asyncio.sleep(self._pace.scan)
            began_us = self._clock.steady_us()
            async for page in self._census():
                for one in page:
                    if self._reconciler.revisions.get(one.id) != one.revision or one.state is not JobState.QUEUED:
                        self._reconciler.read_again(one.id)
                        self._wakeups.now(one.id)
                await asyncio.sleep(self._taken(began_us) / self._pace.most_load)
                began_us = self._clock.steady_us()
            self._reconciler.make_room(self._clock.steady_us())
            for job_id in self._reconciler.near():
                if self._reconciler.is_untold(job_id):
                    self._wakeups.now(job_id)
                await asyncio.sleep(0)

    def _taken(self, began_us: int) -> float:
        """Seconds since work began."""
        return (self._clock.steady_us() - began_us) / MICROSECONDS
