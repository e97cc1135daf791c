"""Who may start: all replicas of a job or none, by priority, then fair between projects, then first come first served.

Room is held from the grant until the run group is released. Kept in memory only: made anew from the live jobs.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainyard.core.jobs import Job, QueuePlace
from trainyard.core.outcomes import Wait
from trainyard.core.runs import Capacity
from trainyard.kind import Demand, Room

_MOST_OVERTAKERS_TRIED = 100  # how far behind a job without room is searched for one that fits
_GIB = 2**30


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
            and self.gpus + used.gpus <= total.gpus
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
    """Grants are idempotent; whoever was granted keeps the room until `drop`."""

    def __init__(self, capacity: Callable[[], Capacity], backfill_seconds: float) -> None:
        self._capacity = capacity
        self._backfill_us = round(backfill_seconds * 1_000_000)
        self._held: dict[int, Ask] = {}
        self._waiting: dict[int, Ask] = {}
        self._lanes: dict[tuple[int, str], list[int]] = {}  # sorted ids
        self._used = Amount()
        self._used_by: dict[str, int] = {}  # replicas by project
        self.changed = True  # since the places were last told

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
        self.changed = True

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
        self.changed = True
        return True

    def admit(self, steady_us: int) -> list[int]:
        """Grant room to as many as the rules allow; the ids of those who got it just now."""
        total = self._capacity()
        granted: list[int] = []
        cursors: dict[tuple[int, str], int] = {}
        tried = 0
        while self._waiting and self._used.replicas < total.replicas and tried < _MOST_OVERTAKERS_TRIED:
            ask = self._next(cursors)
            if ask is None:
                break
            if ask.amount.fits(total, self._used):
                self._stop_waiting(ask.job_id)
                self._take(ask)
                granted.append(ask.job_id)
                continue
            can_ever = ask.amount.fits(total, Amount())
            if can_ever and steady_us - ask.since_steady_us >= self._backfill_us:
                break  # nobody overtakes it any longer, so that it cannot starve
            cursors[ask.lane] = cursors.get(ask.lane, 0) + 1
            tried += 1
        return granted

    def room(self, job_id: int, steady_us: int) -> Room:
        """The answer for one job that has asked. Its sentence changes only when the reason does."""
        if job_id in self._held:
            return Room(granted=True, steady_us=steady_us)
        ask = self._waiting[job_id]
        total, asks = self._capacity(), _words(ask.amount)
        if not ask.amount.fits(total, Amount()):
            return Room(False, Wait.NEVER.format(asks=asks, total=_capacity_words(total)), True, steady_us)
        return Room(False, Wait.NO_ROOM.format(asks=asks), False, steady_us)

    def places(self) -> Mapping[int, QueuePlace]:
        """Where everyone stands, in the order in which they would be served if nothing else changed."""
        self.changed = False
        used_by = dict(self._used_by)
        lanes = [(lane[0], used_by.get(lane[1], 0), ids[0], lane, 0) for lane, ids in self._lanes.items()]
        heapq.heapify(lanes)
        free = _free_words(self._capacity(), self._used)
        places: dict[int, QueuePlace] = {}
        while lanes:
            priority, used, job_id, lane, index = heapq.heappop(lanes)
            if used != used_by.get(lane[1], 0):  # another priority's job of this project came in between
                heapq.heappush(lanes, (priority, used_by[lane[1]], job_id, lane, index))
                continue
            ask = self._waiting[job_id]
            why = Wait.PLACE.format(asks=_words(ask.amount), free=free)
            places[job_id] = QueuePlace(len(places) + 1, len(self._waiting), why, ask.since_us)
            used_by[lane[1]] = used + ask.amount.replicas
            if index + 1 < len(self._lanes[lane]):
                heapq.heappush(lanes, (priority, used_by[lane[1]], self._lanes[lane][index + 1], lane, index + 1))
        return places

    def _next(self, cursors: Mapping[tuple[int, str], int]) -> Ask | None:
        """The first in order, beyond those that were found not to fit."""
        best = None
        for lane, ids in self._lanes.items():
            cursor = cursors.get(lane, 0)
            if cursor < len(ids):
                key = (lane[0], self._used_by.get(lane[1], 0), ids[cursor])
                best = key if best is None else min(best, key)
        return self._waiting[best[2]] if best else None

    def _take(self, ask: Ask) -> None:
        self._held[ask.job_id] = ask
        self._used = self._used + ask.amount
        self._used_by[ask.project] = self._used_by.get(ask.project, 0) + ask.amount.replicas
        self.changed = True

    def _stop_waiting(self, job_id: int) -> None:
        ask = self._waiting.pop(job_id, None)
        if ask is None:
            return
        ids = self._lanes[ask.lane]
        del ids[bisect.bisect_left(ids, job_id)]
        if not ids:
            del self._lanes[ask.lane]
        self.changed = True


def _ask(job: Job, demand: Demand, steady_us: int) -> Ask:
    amount = Amount(
        len(demand.replicas),
        sum(one.gpus for one in demand.replicas),
        sum(one.cpus for one in demand.replicas),
        sum(one.memory_bytes for one in demand.replicas),
    )
    return Ask(job.id, job.name.scope.project, job.priority, amount, steady_us, job.create_time_us)


def _words(amount: Amount) -> str:
    """`2 replicas, 1 GPU and 8 CPUs`: what is asked for, without what is not."""
    parts = [_count(amount.replicas, "replica")]
    parts += [_count(amount.gpus, "GPU")] if amount.gpus else []
    parts += [f"{amount.cpus:g} CPU" + ("" if amount.cpus == 1 else "s")] if amount.cpus else []
    parts += [f"{amount.memory_bytes / _GIB:.1f} GiB of memory"] if amount.memory_bytes else []
    return ", ".join(parts[:-1]) + " and " + parts[-1] if parts[1:] else parts[0]


def _capacity_words(total: Capacity) -> str:
    return _words(Amount(total.replicas, total.gpus, total.cpus or 0.0, total.memory_bytes or 0))


def _free_words(total: Capacity, used: Amount) -> str:
    free = total.replicas - used.replicas
    gpus = f" and {max(0, total.gpus - used.gpus)} of {_count(total.gpus, 'GPU')}" if total.gpus else ""
    return f"{max(0, free)} of {_count(total.replicas, 'replica')}{gpus}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
