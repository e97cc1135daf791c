"""Who may start: all replicas of a job or none, by priority, then fair between projects, then first come first served.

Room is held from the grant until the run group is released. Kept in memory only: made anew from the live jobs.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

from trainyard.core.jobs import Job, QueuePlace
from trainyard.core.outcomes import Wait
from trainyard.core.runs import Capacity
from trainyard.kind import Demand, Room

_MOST_OVERTAKERS_TRIED = 100  # how far behind a job without room is searched for one that fits
_GIB = 2**30
_MEMORY = "GiB of memory"


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity of everything that is handed out."""

    replicas: int = 0
    gpus: int = 0
    cpus: float = 0.0
    memory_bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.replicas + other.replicas,
            self.gpus + other.gpus,
            self.cpus + other.cpus,
            self.memory_bytes + other.memory_bytes,
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.replicas - other.replicas,
            self.gpus - other.gpus,
            self.cpus - other.cpus,
            self.memory_bytes - other.memory_bytes,
        )

    def fits(self, total: Capacity, used: Amount) -> bool:
        """Whether there is room for this beside what is used."""
        return (
            self.replicas + used.replicas <= total.replicas
            and (total.gpus is None or self.gpus + used.gpus <= total.gpus)
            and (total.cpus is None or self.cpus + used.cpus <= total.cpus + 1e-9)
            and (total.memory_bytes is None or self.memory_bytes + used.memory_bytes <= total.memory_bytes)
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """One job's wish for room. `since_steady_us`: since when this controller knows that it waits."""

    job_id: int
    project: str
    priority: int
    amount: Amount
    since_steady_us: int
    since_us: int

    @property
    def lane(self) -> tuple[int, str]:
        """Jobs of one priority and project stand in one line."""
        return (-self.priority, self.project)


class Admission:
    """Grants are idempotent; whoever was granted keeps the room until `drop`.

    A queue may be long: whatever is asked here often costs no more than the number of priorities and projects, never
    the number of jobs that wait.
    """

    def __init__(self, capacity: Callable[[], Capacity], backfill_seconds: float) -> None:
        self._capacity = capacity
        self._backfill_us = round(backfill_seconds * 1_000_000)
        self._held: dict[int, Ask] = {}
        self._waiting: dict[int, Ask] = {}
        self._lanes: dict[tuple[int, str], list[int]] = {}  # sorted ids
        self._used = Amount()
        self._used_by: dict[str, int] = {}  # replicas by project
        self._settled: Capacity | None = None  # of so much nobody who waits could be given room; None: not known

    def knows(self, job_id: int) -> bool:
        """Whether the job waits or holds room already."""
        return job_id in self._waiting or job_id in self._held

    def hold(self, job: Job, demand: Demand) -> None:
        """The job has room (it was admitted, now or before a restart)."""
        if job.id not in self._held:
            self._stop_waiting(job.id)
            self._take(_ask(job, demand, 0))

    def wait(self, job: Job, demand: Demand, steady_us: int) -> None:
        """The job asks for room; asking again changes nothing."""
        if self.knows(job.id):
            return
        ask = _ask(job, demand, steady_us)
        self._waiting[job.id] = ask
        bisect.insort(self._lanes.setdefault(ask.lane, []), job.id)
        if self._settled is not None and ask.amount.fits(self._settled, self._used):
            self._settled = None  # it may be the one that fits; one that does not changes nothing for the others

    def drop(self, job_id: int) -> bool:
        """The job is over, or gone: it neither waits nor holds anything. Says whether that made room for others."""
        self._stop_waiting(job_id)
        ask = self._held.pop(job_id, None)
        if ask is None:
            return False
        self._used = self._used - ask.amount
        left = self._used_by[ask.project] - ask.amount.replicas
        if left:
            self._used_by[ask.project] = left
        else:
            del self._used_by[ask.project]
        self._settled = None
        return True

    def admit(self, steady_us: int) -> list[int]:
        """Grant room to as many as the rules allow; the ids of those who got it just now."""
        total = self._capacity()
        granted: list[int] = []
        if self._settled == total:
            return granted
        refused = 0
        for ask in self._line(self._used_by):
            if self._used.replicas >= total.replicas or refused == _MOST_OVERTAKERS_TRIED:
                break
            if ask.amount.fits(total, self._used):
                self._stop_waiting(ask.job_id)
                self._take(ask)
                granted.append(ask.job_id)
                continue
            can_ever = ask.amount.fits(total, Amount())
            if can_ever and steady_us - ask.since_steady_us >= self._backfill_us:
                break  # nobody overtakes it any longer, so that it cannot starve
            refused += 1
        if refused < _MOST_OVERTAKERS_TRIED or not granted:
            self._settled = total  # else: those further behind have moved up
        return granted

    def room(self, job_id: int, steady_us: int) -> Room:
        """The answer for one job that has asked. Its sentence changes only when the reason does."""
        if job_id in self._held:
            return Room(granted=True, steady_us=steady_us)
        ask = self._waiting[job_id]
        total = self._capacity()
        never = not ask.amount.fits(total, Amount())
        return Room(False, _why_not(ask.amount, total, never), never, steady_us)

    def places(self) -> Mapping[int, QueuePlace]:
        """Where everyone stands, in the order in which they would be served if nothing else changed.

        It is a window, not a picture: always as of now, and a place is worked out only when somebody asks for it.
        """
        return _Places(self)

    def order(self) -> Iterator[int]:
        """The ids of all who wait, the next one first."""
        used_by = dict(self._used_by)
        for ask in self._line(used_by):
            used_by[ask.project] = used_by.get(ask.project, 0) + ask.amount.replicas
            yield ask.job_id

    def place(self, job_id: int) -> QueuePlace:
        """Where one job stands; raises KeyError where it does not wait."""
        ask = self._waiting[job_id]
        why = _why_here(ask.amount, self._capacity(), self._used)
        return QueuePlace(self._ahead(ask) + 1, len(self._waiting), why, ask.since_us)

    def waiting(self) -> Collection[int]:
        """The ids of all who wait, in no order."""
        return self._waiting.keys()

    def _ahead(self, ask: Ask) -> int:
        """How many are served before: all of higher priority, and of each equal lane those with a smaller turn.

        A lane's turns grow (each of its jobs adds to what its project has), so serving the smallest turn of all lanes
        first is the same as sorting all turns.
        """
        above: dict[str, int] = {}  # replicas that higher priorities give to each project first
        ahead = 0
        for (priority, project), ids in self._lanes.items():
            if priority < ask.lane[0]:
                ahead += len(ids)
                above[project] = above.get(project, 0) + sum(self._waiting[each].amount.replicas for each in ids)
        before = self._lanes[ask.lane][: bisect.bisect_left(self._lanes[ask.lane], ask.job_id)]
        rivals = [lane for lane in self._lanes if lane[0] == ask.lane[0] and lane != ask.lane]
        if rivals:
            base = self._used_by.get(ask.project, 0) + above.get(ask.project, 0)
            turn = base + sum(self._waiting[each].amount.replicas for each in before), ask.job_id
            for lane in rivals:
                turns = self._turns(lane, self._used_by.get(lane[1], 0) + above.get(lane[1], 0))
                ahead += sum(1 for _ in takewhile(turn.__gt__, turns))
        return ahead + len(before)

    def _turns(self, lane: tuple[int, str], used: int) -> Iterator[tuple[int, int]]:
        """Each job of a lane as (what its project will have by then, its id), in order."""
        for job_id in self._lanes[lane]:
            yield used, job_id
            used += self._waiting[job_id].amount.replicas

    def _line(self, used_by: Mapping[str, int]) -> Iterator[Ask]:
        """All who wait, in order, where `used_by` may grow meanwhile, and the one just given may stop waiting."""
        lanes = [(lane[0], used_by.get(lane[1], 0), ids[0], lane) for lane, ids in self._lanes.items()]
        heapq.heapify(lanes)
        while lanes:
            priority, used, job_id, lane = heapq.heappop(lanes)
            now_used = used_by.get(lane[1], 0)
            if used != now_used:  # another job of this project came in between
                heapq.heappush(lanes, (priority, now_used, job_id, lane))
                continue
            ids = self._lanes[lane]
            yield self._waiting[job_id]
            behind = bisect.bisect_right(ids, job_id)
            if behind < len(ids):
                heapq.heappush(lanes, (priority, used_by.get(lane[1], 0), ids[behind], lane))

    def _take(self, ask: Ask) -> None:
        self._held[ask.job_id] = ask
        self._used = self._used + ask.amount
        self._used_by[ask.project] = self._used_by.get(ask.project, 0) + ask.amount.replicas

    def _stop_waiting(self, job_id: int) -> None:
        ask = self._waiting.pop(job_id, None)
        if ask is None:
            return
        ids = self._lanes[ask.lane]
        del ids[bisect.bisect_left(ids, job_id)]
        if not ids:
            del self._lanes[ask.lane]
        self._settled = None


class _Places(Mapping[int, QueuePlace]):
    """The queue as it is whenever it is looked at."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def __getitem__(self, job_id: int) -> QueuePlace:
        return self._admission.place(job_id)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._admission.waiting()

    def __iter__(self) -> Iterator[int]:
        return self._admission.order()

    def __len__(self) -> int:
        return len(self._admission.waiting())


def _ask(job: Job, demand: Demand, steady_us: int) -> Ask:
    amount = Amount(
        len(demand.replicas),
        sum(one.gpus for one in demand.replicas),
        sum(one.cpus for one in demand.replicas),
        sum(one.memory_bytes for one in demand.replicas),
    )
    return Ask(job.id, job.name.scope.project, job.priority, amount, steady_us, job.create_time_us)


@lru_cache(maxsize=64)
def _why_not(asked: Amount, total: Capacity, never: bool) -> str:
    """Why there is no room; most who wait ask for the same."""
    limits = _limits(asked, total, Amount())
    asks = _listed([_count(limit.asked, limit.unit) for limit in limits])
    if not never:
        return Wait.NO_ROOM.format(asks=asks)
    return Wait.NEVER.format(asks=asks, total=_listed([_count(limit.total, limit.unit) for limit in limits]))


def _why_here(asked: Amount, total: Capacity, used: Amount) -> str:
    """The same with the numbers of the moment."""
    limits = _limits(asked, total, used)
    asks = _listed([_count(limit.asked, limit.unit) for limit in limits])
    free = _listed([f"{_number(limit.free, limit.unit)} of {_count(limit.total, limit.unit)}" for limit in limits])
    return Wait.PLACE.format(asks=asks, free=free)


class _Limit(NamedTuple):
    """How much of one thing is asked for, how much there is, and how much of that is free."""

    unit: str
    asked: float
    total: float
    free: float


def _limits(asked: Amount, total: Capacity, used: Amount) -> list[_Limit]:
    """Everything that is asked for and is limited here: nobody waits for anything else."""
    memory = None if total.memory_bytes is None else total.memory_bytes / _GIB
    rows = (
        ("replica", asked.replicas, total.replicas, used.replicas),
        ("GPU", asked.gpus, total.gpus, used.gpus),
        ("CPU", asked.cpus, total.cpus, used.cpus),
        (_MEMORY, asked.memory_bytes / _GIB, memory, used.memory_bytes / _GIB),
    )
    return [
        _Limit(unit, wanted, there, max(0, there - taken))
        for unit, wanted, there, taken in rows
        if wanted and there is not None
    ]


def _listed(parts: list[str]) -> str:
    """`2 replicas, 1 GPU and 8 CPUs`."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if parts[1:] else parts[0]


def _count(number: float, unit: str) -> str:
    return f"{_number(number, unit)} {unit}" + ("" if number == 1 or unit == _MEMORY else "s")


def _number(number: float, unit: str) -> str:
    return f"{number:.1f}" if unit == _MEMORY else f"{number:g}" if isinstance(number, float) else str(number)
