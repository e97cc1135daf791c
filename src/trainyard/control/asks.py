"""What a job asks for, and the sentences about what there is of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from trainyard.core.errors import ResourceExhausted
from trainyard.core.jobs import Job
from trainyard.core.names import JobName
from trainyard.core.outcomes import Wait
from trainyard.core.runs import Capacity, Resources
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
        """Whether there is room for this beside what is used, and what is kept for others."""
        if total.kept:
            used = used + idle(total, self + used)
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


def idle(total: Capacity, used: Amount) -> Amount:
    """What the places keep that nobody has taken; replicas are counted by their share."""
    taken, found = dict(used.reserved), Amount()
    for places in total.kept:
        left, each = max(0, places.replicas - taken.get(places.share, 0)), places.each
        found = found + Amount(0, left * each.gpus, left * each.cpus, left * each.memory_bytes)
    return found


def check_places(whole: Capacity) -> None:
    """Raises ResourceExhausted where more is set aside than there is."""
    rest, aside = idle(whole, Amount()), sum(count for _, count in whole.reserved)
    memory = None if whole.memory_bytes is None else whole.memory_bytes / _GIB
    rows = (
        ("replica", aside, whole.replicas),
        ("GPU", rest.gpus, whole.gpus),
        ("CPU", rest.cpus, whole.cpus),
        (_MEMORY, rest.memory_bytes / _GIB, memory),
    )
    over = [(unit, kept, there) for unit, kept, there in rows if there is not None and kept > there]
    if over:
        asked = _listed([_count(kept, unit) for unit, kept, _ in over])
        there = _listed([_count(there, unit) for unit, _, there in over])
        raise ResourceExhausted(
            f"With it, reservations and persistent resources would keep {asked}; all there is here is {there}. Ask for "
            "less, delete another one (trainyard pools list), or let more run here (the setting replicas)."
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
    """One job's wish for room. `since_steady_us`: since when this controller knows that it waits.

    `choices`: how many of the replicas, counted as unreserved in `amount`, take a place of these shares first.
    """

    name: JobName
    priority: int
    amount: Amount
    since_steady_us: int
    since_us: int
    preemptible: bool = False
    choices: tuple[tuple[tuple[str, ...], int], ...] = ()

    def placed(self, total: Capacity, used: Amount) -> Amount:
        """What it would hold beside what is `used`: whoever may choose is of the first share that has a place free."""
        if not self.choices:
            return self.amount
        free = dict((Amount(reserved=total.reserved) - self.amount - used).reserved)
        taken: Counter[str] = Counter()
        for shares, count in self.choices:
            left = count
            for share in shares:
                here = max(0, min(left, free.get(share, 0) - taken[share]))
                taken[share] += here
                left -= here
        return replace(self.amount, reserved=_merged(self.amount.reserved, tuple(taken.items()), 1))

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
    amount, choices = _amount_of(demand.replicas), _choices_of(demand.replicas)
    return Ask(job.name, job.priority, amount, steady_us, job.create_time_us, demand.preemptible, choices)


@lru_cache(maxsize=64)
def _choices_of(replicas: tuple[Resources, ...]) -> tuple[tuple[tuple[str, ...], int], ...]:
    return tuple(Counter(one.any_of for one in replicas if one.any_of and not one.reservation).items())


@lru_cache(maxsize=64)
def _amount_of(replicas: tuple[Resources, ...]) -> Amount:
    """All of them together; many jobs ask for the same."""
    return Amount(
        len(replicas),
        sum(one.gpus for one in replicas),
        sum(one.cpus for one in replicas),
        sum(one.memory_bytes for one in replicas),
        tuple(sorted(Counter(one.reservation for one in replicas if one.reservation).items())),
    )


@lru_cache(maxsize=64)
def why_not(asked: Amount, total: Capacity, never: bool) -> str:
    """Why there is no room; most who wait ask for the same."""
    limits = _limits(asked, total, Amount())
    asks = _listed([_count(limit.asked, limit.unit) for limit in limits])
    if not never:
        return Wait.NO_ROOM.format(asks=asks)
    names_would_do = any(limit.unit in ("CPU", _MEMORY) and limit.asked > limit.total for limit in limits)
    is_gone = any(is_persistent(name) and name not in dict(total.reserved) for name, _ in asked.reserved)
    way_out = ", or have machine types taken for labels (the setting machines)" if names_would_do else ""
    way_out = ", or make the resource again (trainyard pools create)" if is_gone else way_out
    have = _listed([_count(limit.total, limit.unit) for limit in limits])
    return Wait.NEVER.format(asks=asks, total=have, way_out=way_out)


def why_here(asked: Amount, total: Capacity, used: Amount, holders: Sequence[JobName] = ()) -> str:
    """The same with the numbers of the moment, and who holds what it asks for by name."""
    limits = _limits(asked, total, used)
    asks = _listed([_count(limit.asked, limit.unit) for limit in limits])
    free = _listed([f"{_number(limit.free, limit.unit)} of {_count(limit.total, limit.unit)}" for limit in limits])
    by = f"; in use by {_listed([f'{name.collection}/{name.id}' for name in holders])}" if holders else ""
    return Wait.PLACE.format(asks=asks, free=free + by)


class _Limit(NamedTuple):
    """How much of one thing is asked for, how much there is, and how much of that is free."""

    unit: str
    asked: float
    total: float
    free: float


def _limits(asked: Amount, total: Capacity, used: Amount) -> list[_Limit]:
    """Everything that is asked for and is limited here: nobody waits for anything else."""
    held, there = dict(used.reserved), dict(total.reserved)
    apart = idle(total, asked + used)  # of no use to this one
    rows = (
        (_outside(there), asked.unreserved, total.replicas - sum(there.values()), used.unreserved),
        *((_unit(name), count, there.get(name, 0), held.get(name, 0)) for name, count in asked.reserved),
        ("GPU", asked.gpus, _less(total.gpus, apart.gpus), used.gpus),
        ("CPU", asked.cpus, _less(total.cpus, apart.cpus), used.cpus),
        (_MEMORY, asked.memory_bytes / _GIB, _gib(total, apart), used.memory_bytes / _GIB),
    )
    return [
        _Limit(unit, wanted, there, max(0, there - taken))
        for unit, wanted, there, taken in rows
        if wanted and there is not None
    ]


def is_persistent(share: str) -> bool:
    """Whether a share is of a persistent resource (kinds/persistent.py names it); no reservation has a slash."""
    return "/" in share


def _unit(share: str) -> str:
    if not is_persistent(share):
        return f"replica in the reservation {share}"
    name, _, machine = share.partition("/")
    return f"replica of the persistent resource {name} ({machine})"


def _outside(shares: Collection[str]) -> str:
    if not shares:
        return "replica"
    return f"replica outside of {'persistent resources' if all(map(is_persistent, shares)) else 'reservations'}"


def _less(total: float | None, apart: float) -> float | None:
    return None if total is None else total - apart


def _gib(total: Capacity, apart: Amount) -> float | None:
    return None if total.memory_bytes is None else (total.memory_bytes - apart.memory_bytes) / _GIB


def _listed(parts: list[str]) -> str:
    """`2 replicas, 1 GPU and 8 CPUs`."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if parts[1:] else parts[0]


def _count(number: float, unit: str) -> str:
    several = unit.replace("replica", "replicas", 1) if unit.startswith("replica") else f"{unit}s"
    return f"{_number(number, unit)} {unit if number == 1 or unit == _MEMORY else several}"


def _number(number: float, unit: str) -> str:
    return f"{number:.1f}" if unit == _MEMORY else f"{number:g}" if isinstance(number, float) else str(number)
