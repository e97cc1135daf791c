"""Jobs whose key is gone while they need it: what runs is ended, whole, and the job fails with one sentence; pure.

What such a job says cannot be read any more, so nothing here looks at its spec. Once begun it is not taken back, also
where the key returns: by then some of its programs were ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trainyard.core.clock import MICROSECONDS
from trainyard.core.errors import Code
from trainyard.core.jobs import NOTHING_NOTED, Decision, Job, Problem, Release, Severity, Stop
from trainyard.core.runs import Phase, Reading
from trainyard.core.states import FINAL, Event
from trainyard.core.trials import OpenTrial

_LOOK_AGAIN_US: Final = 1 * MICROSECONDS
_STOPPED: Final = '{"bereft":true}'  # the memo from the first Stop on; the kind's own is sealed


def is_bereft(job: Job) -> bool:
    """Whether the job needs a key that is not to be had, and has not ended."""
    return not job.is_final and ((job.seal is not None and bool(job.seal.locked)) or job.status.memo == _STOPPED)


def end_run(job: Job, reading: Reading | None, now_us: int) -> Decision:
    """Stop what runs of a bereft job until a look finds nothing more (law 5), then fail."""
    status = job.status
    if status.run_id is None:
        return _failed(job, Decision(status), now_us)
    if status.memo == _STOPPED and reading is not None and reading.run_id == status.run_id and _is_over(reading):
        return _failed(job, Decision(status).doing(Release(status.run_id)), now_us)
    draft = Decision(replace(status, memo=_STOPPED), look_again_us=now_us + _LOOK_AGAIN_US)
    if status.memo != _STOPPED:
        draft = draft.noted("What it says cannot be read any more: what runs of it is ended.", now_us, Severity.WARNING)
    return draft.doing(Stop(status.run_id, 0.0))


def end_search(job: Job, trials: Sequence[OpenTrial], now_us: int) -> Decision:
    """Wait until the jobs of its trials have ended, which lack the same key, then fail."""
    if any(one.run is not None and one.run.job_id and one.run.state not in FINAL for one in trials):
        return Decision(job.status, look_again_us=now_us + _LOOK_AGAIN_US)
    return _failed(job, Decision(job.status), now_us)


def _is_over(reading: Reading) -> bool:
    """Which replicas there were to be, nobody can read any more: so who was not seen must be gone for sure, too."""
    return reading.absence_counts and all(
        seen.phase in (Phase.ENDED, Phase.ABSENT) for seen in reading.replicas.values()
    )


def _failed(job: Job, draft: Decision, now_us: int) -> Decision:
    why = job.seal.locked if job.seal is not None and job.seal.locked else "Its key was gone for a while."
    problem = Problem(Code.FAILED_PRECONDITION, f"The job could not go on without what it says. {why}")
    draft = draft.moved(Event.FAILED, now_us, problem.message).noted(problem.message, now_us, Severity.ERROR)
    return replace(draft, status=replace(draft.status, error=problem, run_id=None, memo=NOTHING_NOTED))
