"""One step of one job: look, decide, commit under guard, and only then act; safe to repeat, safe to lose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Protocol

from trainyard.control.acts import Acts
from trainyard.control.admission import Admission
from trainyard.control.kin import Kin
from trainyard.control.last_lines import LastLines, with_last_lines
from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.ids import Ids
from trainyard.core.jobs import Decision, Job, Release, Step, Stop
from trainyard.core.runs import Reading
from trainyard.core.states import JobState
from trainyard.kind import Kind, Moment, Room
from trainyard.store import Ledger


class Wakes(Protocol):
    """Who sees to it that a job gets its step."""

    def now(self, job_id: int) -> None:
        """As soon as there is a turn."""

    def later(self, job_id: int, delay_seconds: float | None) -> None:
        """After a while; None: only when something happens."""


class Reconciler:
    """The shell around every kind's `decide`. `wakes` hears of others that got room."""

    def __init__(
        self,
        store: Ledger,
        kinds: Mapping[str, Kind],
        acts: Acts,
        admission: Admission,
        clock: Clock,
        wakes: Wakes,
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._acts = acts
        self._watcher = acts.watcher
        self._admission = admission
        self._clock = clock
        self._wakes = wakes
        self._kin = Kin(store, kinds, self._room)
        self._busy: dict[int, bool] = {}  # jobs whose step is under way, and whether somebody wants another
        self._alone: set[int] = set()  # whose last commit failed: the next one carries nothing along
        self._runs: dict[int, str] = {}  # job id -> the run group that it may hold
        self._releases: dict[str, int] = {}  # run id -> job id: over, and the executor does not know yet
        self._kept: dict[int, Job | None] = {}  # to be looked at soon, as last written; None: read it again
        self.on_deleted: Callable[[], None] = lambda: None
        self.last_lines: LastLines = lambda *_: ""
        self.revisions: dict[int, int] = {}  # job id -> the revision that the last step ended at
        store.on_write(self.read_again)

    def share_ids(self, ids: Ids) -> None:
        """Name the jobs of trials from this source."""
        self._kin.ids = ids

    def adopt(self, job: Job) -> bool:
        """Take up a live job, after a start before anybody else may ask: what it holds is held again.

        Says whether a step is due. Who waits for nothing but room, and need not be told so, needs none until there is.
        """
        if self._kin.searches(job):
            return True
        demand = self._kinds[job.name.collection].demand(job)
        status, steady_us = job.status, self._clock.steady_us()
        if status.state is JobState.QUEUED:
            self._admission.wait(job, demand, steady_us)
            room = self._admission.room(job.id, steady_us)
            decision = self._kinds[job.name.collection].decide(job, None, room, self._clock.now_us())
            due = _says_something(job, decision) or decision.look_again_us is not None
            if not due:
                self.revisions[job.id] = job.revision
                self._kept.pop(job.id, None)
            return due
        self._admission.hold(job, demand)
        if status.run_id is not None:
            self._runs[job.id] = status.run_id
            self._watcher.watch(status.run_id, job.id)
        return True

    def read_again(self, job_id: int, fresh: Job | None = None) -> None:
        """Somebody else has written the job, or may have: its next step trusts nothing that was kept of it.

        `fresh`: a new job as it was made, which saves its first step the reading. A hint may come late; where the job
        is known already, more may have happened since.
        """
        is_known = fresh is None or job_id in self.revisions or self._admission.knows(job_id)
        self._kept[job_id] = None if is_known else fresh

    def newcomer(self, job_id: int) -> Job | None:
        """The job as it was handed over with its hint, where it is new and many wait already; else None."""
        return self._kept.get(job_id) if self._admission.is_long else None

    def near(self) -> list[int]:
        """Those near to their turn, the next one first."""
        return list(islice(self._admission.order(), self._admission.near))

    def is_untold(self, job_id: int) -> bool:
        """Whether it does not stand yet in the job's row what it waits for."""
        job = self._store.find(job_id)
        return job is None or not job.status.waits_for

    async def step(self, job_id: int) -> float | None:
        """Bring one job a step nearer to what was asked; seconds until it wants to be looked at again."""
        if job_id in self._busy:  # somebody else's step carries one of this job along
            self._busy[job_id] = True
            return None
        with self._stepping([job_id]):
            return await self._step(job_id)

    @contextmanager
    def _stepping(self, job_ids: Iterable[int]) -> Iterator[None]:
        """Nobody else takes a step of these jobs meanwhile; whoever was to have one is woken afterwards."""
        mine = dict.fromkeys(job_ids, False)
        self._busy |= mine
        try:
            yield
        finally:
            for job_id in mine:
                if self._busy.pop(job_id):
                    self._wakes.now(job_id)

    async def _step(self, job_id: int) -> float | None:
        if self._releases:
            await self.release_leftovers(job_id)
        job = self._kept.pop(job_id, None) or self._store.find(job_id)
        if job is not None and self._has_left(job):
            await self._let_go(job_id)
        if job is None:
            self.on_deleted()
        if job is None or job.is_final:
            await self._let_go(job_id)
            return None
        now_us = self._clock.now_us()
        decision = self._decide(job, now_us)
        if decision.actions and job.status.run_id is not None:
            self._watcher.asking(job.status.run_id)  # before the commit: it may land and still be reported as failed
        step = Step(job, decision)
        if _says_something(job, decision):
            along = self._along(step, now_us)
            if not await self._commit(step, along):
                return 0.0  # somebody moved first: look again
            await self._tell_kin(step, along, now_us)
            job = step.after
        return await self._follow(job, decision, now_us)

    async def _follow(self, job: Job, decision: Decision, now_us: int) -> float | None:
        """Act on what is durable; seconds until the job wants to be looked at again."""
        self.revisions[job.id] = job.revision
        await self._act(job, decision)
        if job.status.run_id is not None or (decision.look_again_us is not None and not job.is_final):
            self._kept.setdefault(job.id, job)  # unless somebody wrote meanwhile
        if decision.look_again_us is None:
            return None
        return max(0, decision.look_again_us - now_us) / MICROSECONDS

    def _along(self, step: Step, now_us: int) -> list[Step]:
        """What its kin decide because of this step."""
        if step.job.id in self._alone:
            return []
        moment, parent, found = Moment(now_us, self._clock.steady_us()), step.job.parent, []
        if parent is not None and step.after.is_final and parent.job_id not in self._busy:
            search = self._kept.pop(parent.job_id, None) or self._store.find(parent.job_id)
            taken = self._kin.search_after(step, search, moment) if search is not None else None
            found += [taken] if taken is not None else []
        return [*found, *self._kin.admitted(_births(step, *found), moment)]

    async def _commit(self, step: Step, along: Sequence[Step]) -> bool:
        """Make all of it durable; False where somebody moved first."""
        births, done = _births(step, *along), False
        others = {each.job.id for each in along} | {birth.id for birth in births}
        self._alone.add(step.job.id)  # unless it gets through
        try:
            with self._stepping(others):
                done = await self._store.commit(step.job, step.decision, along) is not None
            self._alone.discard(step.job.id)
        finally:
            for birth in () if done else births:
                self._give_back(birth)
        return done

    def _give_back(self, birth: Job) -> None:
        """Nothing came of the commit, as far as it says: who was not born leaves the room that it was to have."""
        try:
            is_there = self._store.find(birth.id) is not None
        except Exception:  # its step meets it again, and reports it
            is_there = True
        if is_there:
            self._wakes.now(birth.id)
        elif self._admission.drop(birth.id):
            self.make_room(self._clock.steady_us())

    async def _tell_kin(self, step: Step, along: Sequence[Step], now_us: int) -> None:
        """Trials hear what their search has decided, and a search when one of its trials is up or has ended."""
        steps = (step, *along)
        births = _births(*steps)
        self._kept |= {birth.id: birth for birth in births}
        for each in along:
            if self._kin.searches(each.job):
                self._wakes.later(each.job.id, await self._follow(each.after, each.decision, now_us))
            else:
                self._kin.owes(each)
                self._kept[each.job.id] = each.after
        for run in (run for each in steps for run in each.decision.ends):
            self.read_again(run)
            self._wakes.now(run)
        for birth in births:
            self._wakes.now(birth.id)
        parent, after = step.job.parent, step.after
        if parent is None or any(each.job.id == parent.job_id for each in along):
            return
        is_up = after.status.start_time_us is not None and step.job.status.start_time_us is None
        search = self._kept.get(parent.job_id)
        if after.is_final or (is_up and not (search and search.status.start_time_us)):  # only the first one matters
            self._wakes.now(parent.job_id)

    def _decide(self, job: Job, now_us: int) -> Decision:
        steady_us = self._clock.steady_us()
        if self._kin.searches(job):
            return self._kin.conduct(job, Moment(now_us, steady_us))
        kind = self._kinds[job.name.collection]
        owed, reading = self._kin.owed(job), self._reading(job.status.run_id)
        if job.seal is not None and reading is not None:
            reading = with_last_lines(reading, job, self.last_lines)
        return owed or kind.decide(job, reading, self._room(job, kind, steady_us), now_us)

    async def release_leftovers(self, job_id: int) -> None:
        """Release the job's groups that are over and that the executor could not be told about before."""
        for run_id in [run_id for run_id, owner in self._releases.items() if owner == job_id]:
            await self._acts.release(run_id)
            del self._releases[run_id]

    def make_room(self, steady_us: int, asker: int | None = None) -> None:
        """Grant what can be granted, and let those know who got it, and those who are to go; the asker looks itself."""
        for job_id in (*self._admission.admit(steady_us), *self._admission.displaced()):
            if job_id != asker:
                self._wakes.now(job_id)

    def _reading(self, run_id: str | None) -> Reading | None:
        """What is known of a run group. Where that is nothing yet, the first look is asked for."""
        reading = self._watcher.reading(run_id) if run_id is not None else None
        if run_id is not None and reading is None:
            self._watcher.hint(run_id)
        return reading

    def _room(self, job: Job, kind: Kind, steady_us: int) -> Room | None:
        if job.status.state is not JobState.QUEUED:
            taker = self._admission.taker(job.id)
            return Room(granted=True, steady_us=steady_us, taker=taker) if taker else None
        if not self._admission.knows(job.id):
            self._admission.wait(job, kind.demand(job), steady_us)
        self.make_room(steady_us, job.id)
        return self._admission.room(job.id, steady_us)

    async def _act(self, job: Job, decision: Decision) -> None:
        """Follow the commit: watch the run group that it names, then do what it calls for."""
        if self._has_left(job):
            await self._let_go(job.id)
            return
        run_id = job.status.run_id
        before = self._runs.get(job.id)
        if before is not None and before != run_id:
            self._releases[before] = job.id
            del self._runs[job.id]
        if run_id is not None and run_id != before:
            self._runs[job.id] = run_id
            self._watcher.watch(run_id, job.id)
            if decision.actions:
                self._watcher.asking(run_id)
        if self._releases:
            await self.release_leftovers(job.id)
        stops = any(isinstance(action, Stop) for action in decision.actions)
        if stops and self._kinds[job.name.collection].demand(job).is_leaving:
            self._admission.leave(job.id)
        for action in decision.actions:
            if not isinstance(action, Release):  # already done, by the run group that the job has left
                await self._acts.perform(job, action)
        if job.is_final:
            await self._let_go(job.id)

    def _has_left(self, job: Job) -> bool:
        """Whether the job is in the queue, and holds what its last attempt had, or what another is to have."""
        if job.status.state is not JobState.QUEUED:
            return False
        return job.id in self._runs or self._admission.is_leaving(job.id) or bool(self._admission.taker(job.id))

    async def _let_go(self, job_id: int) -> None:
        """The job is over, deleted or in the queue again: once its run group is released, its room is for others."""
        self._admission.leave(job_id)
        run_id = self._runs.pop(job_id, None)
        if run_id is not None:
            self._releases[run_id] = job_id
        await self.release_leftovers(job_id)
        self.revisions.pop(job_id, None)
        self._alone.discard(job_id)
        if self._admission.drop(job_id):
            self.make_room(self._clock.steady_us())


def _births(*steps: Step) -> list[Job]:
    return [birth for step in steps for birth in step.decision.births]


def _says_something(job: Job, decision: Decision) -> bool:
    """Whether there is anything to write: a look that finds nothing new costs no commit."""
    return bool(
        decision.status != job.status or decision.changes or decision.notes or decision.records or decision.trials
    )
