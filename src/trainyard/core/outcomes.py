"""One table says what an end means: its canonical code, what is done about it, how often, and one sentence for people.

Sources: the reference's section 4.7 (cloud.google.com/vertex-ai/docs/training/understanding-training-service, and
messages observed on the service). Choices of ours, where the original is silent or vague:

- `timeout` counts the time since the first program of the job was started, through retries; while nothing of an
  attempt has started yet, its preparation may take as long. It ends the job as CANCELLED, as users report.
- `disableRetries` means that no program is ever started a second time: neither the job nor one worker.
- A replica of which no trace is left is not restarted in place: the whole attempt is ended first, then retried.
- A SPOT job that was preempted waits in the queue again; the wait does not count against its timeout.
- A program that one shell reports as ended with 137 or 143 failed by itself; only a signal seen by the supervisor,
  not sent by us, counts as a kill from outside.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trainyard.core.errors import Code
from trainyard.core.jobs import Problem
from trainyard.core.runs import Cause, Exit

MOST_WORKER_RESTARTS: Final = 5
MOST_LAST_LINES: Final = 1000  # characters of output in an error message
CRASH_CODES: Final = frozenset({6, 134, 11, 139})  # SIGABRT and SIGSEGV, plain and as 128+n
_TRACEBACK: Final = "Traceback (most recent call last):"
_EXCEPTION: Final = re.compile(r"[A-Za-z_][\w.]*(: |$)")  # the first line of a traceback that is not indented
OUTSIDE_SIGNALS: Final = frozenset({signal.SIGKILL.value, signal.SIGTERM.value})


class Remedy(StrEnum):
    """What is done about an end."""

    NONE = "none"  # it is permanent: the job ends
    RESTART_WORKER = "restart worker"  # in place, up to MOST_WORKER_RESTARTS times, then as RETRY_JOB
    RETRY_JOB = "retry job"  # a new attempt once the old one is wholly gone


class Why(StrEnum):
    """Every cause for which a job or an attempt of it may end otherwise than well."""

    EXITED = "exited"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out of memory"
    SIGNALED = "signaled"
    KILLED = "killed"
    STOPPED = "stopped from outside"
    LOST = "lost"
    VANISHED = "vanished"
    START_FAILED = "start failed"
    INTERNAL = "internal"
    NO_CAPACITY = "no capacity"
    PREEMPTED = "preempted"
    WAITED_TOO_LONG = "waited too long"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row. `retries` is how often the job is retried for this cause; `text` is a str.format template."""

    code: Code
    text: str
    remedy: Remedy = Remedy.NONE
    retries: int = 0


_REST = "{lines}{tried}{logs}"
_MORE = " To find out more about why your job exited please check the logs: "
_ENDED = "The replica {replica} exited with a non-zero status of {status}. Termination reason: "

OUTCOMES: Final[Mapping[Why, Outcome]] = {
    Why.EXITED: Outcome(Code.INVALID_ARGUMENT, _ENDED + "Error.{message}" + _REST),
    Why.CRASHED: Outcome(
        Code.INVALID_ARGUMENT, _ENDED + "Error: the program crashed ({signal})." + _REST, Remedy.RETRY_JOB, 3
    ),
    Why.OUT_OF_MEMORY: Outcome(
        Code.INVALID_ARGUMENT,
        "The replica {replica} ran out of memory and exited with a non-zero status of {status}.{memory}" + _REST,
    ),
    Why.SIGNALED: Outcome(Code.INVALID_ARGUMENT, _ENDED + "Error: ended by {signal}." + _REST),
    Why.KILLED: Outcome(
        Code.INTERNAL,
        _ENDED + "killed with {signal} by somebody outside of the service." + _REST,
        Remedy.RESTART_WORKER,
        3,
    ),
    Why.STOPPED: Outcome(
        Code.INTERNAL,
        "The replica {replica} was stopped without the service asking for it.{message}" + _REST,
        Remedy.RETRY_JOB,
        3,
    ),
    Why.LOST: Outcome(Code.INTERNAL, "The replica {replica} was lost.{message}" + _REST, Remedy.RESTART_WORKER, 3),
    Why.VANISHED: Outcome(
        Code.INTERNAL,
        "The replica {replica} was lost: it was launched, and no trace of it is left where it should run.{tried}{logs}",
        Remedy.RETRY_JOB,
        3,
    ),
    Why.START_FAILED: Outcome(Code.INVALID_ARGUMENT, _ENDED + "StartError.{message}" + _REST),
    Why.INTERNAL: Outcome(
        Code.INTERNAL,
        "Internal error occurred for the current attempt: the replica {replica} was not started.{message}{tried}{logs}",
        Remedy.RETRY_JOB,
        2,
    ),
    Why.NO_CAPACITY: Outcome(Code.RESOURCE_EXHAUSTED, "Resources are insufficient in region: {location}.{message}"),
    Why.PREEMPTED: Outcome(
        Code.RESOURCE_EXHAUSTED,
        "Resources are insufficient in region: {location}. The place of this SPOT job was taken by {taker}."
        "{tried}{logs}",
        Remedy.RETRY_JOB,
        6,  # "Use Spot VMs with training": up to six restarts, then it fails with STOCKOUT
    ),
    Why.WAITED_TOO_LONG: Outcome(
        Code.RESOURCE_EXHAUSTED,
        "Resources are insufficient in region: {location}. The job waited {seconds} s for room, the whole of its "
        "maxWaitDuration.{message}",
    ),
    Why.TIMED_OUT: Outcome(
        Code.CANCELLED,
        "CANCELED: the job ran into its timeout of {seconds} s (scheduling.timeout) and was stopped.{logs}",
    ),
    Why.CANCELLED: Outcome(Code.CANCELLED, "CANCELED: the job was cancelled{by}."),
}


class Wait(StrEnum):
    """Every reason for which an accepted job does not run yet.

    The first two go into the job and change only with their reason; PLACE, with its numbers of the moment, into the
    published queue.
    """

    NO_ROOM = "It asks for {asks}; less than that is free now, or jobs before it wait for room."
    NEVER = "It asks for {asks}; all there is here is {total}, so it cannot ever start. Ask for less{way_out}."
    PLACE = "It asks for {asks}; free now: {free}."


class Line(StrEnum):
    """The service's narration, in the original's words where it has any."""

    WAITING = "Waiting for job to be provisioned."
    SETTING_UP = "Vertex AI is setting up this job."
    RUNNING = "Job is running."
    TASK = "{replica}: Task completed. Exit code ({status}). Exit reason ({reason})."
    RESTARTED = "{why} It is restarted in place, restart {number} of {most}."
    PREEMPTED = "{why} Its replicas are being stopped; they have {seconds} s to save their work."
    REQUEUED = "{why} The job waits for room again, restart {number} of {most}."
    GAVE_WAY = "The place that it was to start again in is needed by {taker}. It waits for room again."
    RETRIED = "{why} The job is retried in {seconds} s, retry {number} of {most}."
    ATTEMPT = "Attempt {number} starts."
    CANCELLING = "Cancellation was requested{by}. The replicas are being stopped."
    STOPPING = "The replicas that still run are being stopped."
    TORN_DOWN = "Finished tearing down training program."
    SUCCEEDED = "Job completed successfully."
    FAILED = "Job failed. {why}"
    CANCELLED = "{why}"


_WHY_OF_CAUSE: Final[Mapping[Cause, Why]] = {
    Cause.EXITED: Why.EXITED,
    Cause.SIGNALED: Why.SIGNALED,
    Cause.STOPPED: Why.STOPPED,
    Cause.OUT_OF_MEMORY: Why.OUT_OF_MEMORY,
    Cause.START_FAILED: Why.START_FAILED,
    Cause.LOST: Why.LOST,
}


def why_ended(end: Exit) -> Why | None:
    """What the evidence of an end means; None where the program ended well by itself."""
    if end.cause is Cause.EXITED and end.code == 0:
        return None
    crashed = end.code if end.cause is Cause.EXITED else end.signal if end.cause is Cause.SIGNALED else None
    if crashed in CRASH_CODES:
        return Why.CRASHED
    if end.cause is Cause.SIGNALED and end.signal in OUTSIDE_SIGNALS:
        return Why.KILLED
    if end.cause is Cause.START_FAILED and end.internal:
        return Why.INTERNAL
    return _WHY_OF_CAUSE[end.cause]


def replica_sentence(why: Why, replica: str, end: Exit) -> str:
    """One replica's end in one line, for a log in which everything else can be read anyway."""
    return replica_problem(why, replica, end, 0).in_one_line


def replica_problem(why: Why, replica: str, end: Exit, job_id: int, tried: str = "") -> Problem:
    """One replica's end with its evidence, what was `tried` (a sentence) to mend it, and where to read on."""
    words = {
        "replica": replica,
        "status": exit_status(end),
        "signal": signal_name(end),
        "message": _sentence(end.message),
        "memory": _memory(end),
        "tried": f" {tried}" if tried else "",
    }
    said = problem(why, **words, lines=_last_lines(end.last_lines), logs=_logs(job_id))
    return replace(said, sentence=problem(why, **words, lines=_last_line(end.last_lines), logs="").message)


def job_problem(why: Why, job_id: int, **words: object) -> Problem:
    """The sentence about a job as a whole; `words` are the row's own blanks."""
    return problem(why, logs=_logs(job_id), **words)


def problem(why: Why, **words: object) -> Problem:
    """The row's sentence with its blanks filled; raises KeyError where a blank has no word (a defect of ours)."""
    row = OUTCOMES[why]
    return Problem(int(row.code), row.text.format(**words))


def by_whom(who: str) -> str:
    """` by NAME`, or nothing where the asker is unknown."""
    return f" by {who}" if who else ""


def plain_seconds(duration: float) -> str:
    """`2`, `1.5`: seconds as people write them."""
    return f"{duration:.3f}".rstrip("0").rstrip(".")


def exit_status(end: Exit) -> int:
    """The status as a shell gives it; 128 for what could not start, as the original says."""
    if end.code is not None:
        return end.code
    if end.signal is not None:
        return 128 + end.signal
    return 128 if end.cause is Cause.START_FAILED else 1


def signal_name(end: Exit) -> str:
    """SIGSEGV and the like, from the signal or from the status of a crash; empty where there was none."""
    number = end.signal
    if number is None and end.code in CRASH_CODES:
        number = end.code % 128
    if number is None:
        return ""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _logs(job_id: int) -> str:
    return f"{_MORE}trainyard custom-jobs stream-logs {job_id}"


def without_hint(message: str) -> str:
    """A problem's message for somebody who reads the logs elsewhere, such as a trial's in its search."""
    return message.partition(_MORE)[0]


def _last_lines(text: str) -> str:
    tail = text.strip()[-MOST_LAST_LINES:]
    return f" {tail}" if tail else ""


def _last_line(text: str) -> str:
    """The line that most likely names the error: where Python's last traceback ends, else the last one printed."""
    _, traceback, after = text.strip().rpartition(_TRACEBACK)
    lines = after.splitlines()
    named = [line for line in lines if _EXCEPTION.match(line)] if traceback else []
    told = named[0] if named else lines[-1] if lines else ""
    return f' It said: "{told.strip()[:MOST_LAST_LINES]}".' if told else ""


def _memory(end: Exit) -> str:
    return f" Its peak was {end.peak_memory_bytes / 2**20:.0f} MiB." if end.peak_memory_bytes else ""


def _sentence(text: str) -> str:
    """A space and the text with a full stop, or nothing."""
    said = text.strip()
    if not said:
        return ""
    return f" {said}" if said[-1] in ".!?" else f" {said}."
