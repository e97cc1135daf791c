"""Where people may open shells now: beside each program that is up, in jobs that were made with enableWebAccess."""

from __future__ import annotations

from collections.abc import Sequence

from trainyard.core.jobs import Status
from trainyard.core.states import JobState
from trainyard.kinds.running.memo import Memo


def replicas_up(replicas: Sequence[str], status: Status) -> tuple[str, ...]:
    """Those of a running job whose program has not ended, as far as that is on record."""
    if status.state is not JobState.RUNNING or status.run_id is None:
        return ()
    memo = Memo.parse(status.memo)
    return tuple(name for name in replicas if memo.recorded.get(name, 0) <= memo.incarnations.get(name, 0))
