"""The fields of a NasJob and what each does here."""

from __future__ import annotations

from typing import Any

from trainyard.kinds.field_effects import Effect, EffectTable, FieldEffect, Runtime, notes, refuse
from trainyard.kinds.nas_job.rules import OUTPUT_ONLY
from trainyard.kinds.resource_effects import ENCRYPTION
from trainyard.kinds.spec_effects import SPEC_EFFECTS

_ALGORITHM = "nas_job_spec.multi_trial_algorithm_spec"
_SEARCH = f"{_ALGORITHM}.search_trial_spec"
_TRAIN = f"{_ALGORITHM}.train_trial_spec"


def _full(path: str, sentence: str) -> FieldEffect:
    return FieldEffect(path, Effect.FULL, sentence)


EFFECTS = EffectTable(
    (
        *(FieldEffect(name, Effect.OUTPUT, "What a client sends in it is ignored.") for name in OUTPUT_ONLY),
        _full("display_name", "Kept, listed and filtered by."),
        _full("nas_job_spec.search_space_spec", "Read as data in a closed world; nothing named in it is ever run."),
        _full("nas_job_spec.resume_nas_job_id", "The search goes on from all that the named one has learned."),
        _full(f"{_ALGORITHM}.multi_trial_algorithm", "Chooses the searcher; the label trainyard-searcher goes before."),
        _full(f"{_ALGORITHM}.metric.metric_id", "CLOUD_ML_HP_METRIC_TAG, and what trials are judged by."),
        _full(f"{_ALGORITHM}.metric.goal", "Whether a larger or a smaller value is better."),
        _full(f"{_SEARCH}.max_trial_count", "The search ends after so many trials."),
        _full(f"{_SEARCH}.max_parallel_trial_count", "Never more search trials at once."),
        _full(f"{_SEARCH}.max_failed_trial_count", "The job fails once so many search trials have failed."),
        *(effect.under(f"{_SEARCH}.search_trial_job_spec") for effect in SPEC_EFFECTS),
        _full(f"{_TRAIN}.frequency", "After each so many ended search trials the best are trained."),
        _full(f"{_TRAIN}.max_parallel_trial_count", "So many of the best are trained, and no more at once."),
        *(effect.under(f"{_TRAIN}.train_trial_job_spec") for effect in SPEC_EFFECTS),
        _full(
            "labels",
            "Kept, listed and filtered by; trainyard-priority orders the queue, trainyard-searcher, trainyard-seed "
            "and trainyard-trials steer the search.",
        ),
        ENCRYPTION,
        FieldEffect(
            "enable_restricted_image_training",
            Effect.NONE,
            "this server has no tenant projects to keep apart; trials run as any job's programs.",
            when=bool,
        ),
    )
)
"""Every field of a NasJob; docs and service log are made from it, and a test compares it with the descriptors."""


def kept_in_part(message: Any, *, contained: bool = False) -> tuple[str, ...]:
    """One sentence for each field of this job that has not all of its effect here.

    `contained`: whether trials may run in containers. Raises FailedPrecondition where silently going on would
    break a promise that a field makes.
    """
    used = EFFECTS.used(message)
    refuse(used, Runtime.PODMAN if contained else Runtime.HOST)
    return notes(used)
