"""The laws as a watch over a world in virtual time: every commit, every start and every moment is held against them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence

from trainyard.core.clock import Clock
from trainyard.core.errors import Unavailable
from trainyard.core.history import faults
from trainyard.core.jobs import Decision, Intent, Job, Step
from trainyard.core.names import JobName
from trainyard.core.runs import Cause, RunGroup
from trainyard.core.states import FINAL, JobState
from trainyard.core.trials import Ending
from trainyard.kinds.running.memo import incarnations
from trainyard.store import Standing, StoredOperation
from trainyard.stores.memory import MemoryStore, Snapshot
from trainyard.testing.builders import PlainSpec, plain_spec
from trainyard.testing.cancel_laws import CancelLaws
from trainyard.testing.fake_executor import FakeExecutor, Process, Weather
from trainyard.testing.preemption_laws import PreemptionLaws
from trainyard.testing.search_laws import SearchLaws
from trainyard.testing.searches import TRIAL_GRACE_SECONDS, PlainSearchKind


class Violation(Exception):
    """A law was broken; the sentence says which and by whom."""


class Laws:
    """Collects what is broken at once; `raise_broken` lets the main line of a simulation fail with it."""

    def __init__(self, world: FakeExecutor, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._jobs: dict[int, Job] = {}  # as last durable
        self._specs: dict[int, PlainSpec] = {}
        self._made_us: dict[int, int] = {}  # steady
        self._first_start_us: dict[int, int] = {}  # steady
        self._attempts: dict[int, int] = {}
        self._recorded: set[tuple[str, str, int]] = set()
        self.deleted: set[int] = set()
        self.broken: list[str] = []
        self.cut_short: Callable[[int], None] = lambda _: None  # told of a search that lives on though a trial was
        self._searches = SearchLaws(world, self.broken.append)
        self._preemption = PreemptionLaws(world, clock, self._specs, self.broken.append)
        self._cancels = CancelLaws(clock, self._grace_of, self.broken.append)

    def created(self, job: Job, steady_us: int) -> None:
        """The API, or a search, is about to make this job."""
        self._jobs[job.id], self._made_us[job.id] = job, steady_us
        if job.name.collection != PlainSearchKind.collection:
            self._specs[job.id] = plain_spec(job.spec)

    def changed(self, job: Job) -> None:
        """The job is durable like this now."""
        self._jobs[job.id] = job

    def raise_broken(self) -> None:
        """Raises Violation with everything found so far."""
        found = [*self.broken, *self._world.broken]
        if found:
            raise Violation("; ".join(found[:3]))

    def on_start(self, group: RunGroup, process: Process) -> None:
        """Law 5 and "commit, then act": only what is durable may start, and only one attempt at a time."""
        job = self._jobs[group.job_id]
        what = f"{process.run_id} {process.replica}.{process.incarnation}"
        if job.parent is not None:
            self._searches.on_start(group, job)
        if job.status.run_id != process.run_id:
            self.broken.append(f"{what} was started, and the job's run group is {job.status.run_id}")
        if incarnations(job.status.memo).get(process.replica, 0) < process.incarnation:
            self.broken.append(f"{what} was started before its restart was durable")
        for other in self._world.alive():
            if other is process:
                continue
            if other.run_id != process.run_id and other.run_id.partition("-")[0] == str(job.id):
                self.broken.append(f"{what} was started beside {other.run_id} {other.replica}")
            if (other.run_id, other.replica) == (process.run_id, process.replica):
                self.broken.append(f"{what} was started beside its own incarnation {other.incarnation}")
        self._first_start_us.setdefault(job.id, process.started_us)

    def on_commit(self, before: Job, stored: Job, decision: Decision, store: MemoryStore) -> None:
        """A decision is about to be written over `stored`, made from `before`."""
        if before.name.collection == PlainSearchKind.collection:
            self._searches.on_commit(before, decision, store)
            if any(one.ending is Ending.CUT_SHORT for one in decision.trials) and decision.status.state not in FINAL:
                self.cut_short(before.id)
        for birth in decision.births:
            self.created(birth, self._clock.steady_us())
        if (before.status, before.intent) != (stored.status, stored.intent):
            self.broken.append(f"job {before.id}: a decision was written over a row that it was not made from")
        self._check_records(before, decision)
        if before.id in self._specs:
            self._preemption.on_commit(before, decision)
        after = decision.status
        if after.attempt not in (before.status.attempt, before.status.attempt + 1):
            self.broken.append(f"job {before.id}: attempt {before.status.attempt} was followed by {after.attempt}")
        left = before.status.run_id is not None and after.run_id != before.status.run_id
        if after.state in FINAL or left:
            running = [one.replica for one in self._world.alive() if one.run_id.partition("-")[0] == str(before.id)]
            if running:
                self.broken.append(f"job {before.id} went to {after.state.name}/{after.run_id} while {running} ran")
        if after.state in FINAL and before.id in self._specs:
            self._check_final(before, decision)

    def _check_records(self, job: Job, decision: Decision) -> None:
        now_us = self._clock.steady_us()
        for record in decision.records:
            key = (f"{job.id}-{record.attempt}", record.replica, record.incarnation)
            process = self._world.processes.get(key)
            if key in self._recorded:
                self.broken.append(f"job {job.id}: the end of {key} was recorded twice")
            self._recorded.add(key)
            if process is None or process.alive(now_us) or process.exit.cause is not record.exit.cause:
                self.broken.append(f"job {job.id}: the recorded end of {key} did not happen")

    def _check_final(self, job: Job, decision: Decision) -> None:
        """Law 6: every final state has its evidence."""
        after, spec = decision.status, self._specs[job.id]
        said = after.error.message if after.error else ""
        waited_us = self._clock.steady_us() - self._made_us[job.id]
        if after.state is JobState.SUCCEEDED:
            primaries = [one for one in self._world.of(f"{job.id}-{after.attempt}") if one.replica == spec.replicas[0]]
            if not any(one.exit.cause is Cause.EXITED and one.exit.code == 0 for one in primaries):
                self.broken.append(f"job {job.id} succeeded, and its primary did not")
        elif not said:
            self.broken.append(f"job {job.id} ended {after.state.name} without a sentence")
        if after.state is JobState.CANCELLED and "timeout" not in said and job.intent is not Intent.CANCEL:
            self.broken.append(f"job {job.id} was cancelled by nobody")
        if "into its timeout" in said and waited_us < spec.timeout_seconds * 1e6:
            self.broken.append(f"job {job.id} ran into its timeout after {waited_us / 1e6:g} s")
        if "maxWaitDuration" in said and waited_us < (spec.max_wait_seconds or 0) * 0.99e6:
            self.broken.append(f"job {job.id} gave up waiting after {waited_us / 1e6:g} s")

    def check_world(self, jobs: Mapping[int, Job], *, fair: bool) -> None:
        """What must hold at every moment: capacity, and no process of a job that is over.

        `fair`: since the last moment nothing has gone wrong in the world or the server.
        """
        held = [self._world.groups[run_id] for run_id in self._world.unreleased()]
        replicas = sum(len(group.replicas) for group in held)
        gpus = sum(self._specs[group.job_id].gpus * len(group.replicas) for group in held)
        total = self._world.total
        if replicas > total.replicas or (total.gpus is not None and gpus > total.gpus):
            self.broken.append(f"{replicas} replicas and {gpus} GPUs are held, more than {self._world.total}")
        for process in self._world.alive():
            job = jobs.get(int(process.run_id.partition("-")[0]))
            if job is None or job.is_final:
                self.broken.append(f"{process.run_id} {process.replica} outlives its job")
        for watch in (self._preemption, self._cancels):
            if fair:
                watch.check_world(jobs)
            else:
                watch.forgive()
        self.raise_broken()

    def _grace_of(self, job: Job) -> float:
        return self._specs[job.id].grace_seconds if job.id in self._specs else TRIAL_GRACE_SECONDS

    def check_end(self, store: MemoryStore, job_ids: Collection[int]) -> None:
        """What must hold when all is over: histories are paths, files are gone, everything is given back."""
        for job_id in job_ids:
            job = store.find(job_id)
            if job is None:
                if job_id not in self.deleted or job_id not in self._world.forgotten:
                    self.broken.append(f"job {job_id} is not there, or its files are")
                continue
            if job.name.collection == PlainSearchKind.collection:
                self._searches.check_end(store, job)
            self.broken += [f"job {job_id}: {fault}" for fault in faults(store.history(job.name), job.status.state)]
            if (job.status.end_time_us is None) or job.status.run_id is not None:
                self.broken.append(f"job {job_id} is final without an end time, or still names a run group")
        if self._world.unreleased():
            self.broken.append(f"{sorted(self._world.unreleased())} hold room for ever")
        self.raise_broken()


class WatchedStore(MemoryStore):
    """The store in memory with delays and refusals around its commit, lost hints, and the laws looking on."""

    def __init__(self, snapshot: Snapshot | None, laws: Laws, weather: Weather, rng: random.Random) -> None:
        super().__init__(snapshot)
        self._laws = laws
        self._weather = weather
        self._rng = rng

    async def commit(self, job: Job, decision: Decision, along: Sequence[Step] = ()) -> Job | None:
        """See Ledger; may refuse before it wrote, or after."""
        await self._weather.before("commit")
        await asyncio.sleep(self._rng.choice((0.0, 0.0, 0.002, 0.05)))
        written = await super().commit(job, decision, along)
        await asyncio.sleep(self._rng.choice((0.0, 0.0, 0.002, 0.05)))
        await self._weather.after("commit")
        return written

    def _write(self, job: Job, decision: Decision) -> None:
        self._laws.on_commit(job, self._files[job.id].job, decision, self)
        super()._write(job, decision)
        self._laws.changed(self._files[job.id].job)

    async def ask_cancel(self, name: JobName, by: str, now_us: int) -> Job:
        """See Desk."""
        job = await super().ask_cancel(name, by, now_us)
        self._laws.changed(job)
        return job

    async def delete(self, name: JobName, operation: StoredOperation) -> None:
        """See Desk."""
        await super().delete(name, operation)
        self._laws.deleted.add(name.id)

    def all_jobs(self) -> list[Job]:
        """Every job, whatever the weather."""
        return [file.job for file in self._files.values()]

    def live(self) -> tuple[Job, ...]:
        """See Ledger; may refuse."""
        self._read()
        return super().live()

    def runs(self) -> tuple[Job, ...]:
        """See Ledger; may refuse."""
        self._read()
        return super().runs()

    def census(self, after: int, most: int) -> list[Standing]:
        """See Ledger; may refuse."""
        self._read()
        return super().census(after, most)

    def _read(self) -> None:
        if self._weather.hints() == 0:
            raise Unavailable("The fake store cannot be read just now.")

    def _hint(self, job_id: int, fresh: Job | None = None) -> None:
        for _ in range(self._weather.hints()):
            super()._hint(job_id, fresh)
