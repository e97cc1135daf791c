"""What a sealed job has printed last stands in no agent's record: it is added here to what the controller sees.

So the sentences about its end quote it, and help with it, as any job's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trainyard.core.jobs import Job
from trainyard.core.runs import Exit, Reading
from trainyard.core.start_faults import hint

LastLines = Callable[[int, int, str, int], str]
"""(job id, attempt, replica, incarnation) to what it has printed last; empty where that cannot be read."""


def with_last_lines(reading: Reading, job: Job, find: LastLines) -> Reading:
    """The reading, with the last lines of every replica that has failed."""
    replicas = dict(reading.replicas)
    for name, seen in reading.replicas.items():
        if seen.exit is not None and seen.exit.code and not seen.exit.last_lines:
            said = find(job.id, job.status.attempt, name, seen.incarnation)
            replicas[name] = replace(seen, exit=_quoting(seen.exit, said))
    return replace(reading, replicas=replicas)


def _quoting(end: Exit, said: str) -> Exit:
    return replace(end, last_lines=said, message=f"{end.message} {hint(said)}".strip())
