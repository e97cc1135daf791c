"""An executor of the mind: it keeps the whole promise in virtual time, and can be told how everything goes wrong.

It is the world of a simulation and outlives the server's crashes. What it sees that must never happen (a replica
started twice, a group released while it runs) it writes into `broken`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import Unavailable
from trainyard.core.runs import Capacity, Cause, Exit, Phase, Reading, ReplicaReading, RunGroup

WELL = Exit(Cause.EXITED, code=0)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one incarnation of a replica does; durations in seconds. `run` None: until it is stopped.

    `appear`: how long no reading shows it. `start`: how long it prepares. `deaf`: how long it goes on after SIGTERM.
    """

    appear: float = 0.0
    start: float = 0.1
    run: float | None = 1.0
    exit: Exit = WELL
    deaf: float = 0.0


@dataclass(slots=True)
class Process:
    """One incarnation, as it really is. Times are microseconds of the steady clock."""

    run_id: str
    replica: str
    incarnation: int
    born_us: int
    seen_us: int
    started_us: int
    ends_us: int | None
    exit: Exit

    def alive(self, at_us: int) -> bool:
        """Whether any process of it is there."""
        return self.born_us <= at_us and (self.ends_us is None or at_us < self.ends_us)

    def reading(self, at_us: int, calendar_us: int) -> ReplicaReading | None:
        """What can be seen of it; `calendar_us` is what the steady zero is on the calendar."""
        if at_us < self.seen_us:
            return None
        if self.ends_us is not None and at_us >= self.ends_us:
            started = self.started_us + calendar_us if self.started_us < self.ends_us else None
            ended = replace(self.exit, started_us=started, ended_us=self.ends_us + calendar_us)
            return ReplicaReading(Phase.ENDED, self.incarnation, ended)
        phase = Phase.RUNNING if at_us >= self.started_us else Phase.STARTING
        return ReplicaReading(phase, self.incarnation)


class Weather:
    """What may go wrong in asking; this one is fair. Subclass it for worse."""

    async def before(self, verb: str) -> None:
        """Called before a request takes effect; may wait, and may raise Unavailable."""

    async def after(self, verb: str) -> None:
        """Called after it took effect; may wait, and may raise Unavailable all the same."""

    def lag_seconds(self) -> float:
        """How old what the next look shows is."""
        return 0.0

    def hides(self, run_id: str) -> bool:  # noqa: ARG002 - for those who make it worse
        """Whether the next look misses this run."""
        return False

    def hints(self) -> int:
        """How often the next announcement arrives."""
        return 1


@dataclass(slots=True)
class FakeExecutor:
    """See Executor, Announces and Sweeps. `behave(run id, replica, incarnation)` says what each one does."""

    clock: Clock
    behave: Callable[[str, str, int], Behaviour] = lambda *_: Behaviour()
    total: Capacity = field(default_factory=lambda: Capacity(replicas=4))
    settle_seconds: float = 3.0
    weather: Weather = field(default_factory=Weather)
    started: Callable[[RunGroup, Process], None] = lambda *_: None
    processes: dict[tuple[str, str, int], Process] = field(default_factory=dict)
    groups: dict[str, RunGroup] = field(default_factory=dict)
    fenced: set[str] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    _released: set[str] = field(default_factory=set)
    _shown: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    _listeners: list[asyncio.Queue[str]] = field(default_factory=list)

    async def start(self) -> None:
        """Nothing to adopt: the world is here."""

    async def close(self) -> None:
        """What runs goes on."""

    def capacity(self) -> Capacity:
        """See Executor."""
        return self.total

    async def launch(self, group: RunGroup) -> None:
        """See Executor."""
        await self.weather.before("launch")
        if group.run_id not in self.fenced:
            self.groups[group.run_id] = group
            for spec in group.replicas:
                key = (group.run_id, spec.name, spec.incarnation)
                if key not in self.processes:
                    self.processes[key] = process = self._born(*key)
                    self.started(group, process)
        await self.weather.after("launch")

    async def observe(self, run_ids: Collection[str]) -> Mapping[str, Reading]:
        """See Executor."""
        await self.weather.before("observe")
        lag_us = round(self.weather.lag_seconds() * MICROSECONDS)
        at_us = max(0, self.clock.steady_us() - lag_us)
        as_of_us = self.clock.now_us() - lag_us
        readings = {run_id: self._reading(run_id, at_us, as_of_us) for run_id in sorted(run_ids)}
        await self.weather.after("observe")
        for run_id, reading in readings.items():
            self._shown[run_id] = {(name, seen.incarnation) for name, seen in reading.replicas.items()}
        return readings

    async def stop(self, run_id: str, grace_seconds: float) -> None:
        """See Executor."""
        await self.weather.before("stop")
        self.fenced.add(run_id)
        now_us = self.clock.steady_us()
        for process in self.of(run_id):
            if process.alive(now_us):
                deaf = self.behave(run_id, process.replica, process.incarnation).deaf
                gone_us = now_us + round(min(deaf, grace_seconds) * MICROSECONDS)
                if process.ends_us is None or gone_us < process.ends_us:
                    signal = 15 if deaf <= grace_seconds else 9
                    process.ends_us = gone_us
                    process.exit = Exit(Cause.STOPPED, code=128 + signal, signal=signal)
                    self._announce(run_id, gone_us)
        await self.weather.after("stop")

    async def release(self, run_id: str) -> None:
        """See Executor."""
        await self.weather.before("release")
        self._release(run_id)
        await self.weather.after("release")

    async def sweep(self, live: Collection[str]) -> None:
        """See Sweeps."""
        await self.weather.before("sweep")
        for run_id in sorted(set(self.groups) - self._released - set(live)):
            self._release(run_id)
        await self.weather.after("sweep")

    async def forget(self, job_id: int, *, output: bool = True) -> None:
        """See Executor."""
        await self.weather.before("forget")
        if output:
            self.forgotten.add(job_id)

    async def changes(self) -> AsyncIterator[str]:
        """See Announces."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    def of(self, run_id: str) -> Iterator[Process]:
        """Every incarnation of the group that was ever started."""
        return (process for key, process in self.processes.items() if key[0] == run_id)

    def alive(self) -> Iterator[Process]:
        """What runs just now."""
        now_us = self.clock.steady_us()
        return (process for process in self.processes.values() if process.alive(now_us))

    def unreleased(self) -> Collection[str]:
        """Groups that still hold what they were given."""
        return set(self.groups) - self._released

    def end(self, run_id: str, replica: str, exit: Exit) -> None:  # noqa: A002 - the domain's word
        """End the replica's newest incarnation right now, as something outside of the service might."""
        process = max((one for one in self.of(run_id) if one.replica == replica), key=lambda one: one.incarnation)
        process.ends_us = self.clock.steady_us()
        process.exit = exit
        self._announce(run_id, process.ends_us)

    def vanish(self, run_id: str, replica: str) -> None:
        """The replica is gone and leaves no trace at all."""
        for key in [key for key in self.processes if key[:2] == (run_id, replica)]:
            self.processes[key].ends_us = self.clock.steady_us()
            self.processes[key].seen_us = 2**62

    def _born(self, run_id: str, replica: str, incarnation: int) -> Process:
        does = self.behave(run_id, replica, incarnation)
        now_us = self.clock.steady_us()
        started_us = now_us + round(does.start * MICROSECONDS)
        ends_us = None if does.run is None else started_us + round(does.run * MICROSECONDS)
        if does.exit.cause is Cause.START_FAILED:
            ends_us = started_us
        seen_us = now_us + round(does.appear * MICROSECONDS)
        for at_us in sorted({seen_us, started_us, ends_us or started_us}):
            self._announce(run_id, at_us)
        return Process(run_id, replica, incarnation, now_us, seen_us, started_us, ends_us, does.exit)

    def _reading(self, run_id: str, at_us: int, as_of_us: int) -> Reading:
        newest: dict[str, ReplicaReading] = {}
        zero_us = self.clock.now_us() - self.clock.steady_us()
        if not (self._was_seen(run_id) and self.weather.hides(run_id)):
            for process in sorted(self.of(run_id), key=lambda one: one.incarnation):
                seen = process.reading(at_us, zero_us)
                if seen is not None:
                    newest[process.replica] = seen
        return Reading(run_id, as_of_us, newest)

    def _was_seen(self, run_id: str) -> bool:
        """Whether the look before showed all of it: only what was seen may be missed for a while."""
        newest = {process.replica: process.incarnation for process in self.of(run_id)}
        return bool(newest) and self._shown.get(run_id, set()) >= set(newest.items())

    def _release(self, run_id: str) -> None:
        now_us = self.clock.steady_us()
        running = [process.replica for process in self.of(run_id) if process.alive(now_us)]
        if running:
            self.broken.append(f"{run_id} was released while {running} ran")
        self._released.add(run_id)
        self.fenced.add(run_id)

    def _announce(self, run_id: str, at_us: int) -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(at_us / MICROSECONDS, self._tell, run_id)

    def _tell(self, run_id: str) -> None:
        for _ in range(self.weather.hints()):
            for queue in self._listeners:
                queue.put_nowait(run_id)


def unavailable(verb: str) -> Unavailable:
    """What a weather raises."""
    return Unavailable(f"The fake executor does not take a {verb} just now.")
