"""One seed is one history of a server in a hostile world: real control and decisions, virtual time, laws checked.

The server crashes between any two awaits, its hints get lost, its executor and store refuse now and then (before or
after the effect), readings lag and miss things, the calendar jumps. From CALM_AT on all is well, and by DEADLINE
every job must be final. `Violation` says which law was broken; the seed repeats it exactly.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.control.loop import Controller
from trainyard.control.pace import Pace
from trainyard.core.ids import TimeOrderedIds
from trainyard.core.jobs import Job
from trainyard.core.names import OperationName
from trainyard.core.runs import Capacity, Cause, Exit
from trainyard.store import StoredOperation
from trainyard.testing.builders import PlainKind, PlainSpec, plain_job
from trainyard.testing.fake_executor import Behaviour, FakeExecutor, Weather, unavailable
from trainyard.testing.laws import Laws, Violation, WatchedStore
from trainyard.testing.searches import PlainSearch, PlainSearchKind, PlainTrialKind, search_job
from trainyard.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually

CALM_AT = 15.0
DEADLINE = 240.0
SETTLE = 3.0
PACE = Pace(scan=8.0, stop_again=3.0, retry_cap=2.0, near=1)

_EXITS = (
    Exit(Cause.EXITED, code=0),
    Exit(Cause.EXITED, code=0),
    Exit(Cause.EXITED, code=0),
    Exit(Cause.EXITED, code=1),
    Exit(Cause.EXITED, code=139),
    Exit(Cause.SIGNALED, code=137, signal=9),
    Exit(Cause.OUT_OF_MEMORY, code=137),
    Exit(Cause.LOST, message="Its agent is gone."),
    Exit(Cause.START_FAILED, message="no such program"),
    Exit(Cause.START_FAILED, message="no space left", internal=True),
    Exit(Cause.STOPPED, code=143),
)


class Storm(Weather):
    """Everything goes wrong now and then, until it is calm."""

    def __init__(self, rng: random.Random, clock: VirtualClock, calm_at: float) -> None:
        self._rng = rng
        self._clock = clock
        self._calm_us = round(calm_at * 1e6)
        self._hidden: dict[str, int] = {}
        self.badness = rng.choice((0.0, 0.05, 0.2))
        self.crash = asyncio.Event()
        self._crashes_left = rng.choice((0, 0, 1, 3))

    def _bad(self, times: float = 1.0) -> bool:
        return self._bad_luck(self.badness * times)

    def _bad_luck(self, chance: float) -> bool:
        return self._clock.steady_us() < self._calm_us and self._rng.random() < chance

    async def before(self, verb: str) -> None:
        """Dies, waits, refuses."""
        if self._crashes_left and self._bad_luck(0.03):
            self._crashes_left -= 1
            self.crash.set()
            await asyncio.sleep(10 * DEADLINE)  # the server does not get beyond this point
        if self._bad(3.0):
            await asyncio.sleep(self._rng.choice((0.0, 0.01, 0.3)))
        if self._bad():
            raise unavailable(verb)

    async def after(self, verb: str) -> None:
        """Dies, waits, refuses, though it was done."""
        await self.before(verb)

    def lag_seconds(self) -> float:
        """Old news, up to a few seconds."""
        return self._rng.choice((0.1, 0.4, 1.0, 4.0)) if self._bad(2.0) else 0.0

    def hides(self, run_id: str) -> bool:
        """A run is missed for less than the settle time, then seen again for at least as long."""
        now_us = self._clock.steady_us()
        since_us = self._hidden.get(run_id)
        if since_us is not None and now_us - since_us < 2 * SETTLE * 1e6:
            return now_us - since_us < SETTLE * 0.5e6
        if self._bad():
            self._hidden[run_id] = now_us
            return True
        return False

    def hints(self) -> int:
        """None, one, or two."""
        return self._rng.choice((0, 0, 2)) if self._bad(4.0) else 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one job from outside; seconds of virtual time."""

    job_id: int
    spec: PlainSpec | PlainSearch
    project: str
    priority: int
    made_at: float
    cancel_at: float | None
    delete: bool


class Simulation:
    """`run` raises Violation, or ends with every job final and every law kept."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._rng = rng = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._loop = VirtualLoop()
        self._clock = VirtualClock(self._loop)
        total = Capacity(replicas=rng.randint(2, 5), gpus=rng.choice((0, 2)))
        self._storm = Storm(random.Random(~seed), self._clock, CALM_AT)  # noqa: S311 - chance, not secrecy
        self.world = FakeExecutor(
            self._clock, behave=self._behave, total=total, settle_seconds=SETTLE, weather=self._storm
        )
        self.laws = Laws(self.world, self._clock)
        self.world.started = self.laws.on_start
        self._store = WatchedStore(None, self.laws, self._storm, self._rng)
        self._server: asyncio.Task[None] | None = None
        self._plans = [self._plan(number + 1) for number in range(rng.randint(1, 5))]

    def run(self) -> None:
        """The whole history, in virtual time."""
        try:
            run_virtually(self._history(), self._loop)
        except Violation as violation:
            raise Violation(f"seed {self.seed}: {violation}") from None

    def _plan(self, job_id: int) -> Plan:
        rng = self._rng
        spec = PlainSpec(
            workers=rng.choice((0, 0, 1, 2, 3)),
            gpus=rng.choice((0, 0, 0, 1)),
            timeout_seconds=rng.choice((3.0, 20.0, 600.0, 600.0)),
            disable_retries=rng.random() < 0.15,
            restart_job_on_worker_restart=rng.random() < 0.2,
            max_wait_seconds=rng.choice((None, None, None, 10.0)),
            grace_seconds=rng.choice((0.5, 2.0)),
        )
        cancel_at = rng.choice((None, None, None, rng.uniform(0, 12)))
        return Plan(
            job_id, spec, rng.choice("pq"), rng.choice((0, 0, 5)), rng.uniform(0, 4), cancel_at, rng.random() < 0.3
        )

    def _behave(self, run_id: str, replica: str, incarnation: int) -> Behaviour:
        """Fixed by the seed and the incarnation's name, whatever happened before."""
        rng = random.Random(f"{self.seed}/{run_id}/{replica}/{incarnation}")  # noqa: S311 - chance, not secrecy
        job_id = int(run_id.partition("-")[0])
        forever = rng.random() < 0.1 and any(
            plan.job_id == job_id and plan.spec.timeout_seconds < 100 for plan in self._plans
        )
        return Behaviour(
            appear=rng.choice((0.0, 0.0, 0.5, SETTLE * 0.7)),
            start=rng.choice((0.0, 0.1, 1.0)),
            run=None if forever else rng.choice((0.0, 0.2, 2.0, 6.0)),
            exit=rng.choice(_EXITS),
            deaf=rng.choice((0.0, 0.0, 0.3, 9.0)),
        )

    async def _history(self) -> None:
        happenings = [
            asyncio.create_task(self._guarded(part))
            for part in (self._crashes(), self._jumps(), *(self._life(plan) for plan in self._plans))
        ]
        self._boot()
        try:
            while not self._all_done():
                if self._loop.time() > DEADLINE:
                    raise Violation(self._stuck())
                await asyncio.sleep(0.5)
                self.laws.check_world(self._held_jobs(), fair=self._fair())
            await asyncio.sleep(SETTLE + 2 * PACE.removals)
            self.laws.check_end(self._store, {plan.job_id for plan in self._plans})
        finally:
            await self._halt()
            for task in happenings:
                task.cancel()
            await asyncio.gather(*happenings, return_exceptions=True)

    async def _guarded(self, part: Coroutine[Any, Any, None]) -> None:
        """A violation inside of a happening is kept for the main line to raise."""
        try:
            await part
        except Violation as violation:
            self.laws.broken.append(str(violation))

    def _boot(self) -> None:
        kinds = {kind.collection: kind for kind in (PlainKind(), PlainSearchKind(), PlainTrialKind())}
        self._booted_at = self._loop.time()
        self._controller = Controller(self._store, kinds, self.world, self._clock, PACE)
        self._controller.share_ids(TimeOrderedIds(self._clock, self._store.largest_id))
        self._server = asyncio.get_running_loop().create_task(self._controller.run())

    async def _halt(self) -> None:
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)

    async def _crashes(self) -> None:
        """The server dies, before or after the effect of a request or just so, and comes back with what was durable."""
        for delay in (0.05, 0.4, 2.0, 6.0):
            if self._rng.random() < 0.2:
                self._loop.call_later(delay * self._rng.random(), self._storm.crash.set)
        while True:
            await self._storm.crash.wait()
            await self._halt()
            self._store = WatchedStore(self._store.snapshot(), self.laws, self._storm, self._rng)
            await asyncio.sleep(self._rng.choice((0.0, 0.2, 5.0)))
            self._storm.crash.clear()
            self._boot()

    async def _jumps(self) -> None:
        """Somebody sets the calendar, an hour either way."""
        for _ in range(self._rng.choice((0, 0, 1, 2))):
            await asyncio.sleep(self._rng.uniform(0.0, 8.0))
            self._clock.jump(self._rng.choice((-3600.0, 3600.0)))

    async def _life(self, plan: Plan) -> None:
        """The API's part in one job: made, perhaps cancelled, perhaps deleted."""
        await asyncio.sleep(plan.made_at)
        job = self._job(plan)
        self.laws.created(job, self._clock.steady_us())
        await self._store.insert(job)
        if plan.cancel_at is not None:
            await asyncio.sleep(max(0.0, plan.cancel_at - plan.made_at))
            await self._store.ask_cancel(job.name, "ann@example.com", self._clock.now_us())
        while plan.delete:
            await asyncio.sleep(1.0)
            if self._store.get(job.name).is_final:
                name = OperationName(job.name.scope, job.name, 10_000 + plan.job_id)
                now_us = self._clock.now_us()
                operation = StoredOperation(name, "v1", "DeleteOperationMetadata", now_us, now_us)
                await self._store.delete(job.name, operation)
                return

    def _job(self, plan: Plan) -> Job:
        made_us = self._clock.now_us()
        if isinstance(plan.spec, PlainSearch):
            return search_job(plan.job_id, plan.spec, plan.project, made_us)
        return plain_job(plan.job_id, plan.spec, plan.project, create_time_us=made_us, priority=plan.priority)

    def _fair(self) -> bool:
        """Whether the weather is, and the server is not just coming up."""
        calm = self._storm.badness == 0.0 or self._loop.time() > CALM_AT + PACE.scan
        up = self._server is not None and not self._server.done()
        return calm and up and self._loop.time() > self._booted_at + 1.0

    def _all_done(self) -> bool:
        self.laws.raise_broken()
        return all(self._done(plan) for plan in self._plans)

    def _done(self, plan: Plan) -> bool:
        if plan.job_id in self.laws.deleted:
            return not self._store.removals()
        job = self._store.find(plan.job_id)
        return job is not None and job.is_final and not plan.delete

    def _held_jobs(self) -> Mapping[int, Job]:
        return {job.id: job for job in self._store.all_jobs()}

    def _stuck(self) -> str:
        jobs = [f"{job.id} {job.status} intent={job.intent}" for job in self._store.live()]
        return (
            f"at {DEADLINE:g} s not everything has ended: {jobs}; removals {self._store.removals()}; "
            f"problems {self._controller.problems()}"
        )
