"""A search that goes on from another one's: what it takes over, and when it may.

Source: NasJobSpec.resume_nas_job_id; the original's guide: once only, in the same project and location.
"""

from __future__ import annotations

from typing import Any

from trainyard.core.errors import FailedPrecondition, FieldViolation, InvalidArgument
from trainyard.core.jobs import Job
from trainyard.kinds.faults import shortened

FIELD = "nas_job_spec.resume_nas_job_id"


def name_of(given: str, prefix: str) -> str:
    """The full name of the job that `resume_nas_job_id` means: an id, or a name below `prefix` (`…/nasJobs/`)."""
    number = given.removeprefix(prefix)
    if number.isascii() and number.isdecimal() and len(number) <= 19:
        return prefix + number
    sentence = (
        f"{shortened(given)!r} is not the id of a NasJob of the same project and location ({prefix}*); "
        "a search cannot go on anywhere else."
    )
    raise InvalidArgument.found([FieldViolation(FIELD, sentence)])


def completed(message: Any, before: Any, job: Job) -> Any:
    """The message with what it takes over from the message `before` of `job`. Raises as Searches.resumed does."""
    if before.nas_job_spec.resume_nas_job_id:
        sentence = (
            f"NasJob {job.id} goes on from NasJob {before.nas_job_spec.resume_nas_job_id} itself; a search can be "
            "resumed once only. Create a new job with its search space."
        )
        raise InvalidArgument.found([FieldViolation(FIELD, sentence)])
    if not job.is_final:
        raise FailedPrecondition(
            f"NasJob {job.id} is {job.status.state.api_name}; it can be resumed once it has ended. Cancel it first.",
            [FieldViolation(FIELD, "The job has not ended.")],
        )
    whole = type(message)()
    whole.CopyFrom(message)
    spec = whole.nas_job_spec
    spec.CopyFrom(before.nas_job_spec)
    spec.resume_nas_job_id = message.nas_job_spec.resume_nas_job_id
    asked = message.nas_job_spec.multi_trial_algorithm_spec
    for part in ("search_trial_spec", "train_trial_spec"):
        if asked.HasField(part):
            _overlay(getattr(spec.multi_trial_algorithm_spec, part), getattr(asked, part))
    return whole


def _overlay(target: Any, given: Any) -> None:
    """Whatever is given replaces what was taken over, whole."""
    for field, value in given.ListFields():
        if field.message_type is None:
            setattr(target, field.name, value)
        else:
            getattr(target, field.name).CopyFrom(value)
