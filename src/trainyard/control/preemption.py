"""Who gives up their place: SPOT jobs only, only for somebody who needs it, and never more of them than that.

What a job that is on its way out holds counts as free soon: nobody else is ended for what is about to be there anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trainyard.control.asks import Amount, Ask
from trainyard.core.names import JobName
from trainyard.core.runs import Capacity


class Preemption:
    """Of all who hold room: who may be ended, who is asked to go and for whom, and who is going."""

    def __init__(self) -> None:
        """Nobody holds anything."""
        self._may: dict[int, Ask] = {}
        self._asked: dict[int, tuple[Ask, JobName]] = {}
        self._going: dict[int, Amount] = {}
        self._most = Amount()  # held by those who may be ended
        self.soon = Amount()  # given back once those who are asked or going have gone
        self.told: list[int] = []  # asked since somebody last took note

    @property
    def possible(self) -> bool:
        """Whether anybody could be ended."""
        return bool(self._may)

    def holds(self, ask: Ask) -> None:
        """The job has room from now on."""
        if ask.preemptible:
            self._admit(ask)

    def goes(self, ask: Ask) -> None:
        """The job's end is decided, and durable; saying so again changes nothing."""
        if ask.job_id in self._going:
            return
        self._exempt(ask)
        if self._asked.pop(ask.job_id, None) is None:
            self.soon = self.soon + ask.amount
        self._going[ask.job_id] = ask.amount

    def gone(self, ask: Ask) -> None:
        """The job holds nothing any more."""
        if self._exempt(ask):
            return
        asked, going = self._asked.pop(ask.job_id, None), self._going.pop(ask.job_id, None)
        if asked is not None or going is not None:
            self.soon = self.soon - ask.amount

    def spare(self, needy_id: int) -> None:
        """That job needs no place any more: who was asked to go for it, and has not begun to, stays."""
        for victim_id, (ask, needy) in list(self._asked.items()):
            if needy.id == needy_id:
                del self._asked[victim_id]
                self._admit(ask)
                self.soon = self.soon - ask.amount

    def is_going(self, job_id: int) -> bool:
        """Whether the end of the job is durable."""
        return job_id in self._going

    def taker(self, job_id: int) -> JobName | None:
        """Who needs the place of this job; None where it may stay."""
        asked = self._asked.get(job_id)
        return asked[1] if asked is not None else None

    def make_room(self, needy: Ask, total: Capacity, used: Amount, used_by: Mapping[str, int]) -> bool:
        """Ask as many to go as this job needs beside what will be `used` soon; False where that cannot help."""
        if not self.could_help(needy, total, used):
            return False
        wanted = needy.placed(total, used - self._most)
        chosen = chosen_for(wanted, self._may.values(), total, used, used_by)
        for ask in chosen:
            self._exempt(ask)
            self._asked[ask.job_id] = (ask, needy.name)
            self.soon = self.soon + ask.amount
            self.told.append(ask.job_id)
        return bool(chosen)

    def could_help(self, needy: Ask, total: Capacity, used: Amount) -> bool:
        """Whether it would fit if all who may be ended were gone from what is `used`."""
        left = used - self._most
        return self.possible and needy.placed(total, left).fits(total, left)

    def _admit(self, ask: Ask) -> None:
        self._may[ask.job_id] = ask
        self._most = self._most + ask.amount

    def _exempt(self, ask: Ask) -> bool:
        """Whether it could have been ended until now."""
        if self._may.pop(ask.job_id, None) is None:
            return False
        self._most = self._most - ask.amount
        return True


def chosen_for(
    wanted: Amount, candidates: Collection[Ask], total: Capacity, used: Amount, used_by: Mapping[str, int]
) -> list[Ask]:
    """The fewest that we find whose room makes `wanted` fit, none of them needlessly; empty where all do not suffice.

    Each time the one that covers most of what is missing; of equals the smallest, then of the lowest priority, then of
    the project that has most, then the youngest, which loses least.
    """
    left = used
    for ask in candidates:
        left = left - ask.amount
    if not wanted.fits(total, left):
        return []
    chosen: list[Ask] = []
    left, open_still = used, list(candidates)
    while not wanted.fits(total, left):
        lacking = missing(wanted, total, left)
        best = min(open_still, key=lambda ask: _rank(ask, lacking, used_by))
        open_still.remove(best)
        chosen.append(best)
        left = left - best.amount
    for ask in list(chosen):
        if wanted.fits(total, left + ask.amount):
            chosen.remove(ask)
            left = left + ask.amount
    return chosen


def _rank(ask: Ask, lacking: list[tuple[str, float]], used_by: Mapping[str, int]) -> tuple[float, int, int, int, int]:
    gives = _parts(ask.amount)
    covered = sum(min(1.0, gives.get(part, 0) / lacks) for part, lacks in lacking)
    return -covered, ask.amount.replicas, ask.priority, -used_by.get(ask.project, 0), -ask.job_id


def missing(wanted: Amount, total: Capacity, used: Amount) -> list[tuple[str, float]]:
    """The parts of an Amount of which there is too little, and how much of each."""
    there = {
        "replicas": total.replicas,
        "unreserved": total.replicas - sum(count for _, count in total.reserved),
        "gpus": total.gpus,
        "cpus": total.cpus,
        "memory": total.memory_bytes,
        **{f"reserved {name}": count for name, count in total.reserved},
    }
    asked, over = _parts(wanted), _parts(wanted + used)
    limited = [(part, over[part] - most) for part, most in there.items() if most is not None and asked.get(part)]
    return [(part, lacks) for part, lacks in limited if lacks > 0]


def _parts(amount: Amount) -> dict[str, float]:
    return {
        "replicas": amount.replicas,
        "unreserved": amount.unreserved,
        "gpus": amount.gpus,
        "cpus": amount.cpus,
        "memory": amount.memory_bytes,
        **{f"reserved {name}": count for name, count in amount.reserved},
    }
