"""One table owns the states of a job: what is not in TRANSITIONS cannot happen; final means no way out.

Meanings and wire values: google/cloud/aiplatform/v1/job_state.proto. `docs/states.md` is drawn from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum


class JobState(IntEnum):
    """JobState by wire value; `.api_name` is the name on the wire."""

    QUEUED = 1  # accepted, waits for room
    PENDING = 2  # admitted; replicas are being started
    RUNNING = 3  # every replica is up
    SUCCEEDED = 4  # the primary ended with 0 and every replica is gone
    FAILED = 5  # ended for the reason in `error`
    CANCELLING = 6  # a cancel was accepted; replicas are being stopped
    CANCELLED = 7  # ended by a cancel

    @property
    def api_name(self) -> str:
        """The enum name that clients see, such as JOB_STATE_RUNNING."""
        return f"JOB_STATE_{self.name}"


class Event(StrEnum):
    """What may happen to a job."""

    ADMITTED = "admitted"  # there is room, its replicas are launched
    STARTED = "started"  # every replica is up
    RETRIED = "retried"  # the attempt ended for a transient cause; the next one starts in the same room
    REQUEUED = "requeued"  # the attempt ended and its room was given up; it waits again
    SUCCEEDED = "succeeded"  # the primary ended with 0, all replicas are gone
    FAILED = "failed"  # it ended for good, all replicas are gone
    CANCEL_ASKED = "cancel asked"  # somebody asked for its end
    CANCELLED = "cancelled"  # the cancel is complete, all replicas are gone


TRANSITIONS: Mapping[JobState, Mapping[Event, JobState]] = {
    JobState.QUEUED: {
        Event.ADMITTED: JobState.PENDING,
        Event.FAILED: JobState.FAILED,
        Event.CANCEL_ASKED: JobState.CANCELLING,
    },
    JobState.PENDING: {
        Event.STARTED: JobState.RUNNING,
        Event.RETRIED: JobState.PENDING,
        Event.REQUEUED: JobState.QUEUED,
        Event.SUCCEEDED: JobState.SUCCEEDED,
        Event.FAILED: JobState.FAILED,
        Event.CANCEL_ASKED: JobState.CANCELLING,
    },
    JobState.RUNNING: {
        Event.RETRIED: JobState.PENDING,
        Event.REQUEUED: JobState.QUEUED,
        Event.SUCCEEDED: JobState.SUCCEEDED,
        Event.FAILED: JobState.FAILED,
        Event.CANCEL_ASKED: JobState.CANCELLING,
    },
    JobState.CANCELLING: {
        Event.SUCCEEDED: JobState.SUCCEEDED,
        Event.FAILED: JobState.FAILED,
        Event.CANCELLED: JobState.CANCELLED,
    },
    JobState.SUCCEEDED: {},
    JobState.FAILED: {},
    JobState.CANCELLED: {},
}

FINAL = frozenset(state for state, ways_out in TRANSITIONS.items() if not ways_out)


class ImpossibleTransition(Exception):
    """A decision asked for a change that the table does not hold: a defect of ours, never of a user."""


def advance(state: JobState, event: Event) -> JobState:
    """The state after `event`; raises ImpossibleTransition where the table has no such way."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise ImpossibleTransition(f"no way from {state.name} by {event.name}") from None
