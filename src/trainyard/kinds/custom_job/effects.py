"""The fields of a CustomJob and what each does here."""

from __future__ import annotations

from typing import Any

from trainyard.kinds.custom_job.rules import OUTPUT_ONLY
from trainyard.kinds.field_effects import Effect, EffectTable, FieldEffect, Runtime, notes, refuse
from trainyard.kinds.resource_effects import ENCRYPTION
from trainyard.kinds.spec_effects import SPEC_EFFECTS

EFFECTS = EffectTable(
    (
        *(FieldEffect(name, Effect.OUTPUT, "What a client sends in it is ignored.") for name in OUTPUT_ONLY),
        FieldEffect("display_name", Effect.FULL, "Kept, listed and filtered by."),
        *(effect.under("job_spec") for effect in SPEC_EFFECTS),
        FieldEffect(
            "labels",
            Effect.FULL,
            "Kept, listed and filtered by; trainyard-priority (low, normal, high or a number) orders the queue.",
        ),
        ENCRYPTION,
    )
)
"""Every field of a CustomJob; docs and service log are made from it, and a test compares it with the descriptors."""


def kept_in_part(message: Any, *, contained: bool = False) -> tuple[str, ...]:
    """One sentence for each field of this job that has not all of its effect here.

    `contained`: whether replicas may run in containers. Raises FailedPrecondition where silently going on would
    break a promise that a field makes.
    """
    used = EFFECTS.used(message)
    refuse(used, Runtime.PODMAN if contained else Runtime.HOST)
    return notes(used)
