"""What fields do here that several kinds have in common."""

from __future__ import annotations

from typing import Final

from trainyard.kinds.field_effects import Effect, FieldEffect

ENCRYPTION: Final = FieldEffect(
    "encryption_spec",
    Effect.PART,
    "what the job says and what is told of it is sealed under the key from the first moment, its output a second after "
    "it is printed, what it wrote below its baseOutputDirectory at its end, when the files of its runs are removed; "
    "what it writes elsewhere in gs:// and to mounted file systems lies there as plain files: encrypt the disks that "
    "hold them.",
)
