"""Who may start: all replicas of a job or none, by priority, then fair between projects, then first come first served.

Room is held from the grant until the run group is released. Kept in memory only: made anew from the live jobs.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from trainyard.control.asks import Amount, Ask, ask_of, check_places, is_persistent, why_here, why_not
from trainyard.control.preemption import Preemption, missing
from trainyard.core.jobs import Job, QueuePlace
from trainyard.core.runs import Capacity, Places
from trainyard.kind import Demand, Room

_NOTHING = Amount()
_MOST_OVERTAKERS_TRIED = 100  # how far behind a job without room is searched for one that fits


class Admission:
    """Grants are idempotent; whoever was granted keeps the room until `drop`.

    A queue may be long: whatever is asked here often costs no more than the number of priorities and projects, never
    the number of jobs that wait.
    """

    def __init__(self, capacity: Callable[[], Capacity], backfill_seconds: float, near: int = 100) -> None:
        """`near`: how many places from the front need to be told, unasked, why they wait."""
        self._capacity = capacity
        self.near = near
        self._kept: tuple[Places, ...] = ()
        self._whole: tuple[Capacity, Capacity] | None = None  # what there is, without and with the places kept
        self._backfill_us = round(backfill_seconds * 1_000_000)
        self._held: dict[int, Ask] = {}
        self._waiting: dict[int, Ask] = {}
        self._lanes: dict[tuple[int, str], list[int]] = {}  # sorted ids
        self._used = Amount()
        self._used_by: dict[str, int] = {}  # replicas by project
        self._preemption = Preemption()
        self._settled: Capacity | None = None  # of so much nobody who waits could be given room; None: not known

    def set_aside(self, kept: Sequence[Places]) -> None:
        """Keep these places, and no others, for who asks for their share; who has room elsewhere keeps it.

        Raises ResourceExhausted, and nothing has changed, where there is not so much.
        """
        check_places(self._capacity().keeping(kept))
        self._kept, self._whole, self._settled = tuple(kept), None, None

    def _total(self) -> Capacity:
        base = self._capacity()
        if not self._kept:
            return base
        if self._whole is None or self._whole[0] != base:
            self._whole = base, base.keeping(self._kept)
        return self._whole[1]

    @property
    def is_long(self) -> bool:
        """Whether so many wait that who comes last need not be told yet."""
        return len(self._waiting) >= self.near

    def knows(self, job_id: int) -> bool:
        """Whether the job waits or holds room already."""
        return job_id in self._waiting or job_id in self._held

    def hold(self, job: Job, demand: Demand) -> None:
        """The job has room (it was admitted, now or before a restart)."""
        if job.id not in self._held:
            self._stop_waiting(job.id)
            ask = ask_of(job, demand, 0)
            self._take(ask, ask.placed(self._total(), self._used) if ask.choices else ask.amount)
        if demand.is_leaving:
            self.leave(job.id)

    def leave(self, job_id: int) -> None:
        """The job is about to give its room back: its end is durable, and takes as long as its programs do."""
        if job_id in self._held:
            self._preemption.goes(self._held[job_id])

    def is_leaving(self, job_id: int) -> bool:
        """Whether the job still holds room and is about to give it back."""
        return self._preemption.is_going(job_id)

    def taker(self, job_id: int) -> str:
        """Who needs the room of this (preemptible) job, which therefore is to end; empty where it may stay."""
        name = self._preemption.taker(job_id)
        return f"{name.collection}/{name.id} of project {name.scope.project}" if name is not None else ""

    def displaced(self) -> list[int]:
        """Those who have a taker since this was asked last."""
        told, self._preemption.told = self._preemption.told, []
        return told

    def wait(self, job: Job, demand: Demand, steady_us: int) -> None:
        """The job asks for room; asking again changes nothing."""
        if self.knows(job.id):
            return
        ask = ask_of(job, demand, steady_us)
        self._waiting[job.id] = ask
        bisect.insort(self._lanes.setdefault(ask.lane, []), job.id)
        if self._settled is not None and (
            self._may_preempt(ask, self._settled)
            or ask.placed(self._settled, self._used).fits(self._settled, self._used)
        ):
            self._settled = None  # it may be the one that fits; one that does not changes nothing for the others

    def drop(self, job_id: int) -> bool:
        """The job is over, or gone: it neither waits nor holds anything. Says whether that made room for others."""
        self._stop_waiting(job_id)
        ask = self._held.pop(job_id, None)
        if ask is None:
            return False
        self._preemption.gone(ask)
        self._used = self._used - ask.amount
        left = self._used_by[ask.project] - ask.amount.replicas
        if left:
            self._used_by[ask.project] = left
        else:
            del self._used_by[ask.project]
        self._settled = None
        return True

    def admit(self, steady_us: int) -> list[int]:
        """Grant room to as many as the rules allow; the ids of those who got it just now.

        Who is not preemptible and could have the place of somebody who is gets it promised, and `displaced` says whose.
        """
        total = self._total()
        granted: list[int] = []
        barred: set[str] = set()  # shares that somebody has waited for so long that nobody overtakes
        if self._settled == total:
            return granted
        refused, promised = 0, _NOTHING
        for ask in self._line(self._used_by):
            is_full = self._used.replicas >= total.replicas and not self._preemption.possible
            if is_full or refused == _MOST_OVERTAKERS_TRIED:
                break
            if barred and any(share in barred for share, _ in ask.amount.reserved):
                continue
            wanted = ask.placed(total, self._used)
            if wanted.fits(total, self._used) and self._leaves(promised, wanted, total):
                self._stop_waiting(ask.job_id)
                self._take(ask, wanted)
                granted.append(ask.job_id)
                continue
            if not ask.preemptible and (coming := self._coming(ask, total, promised)) is not None:
                promised = promised + coming
                continue
            can_ever = ask.placed(total, _NOTHING).fits(total, _NOTHING)
            if can_ever and steady_us - ask.since_steady_us >= self._backfill_us:
                lacks = [part.removeprefix("reserved ") for part, _ in missing(wanted, total, self._used)]
                if not lacks or not all(map(is_persistent, lacks)):
                    break  # nobody overtakes it any longer, so that it cannot starve
                barred.update(lacks)  # who asks for nothing of that takes nothing from it
            refused += 1
        if refused < _MOST_OVERTAKERS_TRIED or not granted:
            self._settled = total  # else: those further behind have moved up
        return granted

    def _may_preempt(self, ask: Ask, total: Capacity) -> bool:
        if ask.preemptible or not self._preemption.possible:
            return False
        return self._preemption.could_help(ask, total, self._used - self._preemption.soon)

    def _leaves(self, promised: Amount, wanted: Amount, total: Capacity) -> bool:
        """Whether, with this one in, those who were promised room will find it once the others have gone."""
        if promised is _NOTHING:
            return True
        return wanted.fits(total, self._used + promised - self._preemption.soon)

    def _coming(self, ask: Ask, total: Capacity, promised: Amount) -> Amount | None:
        """What it will hold once those on their way out have gone, to whom more are sent if need be; None: no room."""
        soon = self._preemption.soon
        if soon == _NOTHING and not self._preemption.possible:
            return None
        used = self._used + promised - soon
        wanted = ask.placed(total, used)
        if wanted.fits(total, used):
            return wanted
        if not self._preemption.make_room(ask, total, used, self._used_by):
            return None
        return ask.placed(total, self._used + promised - self._preemption.soon)

    def room(self, job_id: int, steady_us: int) -> Room:
        """The answer for one job that has asked. Its sentence changes only when the reason does."""
        if job_id in self._held:
            return Room(granted=True, steady_us=steady_us)
        ask = self._waiting[job_id]
        total = self._total()
        wanted = ask.placed(total, _NOTHING)
        never = not wanted.fits(total, _NOTHING)
        return Room(False, why_not(wanted, total, never), never, steady_us, far=not never and self._is_far(ask))

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
        ask, total = self._waiting[job_id], self._total()
        shares = {share for share, _ in ask.amount.reserved if is_persistent(share)}
        held = self._held.values() if shares else ()
        holders = [each.name for each in held if not shares.isdisjoint(dict(each.amount.reserved))]
        why = why_here(ask.placed(total, self._used), total, self._used, holders)
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

    def _is_far(self, ask: Ask) -> bool:
        """Whether all near places are others' for sure: of its own lane and of higher priority, to count no further."""
        if len(self._waiting) <= self.near:
            return False
        above = sum(len(ids) for (priority, _), ids in self._lanes.items() if priority < ask.lane[0])
        return above + bisect.bisect_left(self._lanes[ask.lane], ask.job_id) >= self.near

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

    def _take(self, asked: Ask, amount: Amount) -> None:
        ask = replace(asked, amount=amount, choices=()) if asked.choices else asked
        self._held[ask.job_id] = ask
        self._preemption.holds(ask)
        self._used = self._used + ask.amount
        self._used_by[ask.project] = self._used_by.get(ask.project, 0) + ask.amount.replicas

    def _stop_waiting(self, job_id: int) -> None:
        ask = self._waiting.pop(job_id, None)
        if ask is None:
            return
        self._preemption.spare(job_id)
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
