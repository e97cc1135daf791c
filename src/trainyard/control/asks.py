"""What a job asks for, and the sentences about what there is of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from trainyard.core.jobs import Job
from trainyard.core.names import JobName
from trainyard.core.outcomes import Wait
from trainyard.core.runs import Capacity
from trainyard.kind import Demand

_GIB = 2**30
_MEMORY = "GiB of memory"


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity of everything that is handed out; `reserved` are those of the replicas that are of a reservation."""

    replicas: int = 0
    gpus: int = 0
    cpus: float = 0.0
    memory_bytes: int = 0
    reserved: tuple[tuple[str, int], ...] = ()

    @property
    def unreserved(self) -> int:
        """The replicas of no reservation."""
        return self.replicas - sum(count for _, count in self.reserved)

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.replicas + other.replicas,
            self.gpus + other.gpus,
            self.cpus + other.cpus,
            self.memory_bytes + other.memory_bytes,
            _merged(self.reserved, other.reserved, 1),
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.replicas - other.replicas,
            self.gpus - other.gpus,
            self.cpus - other.cpus,
            self.memory_bytes - other.memory_bytes,
            _merged(self.reserved, other.reserved, -1),
        )

    def fits(self, total: Capacity, used: Amount) -> bool:
        """Whether there is room for this beside what is used."""
        return (
            self.replicas + used.replicas <= total.replicas
            and (total.gpus is None or self.gpus + used.gpus <= total.gpus)
            and (total.cpus is None or self.cpus + used.cpus <= total.cpus + 1e-9)
            and (total.memory_bytes is None or self.memory_bytes + used.memory_bytes <= total.memory_bytes)
            and (not (total.reserved or self.reserved) or self._fits_reserved(total, used))
        )

    def _fits_reserved(self, total: Capacity, used: Amount) -> bool:
        held, there = dict(used.reserved), dict(total.reserved)
        return all(count + held.get(name, 0) <= there.get(name, 0) for name, count in self.reserved) and (
            not self.unreserved or self.unreserved + used.unreserved <= total.replicas - sum(there.values())
        )


def _merged(
    ours: tuple[tuple[str, int], ...], theirs: tuple[tuple[str, int], ...], sign: int
) -> tuple[tuple[str, int], ...]:
    if not theirs:
        return ours
    sums = dict(ours)
    for name, count in theirs:
        sums[name] = sums.get(name, 0) + sign * count
    return tuple(sorted((name, count) for name, count in sums.items() if count))


@dataclass(frozen=True, slots=True)
class Ask:
    """One job's wish for room. `since_steady_us`: since when this controller knows that it waits."""

    name: JobName
    priority: int
    amount: Amount
    since_steady_us: int
    since_us: int
    preemptible: bool = False

    @property
    def job_id(self) -> int:
        """The job's id."""
        return self.name.id

    @property
    def project(self) -> str:
        """Whose it is."""
        return self.name.scope.project

    @property
    def lane(self) -> tuple[int, str]:
        """Jobs of one priority and project stand in one line."""
        return (-self.priority, self.project)


def ask_of(job: Job, demand: Demand, steady_us: int) -> Ask:
    """What a job asks for."""
    amount = Amount(
        len(demand.replicas),
        sum(one.gpus for one in demand.replicas),
        sum(one.cpus for one in demand.replicas),
        sum(one.memory_bytes for one in demand.replicas),
        tuple(sorted(Counter(one.reservation for one in demand.replicas if one.reservation).items())),
    )
    return Ask(job.name, job.priority, amount, steady_us, job.create_time_us, demand.preemptible)


@lru_cache(maxsize=64)
def why_not(asked: Amount, total: Capacity, never: bool) -> str:
    """Why there is no room; most who wait ask for the same."""
    limits = _limits(asked, total, Amount())
    asks = _listed([_count(limit.asked, limit.unit) for limit in limits])
    if not never:
        return Wait.NO_ROOM.format(asks=asks)
    names_would_do = any(limit.unit in ("CPU", _MEMORY) and limit.asked > limit.total for limit in limits)
    way_out = ", or have machine types taken for labels (the setting machines)" if names_would_do else ""
    have = _listed([_count(limit.total, limit.unit) for limit in limits])
    return Wait.NEVER.format(asks=asks, total=have, way_out=way_out)


def why_here(asked: Amount, total: Capacity, used: Amount) -> str:
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
    held, there = dict(used.reserved), dict(total.reserved)
    plain = "replica outside of reservations" if there else "replica"
    rows = (
        (plain, asked.unreserved, total.replicas - sum(there.values()), used.unreserved),
        *(
            (f"replica in the reservation {name}", count, there.get(name, 0), held.get(name, 0))
            for name, count in asked.reserved
        ),
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
    several = unit.replace("replica", "replicas", 1) if unit.startswith("replica") else f"{unit}s"
    return f"{_number(number, unit)} {unit if number == 1 or unit == _MEMORY else several}"


def _number(number: float, unit: str) -> str:
    return f"{number:.1f}" if unit == _MEMORY else f"{number:g}" if isinstance(number, float) else str(number)
