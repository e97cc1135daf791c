"""One reading through the memo's eyes: what belongs to an older incarnation is put aside as if it were absent."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.core.outcomes import Why, why_ended
from trainyard.core.runs import Cause, Exit, Phase, Reading
from trainyard.kinds.running.memo import Memo
from trainyard.kinds.running.policy import RunPolicy


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one replica's present incarnation.

    `why` is set where it ended otherwise than well, or vanished. `gone`: none of its processes is left, for sure.
    """

    name: str
    incarnation: int
    phase: Phase
    exit: Exit | None
    note: str
    why: Why | None
    gone: bool

    @property
    def started(self) -> bool:
        """Whether its program was started, as far as evidence goes."""
        if self.phase is Phase.ENDED:
            return (
                self.exit is not None
                and self.exit.cause is not Cause.START_FAILED
                and (self.exit.started_us is not None or self.exit.cause in (Cause.EXITED, Cause.SIGNALED))
            )
        return self.phase is Phase.RUNNING

    @property
    def ended_well(self) -> bool:
        """Whether the program ended by itself with 0."""
        return self.phase is Phase.ENDED and self.why is None


@dataclass(frozen=True, slots=True)
class Sight:
    """The whole attempt: replicas in pool order, the primary first."""

    replicas: tuple[Seen, ...]

    @property
    def primary(self) -> Seen:
        """The replica whose 0 ends the job well."""
        return self.replicas[0]

    @property
    def all_gone(self) -> bool:
        """Whether no process of the attempt is left, for sure (law 5)."""
        return all(seen.gone for seen in self.replicas)

    @property
    def all_started(self) -> bool:
        """Whether every replica's program was started."""
        return all(seen.started for seen in self.replicas)

    @property
    def missing(self) -> bool:
        """Whether some replica was not seen and may still appear, or still be launched."""
        return any(seen.phase is Phase.ABSENT and not seen.gone for seen in self.replicas)

    def faults(self) -> list[Seen]:
        """Replicas that ended otherwise than well, the first to end first: it is the likely cause of the others."""
        ended = [seen for seen in self.replicas if seen.why is not None]
        return sorted(ended, key=lambda seen: (seen.exit.ended_us or 0) if seen.exit else 2**63)


def look(policy: RunPolicy, memo: Memo, reading: Reading) -> Sight:
    """Set the reading against what was asked for."""
    return Sight(tuple(_see(name, memo.incarnations.get(name, 0), reading) for name in policy.replicas))


def _see(name: str, incarnation: int, reading: Reading) -> Seen:
    seen = reading.of(name)
    if seen.phase is Phase.ABSENT or seen.incarnation != incarnation:
        gone = reading.absence_counts
        return Seen(name, incarnation, Phase.ABSENT, None, "", Why.VANISHED if gone else None, gone)
    if seen.phase is not Phase.ENDED:
        return Seen(name, incarnation, seen.phase, None, seen.note, None, gone=False)
    evidence = seen.exit or Exit(Cause.LOST, message="It ended without leaving a record.")
    return Seen(name, incarnation, Phase.ENDED, evidence, "", why_ended(evidence), gone=True)
