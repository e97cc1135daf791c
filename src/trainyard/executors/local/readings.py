"""What the control directory of an incarnation says, as a ReplicaReading: the agents' words mapped to ours, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainyard.agent import records
from trainyard.core.runs import Cause, Exit, Phase, ReplicaReading
from trainyard.core.start_faults import hint, start_sentence

_PROOF_OF_LIFE_SECONDS = 0.5  # how long we believe in agents whose lock we have seen held


@dataclass(slots=True)
class Incarnation:
    """One start of one replica, as the server follows it. Its truth is in the files; this only saves looking twice."""

    name: str  # run id/replica/number
    number: int
    control: str  # path of its files without their ending
    logs: Path
    note: str = ""  # what it does while STARTING, or what troubles it
    reading: ReplicaReading = field(default_factory=lambda: ReplicaReading(Phase.ABSENT))
    asked: bool = False  # this server has been asked to start it
    burying: bool = False  # its agents are dead; somebody is writing that down
    believed_until: float = 0.0  # steady seconds

    def look(self) -> ReplicaReading:
        """Read the state file. An end, once read, can't change."""
        if self.reading.phase is Phase.ENDED:
            return self.reading
        state = records.read_state(self.control)
        if state.exit is not None:
            self.reading = ReplicaReading(Phase.ENDED, self.number, exit_of(state.exit))
        elif state.running is not None:
            self.reading = ReplicaReading(Phase.RUNNING, self.number, note=state.note)
        elif self.asked or state.is_started:
            self.reading = ReplicaReading(Phase.STARTING, self.number, note=self.note)
        return self.reading

    def was_started(self) -> bool:
        """Whether an agent has come to the point of executing the program."""
        return records.read_state(self.control).is_started

    def needs_proof_of_life(self, now: float) -> bool:
        """Whether it should have agents and we have not seen so for a while. `now` in steady seconds."""
        if self.reading.phase not in (Phase.STARTING, Phase.RUNNING) or self.burying or now < self.believed_until:
            return False
        self.believed_until = now + _PROOF_OF_LIFE_SECONDS
        return True

    def lock_of_the_dead(self) -> int | None:
        """The lock of an incarnation that was started and has no agent any more; None where all is well."""
        if not self.was_started():
            return None
        lock = records.take_lock(self.control)
        if lock is not None and records.read_exit(self.control) is not None:
            os.close(lock)  # it ended just now, and well
            return None
        return lock


def exit_of(record: Mapping[str, Any]) -> Exit:
    """The agents' record in the domain's words."""
    message, internal = record.get("message", ""), record.get("internal", False)
    if "engine_words" in record:
        message, internal = start_sentence(record["engine_words"], **record["tells"])
    elif record.get("code"):
        message = f"{message} {hint(record.get('last_lines', ''))}".strip()
    return Exit(
        cause=Cause(record["cause"]),
        code=record.get("code"),
        signal=record.get("signal"),
        message=message,
        last_lines=record.get("last_lines", ""),
        started_us=record.get("started_us"),
        ended_us=record.get("ended_us"),
        peak_memory_bytes=record.get("peak_memory_bytes"),
        cpu_seconds=record.get("cpu_seconds"),
        report=record.get("report"),
        internal=internal,
    )
