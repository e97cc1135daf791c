"""The notebook of a running job between two decisions: small JSON in Status.memo, read and written here only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from trainyard.core.jobs import Problem
from trainyard.core.runs import RunGroup


class End(StrEnum):
    """How a job or an attempt is going to end once its last replica is gone."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    RETRY = "retry"
    PREEMPTED = "preempted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided while replicas were still there. `why` is the key in core/outcomes of what led to it."""

    end: End
    why: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Timer:
    """A stopwatch that neither a jumping calendar nor a reboot can mislead by more than the downtime itself.

    `steady_us` counts as long as the steady clock has not started anew; where it has (a reboot), the calendar
    bridges the gap once, and `carried_us` keeps what had passed.
    """

    calendar_us: int
    steady_us: int | None = None
    carried_us: int = 0

    def elapsed_us(self, now_us: int, steady_us: int | None) -> int:
        """Microseconds since the start; never negative."""
        if steady_us is not None and self.steady_us is not None and steady_us >= self.steady_us:
            return self.carried_us + steady_us - self.steady_us
        return self.carried_us + max(0, now_us - self.calendar_us)

    def rebased(self, now_us: int, steady_us: int | None) -> Timer:
        """The same stopwatch, anchored anew where the steady clock has started anew."""
        if steady_us is None or (self.steady_us is not None and steady_us >= self.steady_us):
            return self
        return Timer(now_us, steady_us, self.elapsed_us(now_us, steady_us))


@dataclass(frozen=True, slots=True)
class Memo:
    """Counters name replicas or causes; what is zero is left out.

    `incarnations`: in-place restarts of each replica in this attempt. `recorded`: per replica, how many ends were
    recorded. `retries`: retries of the job by cause. `timer` runs from the launch of the attempt until its first
    program starts (`ran` False), then from the job's first program on. `retry_after` holds the next attempt back
    for `retry_delay_us`. `told`: marks of the executor's notes that the service log has already.
    """

    verdict: Verdict | None = None
    incarnations: Mapping[str, int] = field(default_factory=dict)
    recorded: Mapping[str, int] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    timer: Timer | None = None
    ran: bool = False
    retry_after_us: int | None = None
    retry_delay_us: int = 0
    told: tuple[str, ...] = field(default=())

    def dump(self) -> str:
        """Compact JSON; the same memo always gives the same text."""
        notebook: dict[str, Any] = {}
        if self.verdict is not None:
            of = self.verdict.problem
            notebook["verdict"] = [self.verdict.end, self.verdict.why, of and [of.code, of.message, of.sentence]]
        for name, counts in (("inc", self.incarnations), ("rec", self.recorded), ("retries", self.retries)):
            if counts:
                notebook[name] = dict(counts)
        if self.timer is not None:
            notebook["timer"] = [self.timer.calendar_us, self.timer.steady_us, self.timer.carried_us]
        if self.ran:
            notebook["ran"] = True
        if self.retry_after_us is not None:
            notebook["after"] = [self.retry_after_us, self.retry_delay_us]
        if self.told:
            notebook["told"] = self.told
        return json.dumps(notebook, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Memo:
        """Read what `dump` wrote."""
        if text == "{}":
            return _EMPTY
        notebook = json.loads(text)
        verdict = None
        if "verdict" in notebook:
            end, why, said = notebook["verdict"]
            verdict = Verdict(End(end), why, Problem(*said) if said else None)
        after, delay = notebook.get("after", (None, 0))
        return cls(
            verdict=verdict,
            incarnations=notebook.get("inc", {}),
            recorded=notebook.get("rec", {}),
            retries=notebook.get("retries", {}),
            timer=Timer(*notebook["timer"]) if "timer" in notebook else None,
            ran=notebook.get("ran", False),
            retry_after_us=after,
            retry_delay_us=delay,
            told=tuple(notebook.get("told", ())),
        )

    def restarted(self, replica: str) -> Memo:
        """The replica's next incarnation is to be started."""
        return replace(self, incarnations=_one_more(self.incarnations, replica))

    def with_record(self, replica: str, incarnation: int) -> Memo:
        """The end of this incarnation is recorded."""
        return replace(self, recorded={**self.recorded, replica: incarnation + 1})

    def requeued(self, why: str, now_us: int, steady_us: int | None) -> Memo:
        """The attempt is gone and its room given up; what counts over the whole job is kept."""
        return replace(self.between_attempts(why, now_us, 0), retry_after_us=None).stopped(now_us, steady_us)

    def stopped(self, now_us: int, steady_us: int | None) -> Memo:
        """The job's stopwatch stands until its next attempt."""
        if self.timer is None:
            return self
        return replace(self, timer=Timer(now_us, steady_us, self.timer.elapsed_us(now_us, steady_us)))

    def between_attempts(self, why: str, now_us: int, delay_us: int) -> Memo:
        """The attempt is gone; what counts over the whole job is kept."""
        return Memo(
            retries=_one_more(self.retries, why),
            timer=self.timer if self.ran else None,
            ran=self.ran,
            retry_after_us=now_us,
            retry_delay_us=delay_us,
            told=self.told,
        )


def is_leaving(memo: str) -> bool:
    """Whether the end of the attempt is decided, and its room is not for the next one."""
    verdict = Memo.parse(memo).verdict
    return verdict is not None and verdict.end is not End.RETRY


def with_incarnations(group: RunGroup, memo: str) -> RunGroup:
    """The run group as it is to be launched now: replicas that were restarted in place carry their incarnation."""
    counts = incarnations(memo)
    if not counts:
        return group
    replicas = (replace(one, incarnation=counts.get(one.name, 0)) for one in group.replicas)
    return replace(group, replicas=tuple(replicas))


def incarnations(memo: str) -> Mapping[str, int]:
    """For building the run group: how often each replica of the attempt was restarted in place; 0 is left out."""
    return Memo.parse(memo).incarnations


def _one_more(counts: Mapping[str, int], name: str) -> Mapping[str, int]:
    return {**counts, name: counts.get(name, 0) + 1}


_EMPTY = Memo()
