"""What the service itself says of every job, put into the message of its kind: name, state, times, error."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from trainyard.core.errors import Internal
from trainyard.core.jobs import Job

_NANOS = 1000


def message_of(cls: Any, job: Job) -> Any:
    """What the job says, as a message of `cls`. Raises Internal where it is none any more."""
    try:
        return cls.FromString(job.spec)
    except DecodeError:
        raise Internal(
            f"What {job.name} says cannot be read: it was damaged or changed on the disk. Restore the data directory "
            "from a backup, or delete the job."
        ) from None


def stamp_job(message: Any, job: Job) -> None:
    """Fill the output-only fields that all kinds of job have."""
    status = job.status
    message.name = str(job.name)
    message.state = status.state
    stamp(message.create_time, job.create_time_us)
    stamp(message.update_time, status.update_time_us)
    if status.start_time_us is not None:
        stamp(message.start_time, status.start_time_us)
    if status.end_time_us is not None:
        stamp(message.end_time, status.end_time_us)
    if status.error is not None:
        message.error.code = status.error.code
        message.error.message = status.error.message
    if job.seal is not None and job.seal.damaged:  # nothing is left of what it says; these are kept beside
        message.display_name = job.display_name
        message.labels.update(job.labels)


def outline_of(message: Any) -> bytes:
    """Of a message that names a key, what may lie in the clear: what lists and filters find it by, and the key's name.

    Wire bytes of a message of the same type.
    """
    kept = type(message)(display_name=message.display_name, labels=message.labels)
    if message.HasField("encryption_spec"):
        kept.encryption_spec.CopyFrom(message.encryption_spec)
    return bytes(kept.SerializeToString(deterministic=True))


def stamp(timestamp: Any, time_us: int) -> None:
    """Set a google.protobuf.Timestamp."""
    seconds, micros = divmod(time_us, 1_000_000)
    timestamp.seconds, timestamp.nanos = seconds, micros * _NANOS
