"""Every field of a kind's message has its line in the kind's table of effects."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.kinds.custom_job import effects as custom_job
from trainyard.kinds.nas_job import effects as nas_job


def paths(descriptor: Any, prefix: str = "") -> list[str]:
    """Every field that can be set, down to the messages of other packages; output-only ones as a whole."""
    found = []
    for field in descriptor.fields:
        path, inner = f"{prefix}{field.name}", field.message_type
        ours = inner is not None and inner.file.package.startswith(API_PACKAGE) and not inner.GetOptions().map_entry
        found += paths(inner, f"{path}.") if ours else [path]
    return found


@pytest.mark.parametrize(("message", "effects"), [("CustomJob", custom_job.EFFECTS), ("NasJob", nas_job.EFFECTS)])
def test_the_table_covers_every_field_and_nothing_else(message: str, effects: Any) -> None:
    """Each field has a line of its own or one for the message that it is in; no line is about a field that is not."""
    table = {effect.path for effect in effects.lines}
    assert len(table) == len(effects.lines)
    fields = paths(message_class(f"{API_PACKAGE}.{STORED_VERSION}.{message}").DESCRIPTOR)
    uncovered = [path for path in fields if not any(path == line or path.startswith(f"{line}.") for line in table)]
    stale = [line for line in table if not any(path == line or path.startswith(f"{line}.") for path in fields)]
    assert (uncovered, stale) == ([], [])
