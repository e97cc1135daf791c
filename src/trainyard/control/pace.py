"""How often the controller looks, and how long it waits: one frozen object, handed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Durations in seconds. The defaults suit one machine; hints make things happen sooner than any of them."""

    poll: float = 1.0  # between two looks at all live runs
    scan: float = 10.0  # between two readings of the whole ledger: finds what a lost hint left lying
    backfill: float = 60.0  # how long a job that finds no room lets later ones overtake it
    act: float = 30.0  # the longest an executor may take to accept a request
    stop_again: float = 5.0  # between two repetitions of a stop that has not ended everything yet
    removals: float = 5.0  # between two looks at what deleted jobs left
    retry_first: float = 0.1  # after the first failure of a step; doubles
    retry_cap: float = 5.0
    most_steps: int = 256  # steps under way at once
    near: int = 100  # waiting jobs, from the front, that are told why they wait; who is behind them can ask
    most_load: float = 0.05  # the part of all time that scanning may take, however much there is
